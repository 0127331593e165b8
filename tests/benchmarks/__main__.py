"""`python -m tests.benchmarks [page|post|live|routing|directory|import|moves|all] [--json] [--seconds N]`"""

import argparse
import contextlib
import importlib
import json
import sys
from typing import Any

BENCHMARKS = {
    "page": "page",
    "post": "post",
    "live": "live",
    "routing": "routing",
    "directory": "directory",
    "import": "import_disqus",
    "moves": "moves",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Measure the running service.")
    parser.add_argument("names", nargs="*", default=["all"], metavar="name", help=f"{', '.join(BENCHMARKS)} or all")
    parser.add_argument("--json", action="store_true", help="print one JSON object; tables go to standard error")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of a measurement (default %(default)s)")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in {*BENCHMARKS, "all"}]
    if unknown or not 1 <= arguments.seconds <= 600:
        parser.error(f"no benchmark {unknown[0]!r}" if unknown else "--seconds must be between 1 and 600")
    names = list(BENCHMARKS) if "all" in arguments.names else arguments.names
    found: dict[str, Any] = {}
    with contextlib.redirect_stdout(sys.stderr) if arguments.json else contextlib.nullcontext():
        for name in names:
            found[name] = importlib.import_module(f"tests.benchmarks.{BENCHMARKS[name]}").run(arguments)
    if arguments.json:
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
