"""Mutated bytes at both sides of a daemon process; `make fuzz SECONDS=… SEED=…` runs it by hand."""
