"""Measure the cost of monitoring against the bare SDK in the same run: `python -m benchmarks`."""
