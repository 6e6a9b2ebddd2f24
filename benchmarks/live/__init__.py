"""Live events end to end: Netra beside plain Channels and a bare ASGI application, on the same server."""
