"""The observed endpoints of the OpenAI API: one module for each family, with the parsers of its responses."""
