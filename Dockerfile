# The service's image: the locked runtime environment, the code, an ordinary user. One image for every role.
FROM python:3.13-slim-bookworm AS build
RUN pip install --no-cache-dir uv
WORKDIR /app
COPY pyproject.toml requirements.lock ./
# Of the lock only what the service itself needs: no test tools, no embedded servers. Versions and hashes are the lock's.
RUN uv pip compile --quiet --generate-hashes --constraints requirements.lock pyproject.toml --output-file runtime.lock \
 && uv venv --quiet .venv \
 && uv pip sync --quiet --compile-bytecode --python .venv/bin/python --require-hashes runtime.lock

FROM python:3.13-slim-bookworm
RUN useradd --system --uid 10001 --create-home forum
WORKDIR /app
COPY --from=build /app/.venv /app/.venv
COPY manage.py ./
COPY forum_backend ./forum_backend
COPY routers ./routers
COPY workers ./workers
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER forum
EXPOSE 8000
# Below warnings the server would write down every websocket's address and client, whatever becomes of its access log.
CMD ["uvicorn", "forum_backend.asgi:application", "--host", "0.0.0.0", "--port", "8000", "--no-access-log", "--log-level", "warning", "--ws-per-message-deflate", "false", "--ws-max-size", "16384"]
