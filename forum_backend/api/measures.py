"""What the API lane counts, for Prometheus."""

from prometheus_client import Counter, Gauge, Histogram

from forum_backend.services.crossing import busy
from forum_backend.services.forum_write import retries
from forum_backend.services.gates import gate_places

_requests = Counter("forum_requests", "Requests answered", ["method", "route", "status"])
_seconds = Histogram(
    "forum_request_seconds",
    "Time to answer",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
Gauge("forum_service_calls", "Calls that run or wait in service threads").set_function(busy)
Gauge("forum_writers_at_fences", "Calls that wait at fences of moving forums, or for a place there").set_function(
    lambda: float(gate_places.waiting)
)
Gauge("forum_write_retries", "Writes sent on to another shard or run again since the start").set_function(
    lambda: float(retries.total)
)


def measure(*, method: str, route: str, status: int, seconds: float) -> None:
    """Count one answered request under its route's template."""
    _requests.labels(method, route, status).inc()
    _seconds.labels(route).observe(seconds)
