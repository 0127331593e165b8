"""The one error of this package: a file that is no readable export."""

from forum_backend.domain.errors import ForumError


class MalformedExport(ForumError):
    """The file is not a readable Disqus export; `line` and `column` (both from 1) say where it stops making sense."""

    title = "The file is not a readable export"

    def __init__(self, *, line: int, column: int, reason: str) -> None:
        super().__init__(f"line {line}, column {column}: {reason}")
        self.line = line
        self.column = column
        self.reason = reason
