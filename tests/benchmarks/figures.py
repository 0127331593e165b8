"""Figures, each beside the limit that was measured in the same run."""

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table


def at_share(values: Iterable[float], share: float) -> float:
    """The least of the values that at least this share of all does not exceed (the nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured value; `limit` is what the machine gives for the same work without the service."""

    name: str
    value: float
    unit: str
    limit: float | None = None
    limit_name: str = ""

    @property
    def ratio(self) -> float | None:
        return self.value / self.limit if self.limit else None

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"value": round(self.value, 3), "unit": self.unit}
        if self.limit:
            found |= {"limit": round(self.limit, 3), "limit_name": self.limit_name, "ratio": round(self.ratio or 0, 4)}
        return found


def show(title: str, figures: Sequence[Figure]) -> dict[str, Any]:
    """Print the table and return the same as data: what a benchmark's `run` returns."""
    load_1m = os.getloadavg()[0]
    table = Table(title=f"{title} (machine: {os.cpu_count()} cores, load {load_1m:.1f})", title_justify="left")
    for heading in ("figure", "value", "limit", "ratio"):
        table.add_column(heading, justify="left" if heading == "figure" else "right")
    for figure in figures:
        limit = f"{_number(figure.limit)} {figure.limit_name}" if figure.limit else ""
        ratio = f"{figure.ratio:.2f}" if figure.ratio is not None else ""
        table.add_row(figure.name, f"{_number(figure.value)} {figure.unit}", limit, ratio)
    Console(width=130).print(table)
    return {**{figure.name: figure.as_json() for figure in figures}, "load_1m": round(load_1m, 2)}


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"
