"""Generators of files that the package ships."""
