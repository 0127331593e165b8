"""What can go wrong with the embedded servers.

    EmbeddedError
    ├── AlreadyRunning       another process holds this directory
    ├── ProgramsMissing      no suitable PostgreSQL or Valkey was found
    ├── DirectoryUnusable    the directory cannot hold the servers' data
    ├── ServerFailed         a server died or did not answer in time
    └── StartCancelled       the caller asked to stop during the start

Each message is one sentence for a person: what is wrong, and what would be right.
"""


class EmbeddedError(Exception):
    """The embedded servers cannot do what was asked."""


class AlreadyRunning(EmbeddedError):
    """Another process holds this directory."""


class ProgramsMissing(EmbeddedError):
    """No suitable PostgreSQL or Valkey was found."""


class DirectoryUnusable(EmbeddedError):
    """The directory cannot hold the servers' data."""


class ServerFailed(EmbeddedError):
    """A server died or did not answer in time."""


class StartCancelled(EmbeddedError):
    """The caller asked to stop during the start."""
