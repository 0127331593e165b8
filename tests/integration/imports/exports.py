"""Small exports of the tests' own making, and what a forum holds after an import."""

from collections.abc import Iterable
from io import BytesIO
from typing import Any

from django.utils import timezone

from forum_backend.data.shard.models import OutboxEvent, Post, Thread
from forum_backend.queries.forum_read import forum_read
from forum_backend.services.export_disqus import export_forum
from forum_backend.services.import_disqus import ImportReport, import_export

HEAD = '<disqus xmlns="http://disqus.com" xmlns:dsq="http://disqus.com/disqus-internals">\n'


def thread(number: int, *, deleted: bool = False) -> str:
    return (
        f'<thread dsq:id="{number}"><id>page-{number}</id><forum>demo</forum><link>https://example.org/{number}</link>'
        f"<title>Thread {number}</title><createdAt>2019-04-01T08:00:00Z</createdAt><isClosed>false</isClosed>"
        f"<isDeleted>{str(deleted).lower()}</isDeleted></thread>\n"
    )


def post(
    number: int, thread: int, parent: int | None = None, *, message: str = "", deleted: bool = False, spam: bool = False
) -> str:
    above = "" if parent is None else f'<parent dsq:id="{parent}"/>'
    return (
        f'<post dsq:id="{number}"><id/><message><![CDATA[{message or f"<p>Post {number}</p>"}]]></message>'
        f"<createdAt>2020-01-01T00:{number // 60 % 60:02}:{number % 60:02}Z</createdAt>"
        f"<isDeleted>{str(deleted).lower()}</isDeleted><isSpam>{str(spam).lower()}</isSpam>"
        f"<author><name>Person {number % 7}</name><isAnonymous>true</isAnonymous></author>"
        f'<thread dsq:id="{thread}"/>{above}</post>\n'
    )


def export(*records: str) -> BytesIO:
    return BytesIO(f"{HEAD}{''.join(records)}</disqus>\n".encode())


def import_into(forum: int, file: BytesIO, *, lenient: bool = False) -> ImportReport:
    file.seek(0)
    return import_export(file, forum_id=forum, lenient=lenient, now=timezone.now)


def exported(forum: int) -> BytesIO:
    stream = BytesIO()
    export_forum(forum, stream)
    return stream


def posts_of(forum: int) -> list[Post]:
    return _rows(forum, Post)


def threads_of(forum: int) -> list[Thread]:
    return _rows(forum, Thread)


def parents_of(forum: int) -> dict[int, int | None]:
    """The `dsq:id` of each post's parent; checks on the way that all paths are right."""
    rows = {row.pk: row for row in posts_of(forum)}
    for row in rows.values():
        above = rows[row.parent_id].path[:99] if row.parent_id else []
        assert row.path == [*above, row.pk]
    return {row.dsq_id: rows[row.parent_id].dsq_id if row.parent_id else None for row in rows.values()}


def imported_events(forum: int) -> list[dict[str, Any]]:
    """The facts of the events that wait in the outbox; where no relay runs, those are all there were."""
    return [event.data for event in _rows(forum, OutboxEvent) if event.type == "forum.imported"]


def reasons(report: ImportReport) -> dict[int | None, str]:
    return {remark.dsq_id: remark.reason for remark in report.problems}


def _rows(forum: int, model: Any) -> list[Any]:
    def read(alias: str) -> Iterable[Any]:
        return list(model.objects.using(alias).filter(forum_id=forum).order_by("pk"))

    return list(forum_read(forum, read))
