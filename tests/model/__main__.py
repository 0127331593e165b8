"""`python -m tests.model [--wide]`: explore the protocol, then each mutant, and print its counterexample."""

import argparse
import time

from tests.model.mutants import CLEAN, MUTANTS, WIDE, counterexample, explored, told


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description="Explore the protocol of a move.")
    parser.add_argument("--wide", action="store_true", help="also with wider bounds: minutes and gigabytes")
    arguments = parser.parse_args()
    failed = False
    for name, bounds in {**CLEAN, **(WIDE if arguments.wide else {})}.items():
        began = time.monotonic()
        found = explored(bounds)
        failed = failed or bool(found.violations)
        print(told(f"{name} ({time.monotonic() - began:.1f} s)", found), flush=True)
    for name in MUTANTS:
        found = counterexample(name)
        failed = failed or not found.violations
        print(told(f"\nMutant: {name}", found), flush=True)
    raise SystemExit(failed)


if __name__ == "__main__":
    main()
