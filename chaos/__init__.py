"""Long fault tests that write their results into docs/reliability.md: ``python -m chaos [NAME ...]``."""
