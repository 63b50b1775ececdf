"""What no line of the package's log may hold."""

PROMPT = "ALICE-PROMPT"
