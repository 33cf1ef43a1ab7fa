"""Benchmarks: ratios between programs in the same run, never absolute promises."""
