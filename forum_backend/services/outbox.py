"""Recording what happened: one event of one write, in its own transaction."""

from datetime import datetime

from forum_backend.data.shard.models import OutboxEvent
from forum_backend.domain import events
from forum_backend.services.forum_write import OpenForum


def record(forum: OpenForum, event: events.Event, *, now: datetime) -> None:
    """Put an event into the outbox of an open forum; the relay numbers and publishes it after the commit."""
    OutboxEvent.objects.in_forum(forum).create(
        type=event.type, subject_id=event.subject_id, data=events.encode(event), at=now
    )
