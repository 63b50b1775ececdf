"""Texts that no line of the package's log may contain."""

PROMPT = "ALICE-PROMPT"
