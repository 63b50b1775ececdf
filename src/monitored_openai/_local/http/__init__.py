"""The HTTP server of the local page: framing, limits and authentication."""
