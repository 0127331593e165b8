"""Disqus' export XML, read and written as streams of records; pure parsing, no database."""

from forum_backend.domain.disqus.malformed import MalformedExport
from forum_backend.domain.disqus.reader import check_export, read_export
from forum_backend.domain.disqus.records import (
    AuthorRecord,
    CategoryRecord,
    PostRecord,
    Problem,
    Record,
    ThreadRecord,
)
from forum_backend.domain.disqus.writer import ExportWriter

__all__ = [
    "AuthorRecord",
    "CategoryRecord",
    "ExportWriter",
    "MalformedExport",
    "PostRecord",
    "Problem",
    "Record",
    "ThreadRecord",
    "check_export",
    "read_export",
]
