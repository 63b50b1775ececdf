"""Subclasses of the SDK's resources for completions and responses, which pass the endpoint of a request to `post`.

The client observes each request in its `post`, so that a user's subclass can still override `post`. Each module here
imports the SDK's resources of the same name. That takes long, so the client imports a module at first access.
"""
