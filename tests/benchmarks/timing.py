"""Take turns, and compare: the one way in which every benchmark here measures."""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One line of the table.

    ``value`` is a ratio or a figure with its unit; ``at_most`` (or ``at_least``) is the bound it is held to, ``aim``
    what we would like.
    """

    what: str
    against: str
    value: float
    unit: str = "x"
    at_most: float | None = None
    at_least: float | None = None
    aim: float | None = None
    detail: str = ""

    @property
    def holds(self) -> bool | None:
        if self.at_most is not None:
            return self.value <= self.at_most
        if self.at_least is not None:
            return self.value >= self.at_least
        return None


def seconds(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    gc.collect()
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def in_turns(
    functions: dict[str, Callable[[], object]], *, rounds: int = 5, warm_up: int = 1
) -> dict[str, list[float]]:
    """Seconds of each function, every round running all of them once, one after the other."""
    for _ in range(warm_up):
        for function in functions.values():
            function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            times[name].append(seconds(function))
    return times


def median_ratio(times: dict[str, list[float]], name: str, baseline: str) -> float:
    """Median over the rounds of one function's time over the baseline's in the same round."""
    return statistics.median(a / b for a, b in zip(times[name], times[baseline], strict=True))


def fresh_process(code: str) -> str:
    """Run Python code in a new process and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=1800
    )
    return done.stdout


def peak_kib() -> int:
    """Most memory this process has had resident so far, in KiB.

    Of ``VmHWM``: ``ru_maxrss`` starts at what the parent process had when it made this one.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def table(rows: list[Row]) -> str:
    """Rows as aligned text."""
    lines = [("what", "against", "measured", "at most", "aim", "")]
    for row in rows:
        figure = f"{row.value:.3g} {row.unit}" if row.unit != "x" else f"{row.value:.2f} x"
        bound = (
            f"{row.at_most:g}"
            if row.at_most is not None
            else f">= {row.at_least:g}"
            if row.at_least is not None
            else "-"
        )
        verdict = {True: "holds", False: "MISSED", None: ""}[row.holds]
        aim = "-" if row.aim is None else f"{row.aim:g}"
        lines.append((row.what, row.against, figure, bound, aim, f"{verdict} {row.detail}".strip()))
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    text = []
    for number, line in enumerate(lines):
        text.append(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        )
        if number == 0:
            text.append("  ".join("-" * width for width in widths))
    return "\n".join(text)
