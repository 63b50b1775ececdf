"""The fault tests in their long form, whose figures go into docs/reliability.md: ``python -m chaos [NAME ...]``."""
