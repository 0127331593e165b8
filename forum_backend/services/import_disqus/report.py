"""What an import did: counts, and a bounded list of the records it could not take as they are."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from forum_backend.domain.disqus import PostRecord, Problem, ThreadRecord

REMARKS_KEPT: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """A record that was left out (`is_taken` false) or changed on its way in, where it stands, and why."""

    kind: str
    dsq_id: int | None
    line: int
    reason: str
    is_taken: bool


@dataclass(slots=True, kw_only=True)
class ImportReport:
    """Taken: came in now. Already there: came in before. The first `REMARKS_KEPT` remarks are kept, all are counted."""

    forum: int = 0
    threads_taken: int = 0
    posts_taken: int = 0
    threads_already_there: int = 0
    posts_already_there: int = 0
    left_out: int = 0
    changed: int = 0
    problems: list[Remark] = field(default_factory=list)

    def remark(self, remarks: Iterable[Remark]) -> None:
        for remark in remarks:
            if remark.is_taken:
                self.changed += 1
            else:
                self.left_out += 1
            if len(self.problems) < REMARKS_KEPT:
                self.problems.append(remark)

    def as_json(self) -> dict[str, Any]:
        """The report as plain values; ids are strings, since they may be larger than JavaScript's whole numbers."""
        facts = asdict(self)
        facts["forum"] = str(self.forum)
        facts["problems_count"] = self.left_out + self.changed
        for remark in facts["problems"]:
            remark["dsq_id"] = None if remark["dsq_id"] is None else str(remark["dsq_id"])
        return facts


def changed(record: ThreadRecord | PostRecord, reason: str) -> Remark:
    """The record is taken, but not quite as it stands in the file."""
    return Remark(kind=_kind(record), dsq_id=record.dsq_id, line=record.line, reason=reason, is_taken=True)


def left_out(record: ThreadRecord | PostRecord, reason: str) -> Remark:
    """The record could be read, but not taken."""
    return Remark(kind=_kind(record), dsq_id=record.dsq_id, line=record.line, reason=reason, is_taken=False)


def problem_as_remark(problem: Problem) -> Remark:
    """The reader could not take the record."""
    return Remark(kind=problem.kind, dsq_id=problem.dsq_id, line=problem.line, reason=problem.reason, is_taken=False)


def _kind(record: ThreadRecord | PostRecord) -> str:
    return "thread" if isinstance(record, ThreadRecord) else "post"
