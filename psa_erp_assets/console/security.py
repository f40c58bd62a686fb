"""Headers that every answer carries: the pages load nothing from elsewhere and are shown in no other page's frame."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
# Financial data stay out of shared and disk caches; the style sheet may be kept as long as its ETag holds.
_STATIC = "/static/"
_STORED = {name.lower().encode(): value.encode() for name, value in HEADERS.items()}
NOT_STORED = {**_STORED, b"cache-control": b"no-store"}


class SecurityHeaders:
    """ASGI middleware that adds the headers to every HTTP response, errors included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request with the headers added to its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                # As they go over the wire: by name, one after the other, they would take longer than a webhook.
                own = _STORED if scope["path"].startswith(_STATIC) else NOT_STORED
                kept = [pair for pair in message.get("headers", ()) if pair[0].lower() not in own]
                message = {**message, "headers": [*kept, *own.items()]}
            await send(message)

        await self._app(scope, receive, send_with_headers)
