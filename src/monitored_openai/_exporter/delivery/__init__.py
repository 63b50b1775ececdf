"""Queues and pushers: they choose the data to send and its time, and act on the replies."""
