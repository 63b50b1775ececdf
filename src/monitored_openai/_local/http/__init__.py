"""The HTTP server of the local page: framing, bounds and authentication."""
