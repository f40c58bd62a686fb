"""A small HTTP server that keeps what it is sent, for tests of webhooks."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Receiver:
    """What arrived (headers in lower case, body), and how many requests are refused first."""

    url: str = ""
    refuse: int = 0
    arrived: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    condition: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, count: int, seconds: float = 10) -> list[tuple[dict[str, str], bytes]]:
        """The first `count` accepted requests; fails if they do not come in time."""
        with self.condition:
            assert self.condition.wait_for(lambda: len(self.arrived) >= count, seconds), (
                f"only {len(self.arrived)} came"
            )
            return self.arrived[:count]


@contextlib.contextmanager
def webhook_receiver(refuse: int = 0) -> Iterator[Receiver]:
    """A receiver on 127.0.0.1 that answers the first `refuse` requests with 503."""
    receiver = Receiver(refuse=refuse)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            with receiver.condition:
                refused = receiver.refuse > 0
                receiver.refuse -= refused
                if not refused:
                    receiver.arrived.append(({k.lower(): v for k, v in self.headers.items()}, body))
                    receiver.condition.notify_all()
            self.send_response(503 if refused else 204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
