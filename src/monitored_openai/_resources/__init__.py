"""Subclasses of the SDK's completions resources, which send each request with its endpoint to the client's `post`.

The client observes each request in its `post`, so that a `post` that a user's subclass overrides runs as before. Each
module imports the SDK's resources of its name. That takes long, so the client imports a module at first access.
"""
