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
# Reports draw their charts with scripts of this server. plotly.js makes a style element, which is empty and so has the
# first of these digests, and fills it by script; the second is that of the style sheet for maps, which it brings along.
# No other style that is written into a page is obeyed there either.
_REPORTS = "/reports"
_CHARTS = HEADERS["Content-Security-Policy"].replace(
    "style-src 'self'",
    "script-src 'self'; style-src 'self' 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
    " 'sha256-ji27qzEtxXZW+7dun6UwjHXJ18e6WAin1VvNtkzIE/o='",
)
# Financial data stay out of shared and disk caches; the style sheet may be kept as long as its ETag holds.
_STATIC = "/static/"
_STORED = {name.lower().encode(): value.encode() for name, value in HEADERS.items()}
NOT_STORED = {**_STORED, b"cache-control": b"no-store"}
_WITH_CHARTS = {**NOT_STORED, b"content-security-policy": _CHARTS.encode()}


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
                if scope["path"].startswith(_REPORTS):
                    own = _WITH_CHARTS
                kept = [pair for pair in message.get("headers", ()) if pair[0].lower() not in own]
                message = {**message, "headers": [*kept, *own.items()]}
            await send(message)

        await self._app(scope, receive, send_with_headers)
