"""What the benchmarks share: turns and ratios, tables, a tiny language model, training steps."""
