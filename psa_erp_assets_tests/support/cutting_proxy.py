"""A TCP proxy that kills the client at a moment of one request which no code of the client can choose."""

import contextlib
import enum
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

_CHUNK = 65_536


class Cut(enum.Enum):
    """When the client dies."""

    IN_MID_BODY = "part of the request has reached the server"
    BEFORE_THE_ANSWER = "the server has answered, and the client has not read it"


class CuttingProxy:
    """Forwards to a server on this machine until a request holds `marker`; then `kill` is called, once."""

    def __init__(self, port: int, cut: Cut, marker: bytes, kill: Callable[[], None]) -> None:
        self._upstream, self._cut, self._marker, self._kill = port, cut, marker, kill
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]
        self._threads: list[threading.Thread] = []
        self.has_cut = False

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in self._sockets:
            _close(one)
        for thread in self._threads:
            thread.join(timeout=10)

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._upstream))
            self._sockets += [client, server]
            marked = threading.Event()
            self._start(self._requests, client, server, marked)
            self._start(self._answers, client, server, marked)

    def _requests(self, client: socket.socket, server: socket.socket, marked: threading.Event) -> None:
        seen = b""
        while data := _receive(client):
            seen += data
            if self._marker in seen and not self.has_cut:
                self.has_cut = True
                marked.set()
                if self._cut is Cut.IN_MID_BODY:
                    _send(server, data[: len(data) // 2])
                    self._kill()
                    break
            if not _send(server, data):
                break
        _close(server)

    def _answers(self, client: socket.socket, server: socket.socket, marked: threading.Event) -> None:
        while data := _receive(server):
            if marked.is_set():
                self._kill()
                break
            if not _send(client, data):
                break
        _close(client)


def _receive(of: socket.socket) -> bytes:
    try:
        return of.recv(_CHUNK)
    except OSError:
        return b""


def _send(to: socket.socket, data: bytes) -> bool:
    try:
        to.sendall(data)
    except OSError:
        return False
    return True


def _close(one: socket.socket) -> None:
    # shutdown wakes a thread that is blocked in recv or accept; close alone does not.
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
