"""Take turns, and compare: the one way in which every benchmark here measures."""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    ``value`` is a ratio or a figure with its unit; ``at_most`` (or ``at_least``) is the bound it is held to.
    """

    what: str
    against: str
    value: float
    unit: str = "x"
    at_most: float | None = None
    at_least: float | None = None
    detail: str = ""

    def cells(self) -> list[str]:
        """What the table shows."""
        figure = f"{self.value:.2f} x" if self.unit == "x" else f"{self.value:.3g} {self.unit}"
        bound, verdict = "-", ""
        if self.at_most is not None:
            bound = f"<= {self.at_most:g}"
            verdict = "holds" if self.value <= self.at_most else "MISSED"
        if self.at_least is not None:
            bound = f">= {self.at_least:g}"
            verdict = "holds" if self.value >= self.at_least else "MISSED"
        return [self.what, self.against, figure, bound, f"{verdict} {self.detail}".strip()]


def table(rows: Sequence[Row]) -> str:
    """Rows as aligned text."""
    header = ["what", "against", "measured", "bound", ""]
    return aligned([header, *(row.cells() for row in rows)])


def aligned(lines: list[list[str]]) -> str:
    """Lines, the first being the header, as text."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    ruled = [lines[0], ["-" * width for width in widths], *lines[1:]]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in ruled)


def seconds(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    gc.collect()
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


class Times(dict[str, list[float]]):
    """Seconds of some functions, a number for each round."""

    def median(self, name: str) -> float:
        return statistics.median(self[name])

    def ratio(self, name: str, baseline: str) -> float:
        """Median over the rounds of one function's time over the baseline's in the same round."""
        return statistics.median(a / b for a, b in zip(self[name], self[baseline], strict=True))


def in_turns(
    functions: dict[str, Callable[[], object]], *, rounds: int = 5, warm_up: int = 1
) -> Times:
    """Times of functions, every round running all of them once, one after the other."""
    times = Times({name: [] for name in functions})
    for number in range(warm_up + rounds):
        for name, function in functions.items():
            elapsed = seconds(function)
            if number >= warm_up:
                times[name].append(elapsed)
    return times


def fresh_process(code: str) -> str:
    """Run Python code in a new process and return the last line that it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.splitlines()[-1]


def peak_gib() -> float:
    """Most memory this process has had resident so far, in GiB.

    Of ``VmHWM``: ``ru_maxrss`` starts at what the parent process had when it made this one.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 2**20
