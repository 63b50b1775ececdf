"""The same script on the bare SDK and on our clients: the caller's view, the server's view, and the records."""
