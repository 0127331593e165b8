"""`python -m tests.history --seconds 60 --seed N [--moves] [--json]`: the checker on a service of its own.

With `--crashes N` movers die instead, at random, so many times: tests/history/crashes.py.
"""

import argparse
import contextlib
import json
import random
import sys
import time
from typing import Any

from forum_backend.commands.display import Display
from tests.history import crashes
from tests.history.checking import HistoryCheck
from tests.history.verdict import Verdict
from tests.running import Service

MOST_SECONDS, MOST_CRASHES = 24 * 3600, 1_000_000


def main() -> None:
    arguments = parse()
    out = sys.stderr if arguments.json else sys.stdout
    with contextlib.redirect_stdout(out):
        print(f"Seed {arguments.seed}: repeat with --seed {arguments.seed}", flush=True)
        if arguments.crashes:
            told, is_good = crash(arguments)
        else:
            told, is_good = check(arguments)
    if arguments.json:
        print(json.dumps(told, indent=2))
    raise SystemExit(not is_good)


def check(arguments: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """People write for some seconds."""
    settings = {"SIGN_IN_ATTEMPTS_PER_MINUTE": "10000"}
    with Service(shards=arguments.shards, settings=settings) as service:
        verdict, windows = run(service, arguments)
    print(f"{verdict}\n{windows}", flush=True)
    problems = [{"kind": each.kind, "text": each.text} for each in verdict.problems]
    told = {"seed": arguments.seed, "is_good": verdict.is_good, "figures": verdict.figures, "problems": problems}
    return told, verdict.is_good


def crash(arguments: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """People write while movers die."""
    running = Service(shards=arguments.shards, roles=crashes.ROLES, settings=crashes.SETTINGS)
    with running as service, Display(sys.stdout) as display:
        found = crashes.crash(service, seed=arguments.seed, crashes=arguments.crashes, display=display)
    print(found, flush=True)
    return found.shape(), found.is_good


def run(service: Service, arguments: argparse.Namespace) -> tuple[Verdict, str]:
    with HistoryCheck(
        service,
        seed=arguments.seed,
        writers=arguments.writers,
        forums=arguments.forums,
        with_moves=arguments.moves,
    ) as check:
        time.sleep(arguments.seconds)
        return check.verdict(), check.windows_text()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.history", description="Check the histories of real writers.")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long people write (default %(default)s)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of all choices (default: random)")
    parser.add_argument("--moves", action="store_true", help="keep the forums moving to and fro")
    parser.add_argument("--crashes", type=int, default=0, help="kill movers at random, so many, instead of --seconds")
    parser.add_argument("--writers", type=int, default=6)
    parser.add_argument("--forums", type=int, default=2)
    parser.add_argument("--shards", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON; all else to standard error")
    arguments = parser.parse_args()
    if not 0 <= arguments.crashes <= MOST_CRASHES:
        parser.error(f"--crashes must be between 1 and {MOST_CRASHES:,}")
    if not 1 <= arguments.seconds <= MOST_SECONDS or min(arguments.writers, arguments.forums, arguments.shards) < 1:
        parser.error("--seconds must be between 1 and a day's; --writers, --forums and --shards at least 1")
    return arguments


if __name__ == "__main__":
    main()
