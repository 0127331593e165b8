"""How plans and the fleet look in a terminal: a line for each move, bars for the shards before and after."""

from collections.abc import Iterator
from io import StringIO
from typing import Any

from django.core.management.base import OutputWrapper
from rich.bar import Bar
from rich.console import Console
from rich.table import Table

WIDTH = 24
# What a bar shows: a field of a shard's load, its title, and by how much to divide it.
LOADS = (("rows", "rows", 1.0), ("bytes", "MB", 1e6), ("writes_s", "writes/s", 1.0), ("reads_s", "reads/s", 1.0))


def plan_lines(plan: dict[str, Any]) -> Iterator[str]:
    """A plan for people: its moves with their reasons, what is held back, and what to type next."""
    for number, move in enumerate(plan["moves"], start=1):
        name = move["slug"] or move["forum"]
        yield f"{number:>3}. {name}: {move['source']} -> {move['target']}  ({move['reason']})"
        outcome = _outcome(move)
        yield f"     about {move['duration_s']:.1f} s, {move['window_ms']:.0f} ms without writes{outcome}"
    for held in plan["held"]:
        yield f"  -  forum {held['forum']} stays on {held['shard']}: {held['reason']}"
    yield f"{plan['note']}."
    if plan["moves"] and plan["applied_at"] is None:
        yield f"Apply it with: manage.py moves apply {plan['hash']}"


def _outcome(move: dict[str, Any]) -> str:
    if "move" in move:
        return f"; it is move {move['move']}"
    return f"; refused: {move['refused']}" if "refused" in move else ""


def show_fleets(plan: dict[str, Any], out: OutputWrapper) -> None:
    """The shards as bars, before the plan and after it, for each kind of load that there is."""
    text = StringIO()
    console = Console(file=text, highlight=False, force_terminal=out.isatty(), width=WIDTH * 4)
    before, after = plan["before"]["shards"], plan["after"]["shards"]
    for field, title, unit in LOADS:
        largest = max((shard[field] for shard in [*before, *after]), default=0)
        if largest > 0:
            console.print(_table(before, after, field=field, title=title, unit=unit, largest=largest))
    out.write(text.getvalue())


def _table(
    before: list[dict[str, Any]], after: list[dict[str, Any]], *, field: str, title: str, unit: float, largest: float
) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1))
    for heading, side in (("SHARD", "left"), ("BEFORE", "left"), ("", "right"), ("AFTER", "left"), ("", "right")):
        table.add_column(heading, justify="right" if side == "right" else "left", no_wrap=True)
    for old, new in zip(before, after, strict=True):
        name = f"{old['name']} (drained)" if old["is_draining"] else old["name"]
        cells = [(_bar(shard[field], largest), f"{shard[field] / unit:,.1f}") for shard in (old, new)]
        table.add_row(name, *cells[0], *cells[1])
    return table


def _bar(value: float, largest: float) -> Bar:
    return Bar(largest, 0, max(0.0, value), width=WIDTH)
