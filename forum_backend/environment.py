"""The environment file of a running embedded service: how a second terminal finds its servers."""

import os
from pathlib import Path

ENVIRONMENT_FILE = "environment"


def read_environment(data: Path) -> None:
    """Take over ``KEY=VALUE`` lines of ``<data>/environment`` that the real environment does not set."""
    try:
        lines = (data / ENVIRONMENT_FILE).read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    for line in lines:
        key, separator, value = line.partition("=")
        if separator and not key.startswith("#"):
            os.environ.setdefault(key.strip(), value.strip())
