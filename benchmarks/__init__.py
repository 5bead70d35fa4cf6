"""What wsauth costs, measured: `python -m benchmarks` (or `make bench`) writes `docs/performance/`."""
