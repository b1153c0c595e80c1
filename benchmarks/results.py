"""What was measured, in a shape that can be printed and written as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Summary:
    """The middle of several rounds, and how far they lie apart."""

    minimum: float
    median: float
    maximum: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """Summarizes.

        Args:
            values: One for each round.
        """
        return cls(min(values), statistics.median(values), max(values))


@dataclass
class Row:
    """One line of a table."""

    name: str
    title: str
    summary: Summary
    ratio: Summary | None = None
    """Against the table's reference, in the same round."""
    extra: dict[str, float | str] = field(default_factory=dict)
    """Further columns."""


@dataclass
class Table:
    """Things that were measured side by side."""

    title: str
    unit: str
    reference: str | None
    rows: list[Row]


@dataclass
class Finding:
    """Whether a target was reached."""

    figure: str
    target: str
    value: float
    unit: str
    reached: bool


@dataclass
class Part:
    """All about one figure."""

    name: str
    title: str
    tables: list[Table]
    findings: list[Finding]
    notes: list[str] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    """For whoever wants to draw it."""


def ratios(values: Sequence[float], reference: Sequence[float]) -> Summary:
    """Summarizes what each value is in parts of the reference of the same round.

    Machines get slower and faster for minutes. Neighbours in time have that in common, so their ratio is steadier than
    the ratio of the medians.

    Args:
        values: One for each round.
        reference: One for each round.
    """
    return Summary.of([value / base for value, base in zip(values, reference, strict=True)])


def at_least(figure: str, target: float, value: float, unit: str = "times") -> Finding:
    """Says whether a value is large enough."""
    return Finding(figure, f"at least {target:g}", value, unit, value >= target)


def at_most(figure: str, target: float, value: float, unit: str = "times") -> Finding:
    """Says whether a value is small enough."""
    return Finding(figure, f"at most {target:g}", value, unit, value <= target)


def make_table(
    title: str,
    unit: str,
    values: dict[str, list[float]],
    titles: dict[str, str],
    reference: str | None = None,
    extra: dict[str, dict[str, float | str]] | None = None,
) -> Table:
    """Makes a table of values that were measured side by side.

    Args:
        title: Says what is measured.
        unit: Of the values.
        values: For each name one value a round.
        titles: What to call the names.
        reference: The name that the others are compared to.
        extra: Further columns, for each name.
    """
    rows = [
        Row(
            name,
            titles.get(name, name),
            Summary.of(samples),
            None if reference is None else ratios(samples, values[reference]),
            (extra or {}).get(name, {}),
        )
        for name, samples in values.items()
    ]
    return Table(title, unit, reference, rows)
