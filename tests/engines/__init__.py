"""Real inference engines: `make test-engines` runs these in an environment of their own."""
