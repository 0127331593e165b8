"""`python -m tests.history --seconds 60 --seed N [--moves] [--json]`: the checker on a service of its own."""

import argparse
import contextlib
import json
import random
import sys
import time

from tests.history.checking import HistoryCheck
from tests.history.verdict import Verdict
from tests.running import Service

MOST_SECONDS = 24 * 3600


def main() -> None:
    arguments = parse()
    out = sys.stderr if arguments.json else sys.stdout
    with contextlib.redirect_stdout(out):
        print(f"Seed {arguments.seed}: repeat with --seed {arguments.seed}", flush=True)
        settings = {"SIGN_IN_ATTEMPTS_PER_MINUTE": "10000"}
        with Service(shards=arguments.shards, settings=settings) as service:
            verdict, windows = run(service, arguments)
        print(f"{verdict}\n{windows}", flush=True)
    if arguments.json:
        problems = [{"kind": each.kind, "text": each.text} for each in verdict.problems]
        told = {"seed": arguments.seed, "is_good": verdict.is_good, "figures": verdict.figures, "problems": problems}
        print(json.dumps(told, indent=2))
    raise SystemExit(not verdict.is_good)


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
    parser.add_argument("--writers", type=int, default=6)
    parser.add_argument("--forums", type=int, default=2)
    parser.add_argument("--shards", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON; all else to standard error")
    arguments = parser.parse_args()
    if not 1 <= arguments.seconds <= MOST_SECONDS or min(arguments.writers, arguments.forums, arguments.shards) < 1:
        parser.error("--seconds must be between 1 and a day's; --writers, --forums and --shards at least 1")
    return arguments


if __name__ == "__main__":
    main()
