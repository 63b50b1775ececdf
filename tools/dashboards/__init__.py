"""The dashboards as code: `python -m dashboards` writes the JSON that the package ships."""
