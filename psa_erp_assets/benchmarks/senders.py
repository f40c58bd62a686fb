"""Senders of webhooks, in a process of their own: `load` starts it, and it says on standard output what it saw.

They share the cores with the console and PostgreSQL, so they cost no more than they must, and say what they cost: plain
sockets, bodies that are equal but for their id, and no import beyond the standard library. Each connection waits for
the answer to an event before it sends the next one.
"""

import contextlib
import heapq
import json
import secrets
import select
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

TOKEN = "bench-token"  # noqa: S105 - of a console that lives as long as the measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """How many events were accepted, how many a second, the 99th percentile of the seconds to an answer, and the
    senders' own seconds of a core.
    """

    accepted: int
    rate: float
    p99_seconds: float
    cpu_seconds: float


def load(port: int, senders: int, seconds: float, *, rate: float | None) -> Sent:
    """Send to a port of this machine for so long, as fast as answers come or so many events a second in all.

    At a rate, the time to an answer counts from when the event was due, however late it left. Raises RuntimeError
    where an event is not accepted.
    """
    how = json.dumps({"port": port, "senders": senders, "seconds": seconds, "rate": rate})
    done = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", __spec__.name, how],
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds * 3 + 60,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().rpartition("\n")[2] or "the senders said nothing")
    return Sent(**json.loads(done.stdout))


def body_of(number: int) -> str:
    """A delivery as Clockify sends one of a time entry, about half a kilobyte."""
    return json.dumps(
        {
            "id": f"{number:024x}",
            "description": "Prepared and held the weekly steering committee; follow-up with finance",
            "userId": "64c0ffee0000000000000011",
            "billable": True,
            "projectId": "64c0ffee0000000000000021",
            "timeInterval": {
                "start": "2026-09-14T08:00:00Z",
                "end": "2026-09-14T09:30:00Z",
                "duration": "PT1H30M",
                "timeZone": "Europe/Berlin",
            },
            "workspaceId": "64c0ffee0000000000000001",
            "hourlyRate": {"amount": 12050, "currency": "EUR"},
            "isLocked": False,
        }
    )


def send(*, port: int, senders: int, seconds: float, rate: float | None) -> Sent:
    """What `load` has done in a process of its own."""
    before, after = _around_id()
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(senders)]
        place_of = {line: place for place, line in enumerate(lines)}
        for line in lines:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number, gap = secrets.randbits(64) << 32, senders / rate if rate else 0.0
        begun, begun_cpu = time.perf_counter(), time.process_time()
        end = begun + seconds
        # When each connection sends next, the earliest first; and since when each waits for an answer.
        due = [(begun + gap * place / senders, place) for place in range(senders)]
        since, answers = [0.0] * senders, [b""] * senders
        asked: set[socket.socket] = set()
        took: list[float] = []
        while due or asked:
            now = time.perf_counter()
            while due and due[0][0] <= now:
                wanted, place = heapq.heappop(due)
                since[place], number = wanted, number + 1
                asked.add(lines[place])
                lines[place].sendall(b"%b%024x%b" % (before, number, after))
            patience = max(due[0][0] - now, 0.0) if due else 60.0
            for line in select.select(list(asked), (), (), patience)[0]:
                place = place_of[line]
                answer = answers[place] + line.recv(65536)
                if not answer.startswith(b"HTTP/1.1 202"):
                    raise RuntimeError(f"an event was answered {answer[:60]!r}")
                answers[place] = answer
                if answer.endswith(b"}"):
                    now = time.perf_counter()
                    took.append(now - since[place])
                    answers[place] = b""
                    asked.remove(line)
                    wanted = since[place] + gap if gap else now
                    if max(wanted, now) < end:
                        heapq.heappush(due, (wanted, place))
        wall, cpu = time.perf_counter() - begun, time.process_time() - begun_cpu
    took.sort()
    return Sent(accepted=len(took), rate=len(took) / wall, p99_seconds=took[int(len(took) * 0.99)], cpu_seconds=cpu)


def _around_id() -> tuple[bytes, bytes]:
    """A request as it goes over the wire, before and after the 24 digits that tell one event from another."""
    first = f"{0:024x}"
    before, _, after = body_of(0).partition(first)
    head = (
        "POST /webhooks/clockify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(before) + len(first) + len(after)}\r\nclockify-signature: {TOKEN}\r\n"
        "clockify-webhook-event-type: TIME_ENTRY_UPDATED\r\n\r\n"
    )
    return (head + before).encode(), after.encode()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(send(**json.loads(sys.argv[1])))))
