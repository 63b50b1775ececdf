"""The overridden resources, one file per family of endpoints."""
