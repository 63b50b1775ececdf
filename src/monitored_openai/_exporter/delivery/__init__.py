"""Queues and pushers: what is sent, when, and what follows from the reply."""
