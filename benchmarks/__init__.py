"""What monitoring costs, measured beside the bare SDK in the same run: `python -m benchmarks`."""
