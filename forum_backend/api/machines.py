"""For machines: does the process live, do its servers answer, and what has it been doing."""

from django.http import HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from forum_backend.api.answers import answer
from forum_backend.queries.readiness import readiness
from forum_backend.services.crossing import in_service_thread


async def healthz(request: HttpRequest) -> HttpResponse:
    """The process lives and its event loop turns."""
    return answer({"status": "ok"})


async def readyz(request: HttpRequest) -> HttpResponse:
    """200 if the control database and Redis answer, else 503; names every server that does not."""
    state = await in_service_thread(readiness)
    response = answer(state, status=200 if state["ready"] else 503)
    if not state["ready"]:
        response["Retry-After"] = "1"
    return response


async def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus' text format; of this process (each worker process has its own)."""
    return HttpResponse(generate_latest(), content_type=CONTENT_TYPE_LATEST)
