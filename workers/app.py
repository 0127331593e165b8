"""The Celery application: Redis as broker, no results kept, every message safe to be delivered twice."""

import os

from celery import Celery
from kombu import Queue  # type: ignore[attr-defined]

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "forum_backend.settings")

from django.conf import settings

celery_app = Celery("forum", broker=settings.REDIS_URL, include=["workers.tasks"])
celery_app.conf.update(
    accept_content=["json"],
    task_serializer="json",
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_time_limit=60,
    task_soft_time_limit=30,
    task_default_queue="default",
    task_queues=[Queue(name) for name in ("default", "moves")],  # type: ignore[no-untyped-call]
    task_routes={"workers.tasks.advance_move": {"queue": "moves"}, "workers.tasks.clear_leftovers": {"queue": "moves"}},
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_connection_timeout=5,
    broker_transport_options={
        "visibility_timeout": 120,
        "socket_timeout": 30,  # longer than kombu's blocking reads
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 25,
    },
    timezone="UTC",
    # A tick that nobody took in time is worth nothing: the next one does the same.
    beat_schedule={
        "pick up moves": {"task": "workers.tasks.pick_up_moves", "schedule": 1.0, "options": {"expires": 2}},
        "measure shards": {"task": "workers.tasks.measure_shards", "schedule": 10.0, "options": {"expires": 10}},
        "measure loads": {"task": "workers.tasks.measure_loads", "schedule": 10.0, "options": {"expires": 10}},
        "drain shards": {"task": "workers.tasks.drain_shards", "schedule": 5.0, "options": {"expires": 5}},
        "forget old rows": {"task": "workers.tasks.forget_old", "schedule": 3600.0, "options": {"expires": 600}},
    },
    beat_max_loop_interval=1,
)
