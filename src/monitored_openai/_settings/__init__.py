"""Settings: the model, its validators, and the rules for URLs and labels."""
