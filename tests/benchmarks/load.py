"""A load generator in a process of its own: raw keep-alive connections, each asking again when it was answered.

Or at a steady pace, where a question should find a service that is not busy with the one before.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.figures import at_share
from tests.benchmarks.processor import cpu_seconds

COUNTER = b"{{number_____}}"  # in a request: replaced by a number of the same length, another one each time
ROOT = Path(__file__).resolve().parents[2]
WARM_UP_S = 1.0
ANSWER_LIMIT_S = 30.0


def request_bytes(
    *, method: str = "GET", path: str, token: str = "", body: bytes = b"", headers: Mapping[str, str] | None = None
) -> bytes:
    """One HTTP/1.1 request; `COUNTER` may stand in its body and headers."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{k}: {v}" for k, v in (headers or {}).items())]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(frozen=True, kw_only=True)
class LoadResult:
    """What was answered within the measured time; `cpu_s` per named group of processes, in the same time."""

    requests: int
    errors: int
    seconds: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    bytes_received: int
    statuses: dict[str, int] = field(default_factory=dict)
    cpu_s: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return self.requests / self.seconds

    def per_core(self, group: str = "web") -> float:
        """Good answers for each second that these processes had a processor: the machine's other work cancels out."""
        return self.requests / self.cpu_s[group] if self.cpu_s.get(group) else 0.0


def load(*, seconds: float, **asked: Any) -> LoadResult:
    """``Load`` for so many seconds, to its end."""
    return Load(seconds=seconds, **asked).result()


class Load:
    """A running generator: asks for so many seconds after a warm-up, or until ``stop``, the requests in turn.

    Any answer but 2xx or 304 is an error. Each connection waits ``pause_s`` between an answer and its next question.
    """

    def __init__(
        self,
        *,
        port: int,
        requests: Sequence[bytes],
        connections: int,
        seconds: float,
        pids: Mapping[str, Sequence[int]] | None = None,
        host: str = "127.0.0.1",
        pause_s: float = 0.0,
    ) -> None:
        self._limit_s = seconds + WARM_UP_S + ANSWER_LIMIT_S
        order = {
            "host": host,
            "port": port,
            "requests": [request.decode("latin-1") for request in requests],
            "connections": connections,
            "seconds": seconds,
            "pause_s": pause_s,
            "pids": {group: list(numbers) for group, numbers in (pids or {}).items()},
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.load"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self._orders: Any = self._process.stdin
        self._orders.write(json.dumps(order) + "\n")
        self._orders.flush()

    @property
    def is_over(self) -> bool:
        return self._process.poll() is not None

    def stop(self) -> LoadResult:
        """End it before its time."""
        self._orders.close()
        return self.result()

    def result(self) -> LoadResult:
        """What was answered, once it is over."""
        try:
            self._process.wait(self._limit_s)
        finally:
            self._process.kill()
        self._process.stdin = None  # communicate() would flush it
        self._orders.close()
        output, errors = self._process.communicate()
        if self._process.returncode != 0:
            raise RuntimeError(f"the load generator failed:\n{errors[-3000:]}")
        return LoadResult(**json.loads(output))


class Run:
    """One run in the generator's own process: what all connections share."""

    def __init__(self, requests: list[bytes], *, pause_s: float) -> None:
        self._requests, self._sent = requests, 0
        self.pause_s = pause_s
        self.is_measuring = False
        self.times_ns = array("q")
        self.statuses: Counter[str] = Counter()
        self.bytes_received = 0
        self.broken = 0

    def next_request(self) -> bytes:
        request = self._requests[self._sent % len(self._requests)]
        self._sent += 1
        return request.replace(COUNTER, b"%0*d" % (len(COUNTER), self._sent))

    def answered(self, *, status: bytes, began_ns: int, size: int) -> None:
        if self.is_measuring:
            self.times_ns.append(time.perf_counter_ns() - began_ns)
            self.statuses[status.decode()] += 1
            self.bytes_received += size

    def result(self, *, seconds: float, cpu_s: dict[str, float]) -> LoadResult:
        times = sorted(self.times_ns)
        good = sum(count for status, count in self.statuses.items() if status[0] == "2" or status == "304")

        def at(share: float) -> float:
            return at_share(times, share) / 1e6 if times else 0.0

        return LoadResult(
            requests=good,
            errors=len(times) - good + self.broken,
            seconds=seconds,
            p50_ms=at(0.5),
            p90_ms=at(0.9),
            p99_ms=at(0.99),
            max_ms=at(1.0),
            bytes_received=self.bytes_received,
            statuses=dict(self.statuses),
            cpu_s=cpu_s,
        )


class Connection(asyncio.Protocol):
    """Sends a request, reads its answer to the end, sends the next."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._buffer = b""
        self._began_ns = 0
        self.is_closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._ask()

    def _ask(self) -> None:
        if self.is_closing:
            return
        self._began_ns = time.perf_counter_ns()
        self._transport.write(self._run.next_request())

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        size = answer_size(self._buffer)
        if size is None or len(self._buffer) < size:
            return
        self._run.answered(status=self._buffer[9:12], began_ns=self._began_ns, size=size)
        self._buffer = b""
        if self._run.pause_s:
            asyncio.get_running_loop().call_later(self._run.pause_s, self._ask)
        else:
            self._ask()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.is_closing:
            self._run.broken += 1

    def close(self) -> None:
        self.is_closing = True
        self._transport.close()


def answer_size(data: bytes) -> int | None:
    """How many bytes the answer that begins here has; None while that cannot be told."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return None
    lines = data[:head].lower()
    at = lines.find(b"\r\ncontent-length:")
    if at >= 0:
        return head + 4 + int(lines[at + 17 :].split(b"\r\n", 1)[0])
    if b"\r\ntransfer-encoding: chunked" in lines:
        end = data.find(b"\r\n0\r\n\r\n", head)
        return None if end < 0 else end + 7
    return head + 4


async def _generate(order: dict[str, Any]) -> LoadResult:
    run = Run([request.encode("latin-1") for request in order["requests"]], pause_s=order["pause_s"])
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: Connection(run), order["host"], order["port"])
        for _ in range(order["connections"])
    ]
    await asyncio.sleep(WARM_UP_S)
    before = {group: cpu_seconds(pids) for group, pids in order["pids"].items()}
    stopped = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), stopped.set)  # nothing more is written there: it is closed
    began, run.is_measuring = time.perf_counter(), True
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stopped.wait(), order["seconds"])
    loop.remove_reader(sys.stdin.fileno())
    run.is_measuring = False
    seconds = time.perf_counter() - began
    after = {group: cpu_seconds(pids) for group, pids in order["pids"].items()}
    for _, connection in made:
        connection.close()
    return run.result(seconds=seconds, cpu_s={group: after[group] - before[group] for group in before})


def main() -> None:
    order = json.loads(sys.stdin.readline())
    try:
        import uvloop
    except ImportError:
        result = asyncio.run(_generate(order))
    else:
        result = uvloop.run(_generate(order))
    json.dump(asdict(result), sys.stdout)


if __name__ == "__main__":
    main()
