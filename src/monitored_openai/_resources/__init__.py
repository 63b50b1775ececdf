"""The SDK's completions resources, overridden: each request carries its endpoint to the client's `post`.

The client observes the request there, once, so that a `post` that a user's subclass overrides runs as before.
Each module imports the SDK's resources of its name, which takes long, so the client imports it at first access.
"""
