"""How long things take, as ratios against a baseline in the same run."""
