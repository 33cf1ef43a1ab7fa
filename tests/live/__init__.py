"""Against the real PyPI; run by `make test-live` only."""
