"""The same script on the bare SDK and on ours: what the caller sees, what the server gets, what is recorded."""
