"""Loopback servers that the tests put in the place of the API and of the back ends."""
