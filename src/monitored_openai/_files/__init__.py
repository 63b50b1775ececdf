"""Files that hold secrets, and the checks that they are ours."""
