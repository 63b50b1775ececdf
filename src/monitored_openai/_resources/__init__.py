"""Subclasses of the SDK's completions resources, which send each request with its endpoint to the client's `post`.

The client observes each request in its `post`, so that a user's subclass can still override `post`. Each module here
imports the SDK's resources of the same name. That takes long, so the client imports a module at first access.
"""
