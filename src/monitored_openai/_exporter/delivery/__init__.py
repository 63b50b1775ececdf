"""Queues and pushers: they decide which data to send and when, and act on the replies."""
