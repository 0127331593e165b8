"""Real PostgreSQL and Valkey servers of one's own, from wheels or the system, in one directory."""

from .errors import AlreadyRunning, DirectoryUnusable, EmbeddedError, ProgramsMissing, ServerFailed, StartCancelled
from .files import SavedSecrets, last_lines, write_private
from .layout import shards_present
from .lock import DirectoryLock
from .ports import why_not_listen
from .processes import spawn
from .servers import EmbeddedServers
from .supervisor import KeptAlive, ProcessSpec, Supervisor

__all__ = [
    "AlreadyRunning",
    "DirectoryLock",
    "DirectoryUnusable",
    "EmbeddedError",
    "EmbeddedServers",
    "KeptAlive",
    "ProcessSpec",
    "ProgramsMissing",
    "SavedSecrets",
    "ServerFailed",
    "StartCancelled",
    "Supervisor",
    "last_lines",
    "shards_present",
    "spawn",
    "why_not_listen",
    "write_private",
]
