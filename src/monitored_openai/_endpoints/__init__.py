"""The overridden resources, one file per endpoint of endpoints."""
