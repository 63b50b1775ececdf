"""Loopback servers that replace the API and the back ends in tests."""
