"""Cut the stream of records into batches of a bounded size, with all work done that needs no database."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from forum_backend.domain.disqus import AuthorRecord, PostRecord, Problem, Record, ThreadRecord
from forum_backend.domain.text import sanitise_html
from forum_backend.services.import_disqus.report import Remark, changed, problem_as_remark

# A mover waits at most 100 ms for the running transaction, so batches are short; four times as many gain a tenth.
BATCH_RECORDS: Final = 500
BATCH_CHARACTERS: Final = 4 << 20
TITLE_LENGTH, NAME_LENGTH = 300, 200


class SafePost(NamedTuple):
    """A post and the HTML that readers may see of it."""

    record: PostRecord
    html: str


@dataclass(slots=True)
class Batch:
    """What goes into one transaction. A batch that `is_last` settles all: nothing waits for a later record."""

    threads: list[ThreadRecord] = field(default_factory=list)
    posts: list[SafePost] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    is_last: bool = False
    characters: int = 0

    @property
    def is_full(self) -> bool:
        size = len(self.threads) + len(self.posts) + len(self.remarks)
        return size >= BATCH_RECORDS or self.characters >= BATCH_CHARACTERS

    @property
    def is_empty(self) -> bool:
        return not (self.threads or self.posts or self.remarks)

    def add(self, record: Record) -> None:
        if isinstance(record, PostRecord):
            self.posts.append(SafePost(record, sanitise_html(record.message)))
            self.characters += len(record.message)
        elif isinstance(record, ThreadRecord):
            self.threads.append(record)
            self.characters += len(record.link) + len(record.title) + len(record.identifier)
        elif isinstance(record, Problem):
            self.remarks.append(problem_as_remark(record))
        # and a category is passed over: forums here have none


def batches(records: Iterable[Record], *, is_last: bool = False) -> Iterator[Batch]:
    """The records in their order, in full batches and one last that may not be full."""
    batch = Batch(is_last=is_last)
    for record in records:
        batch.add(record)
        if batch.is_full:
            yield batch
            batch = Batch(is_last=is_last)
    if not batch.is_empty:
        yield batch


def names_of(author: AuthorRecord) -> tuple[str, str]:
    """The guest name and guest username of a row; who was anonymous has no username."""
    username = "" if author.is_anonymous else author.username or ""
    return author.name[:NAME_LENGTH], username[:NAME_LENGTH]


def title_of(thread: ThreadRecord) -> str:
    """What the thread is called: its title, else its address, else the site's own id of the page."""
    return _whole_title(thread)[:TITLE_LENGTH]


def cuts(record: ThreadRecord | PostRecord) -> Iterator[Remark]:
    """What of the record is longer than its columns."""
    author = record.author
    if len(author.name) > NAME_LENGTH or len(author.username or "") > NAME_LENGTH:
        yield changed(record, f"the author's name is longer than {NAME_LENGTH} characters: taken cut off")
    if isinstance(record, ThreadRecord) and len(_whole_title(record)) > TITLE_LENGTH:
        yield changed(record, f"the title is longer than {TITLE_LENGTH} characters: taken cut off")


def _whole_title(thread: ThreadRecord) -> str:
    return thread.title.strip() or thread.link.strip() or thread.identifier.strip()
