"""pypicached beside its peers and beside what the machine can do: `python -m bench.wire`."""
