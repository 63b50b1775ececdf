"""Subclasses of the SDK's chat, completions, responses and beta resources, which add the endpoint to each request.

The client observes each request in its `post`, so that a user's subclass can still override `post`. Each module here
imports the SDK's resources of the same name. That takes long, so the client imports a module at first access.
"""
