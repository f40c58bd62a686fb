"""The ASGI app: webhooks in, HTTP API and pages out."""
