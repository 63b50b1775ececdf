"""Programs that generate files of the package."""
