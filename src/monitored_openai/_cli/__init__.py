"""The command `monitored-openai`."""
