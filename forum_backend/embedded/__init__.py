"""Real PostgreSQL and Valkey servers of one's own, from wheels or the system, in one directory."""

from .errors import AlreadyRunning, DirectoryUnusable, EmbeddedError, ProgramsMissing, ServerFailed, StartCancelled
from .files import SavedSecrets, write_private
from .layout import shards_present
from .lock import DirectoryLock
from .servers import EmbeddedServers

__all__ = [
    "AlreadyRunning",
    "DirectoryLock",
    "DirectoryUnusable",
    "EmbeddedError",
    "EmbeddedServers",
    "ProgramsMissing",
    "SavedSecrets",
    "ServerFailed",
    "StartCancelled",
    "shards_present",
    "write_private",
]
