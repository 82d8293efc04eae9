"""When which photo may be asked for: parallel requests and rate per host, waits, Retry-After.

Nothing here sleeps or reads a clock: the time, in seconds, comes from the caller.
"""

from __future__ import annotations

import email.utils
import heapq
import itertools
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic, TypeVar

Job = TypeVar("Job")


@dataclass
class _Host(Generic[Job]):
    waiting: deque[Job] = field(default_factory=deque)
    n_active: int = 0
    next_start: float = 0.0
    is_offered: bool = False


class HostQueue(Generic[Job]):
    """Jobs waiting for their host's turn.

    Parameters
    ----------
    per_host : int
        Jobs of one host that are under way at a time.
    rate : float
        Jobs of one host that start in a second; 0 sets no limit.

    Notes
    -----
    A job is under way from :meth:`take` to :meth:`release`. Hosts take turns by the time they
    became ready, so that a slow host holds up nobody else. A host whose last job ends after its pause and
    its interval are over is forgotten. All calls cost O(log hosts).
    """

    def __init__(self, *, per_host: int, rate: float):
        self._per_host = per_host
        self._interval = 1.0 / rate if rate else 0.0
        self._hosts: dict[str, _Host[Job]] = {}
        self._ready: list[tuple[float, int, str]] = []
        self._delayed: list[tuple[float, int, str, Job]] = []
        self._order = itertools.count()
        self._n_waiting = 0

    def __len__(self) -> int:
        return self._n_waiting + len(self._delayed)

    @property
    def n_hosts(self) -> int:
        """Hosts that are remembered."""
        return len(self._hosts)

    def put(self, host: str, job: Job, *, not_before: float = 0.0) -> None:
        """Let a job wait for its host, and for a time if one is given."""
        if not_before > 0:
            heapq.heappush(self._delayed, (not_before, next(self._order), host, job))
            return
        self._host(host).waiting.append(job)
        self._n_waiting += 1
        self._offer(host)

    def pause(self, host: str, until: float) -> None:
        """Start no job of a host before a time, as a server asked."""
        record = self._host(host)
        record.next_start = max(record.next_start, until)

    def take(self, now: float) -> tuple[str, Job] | None:
        """Host and job that may start now; None if there is none."""
        while self._delayed and self._delayed[0][0] <= now:
            _, _, host, job = heapq.heappop(self._delayed)
            self._host(host).waiting.append(job)
            self._n_waiting += 1
            self._offer(host)
        while self._ready and self._ready[0][0] <= now:
            _, _, host = heapq.heappop(self._ready)
            record = self._hosts[host]
            record.is_offered = False
            if record.next_start > now:  # paused since it was offered
                self._offer(host)
                continue
            job = record.waiting.popleft()
            self._n_waiting -= 1
            record.n_active += 1
            record.next_start = max(record.next_start + self._interval, now + self._interval)
            self._offer(host)
            return host, job
        return None

    def release(self, host: str, now: float) -> None:
        """Say that a job of a host is no longer under way."""
        record = self._hosts[host]
        record.n_active -= 1
        self._offer(host)
        if not record.waiting and not record.n_active and record.next_start <= now:
            del self._hosts[host]

    def next_time(self) -> float | None:
        """When to call :meth:`take` next, if nothing is put or released before."""
        times = [heap[0][0] for heap in (self._ready, self._delayed) if heap]
        return min(times) if times else None

    def _host(self, host: str) -> _Host[Job]:
        record = self._hosts.get(host)
        if record is None:
            record = self._hosts[host] = _Host()
        return record

    def _offer(self, host: str) -> None:
        record = self._hosts[host]
        if record.waiting and record.n_active < self._per_host and not record.is_offered:
            record.is_offered = True
            heapq.heappush(self._ready, (record.next_start, next(self._order), host))


def backoff_wait(attempt: int, chance: float, *, first: float, longest: float) -> float:
    """Seconds to wait after a failed attempt.

    Parameters
    ----------
    attempt : int
        Attempts so far, from 1.
    chance : float
        A random number in [0, 1): photos that failed together do not come back together.
    first, longest : float
        Seconds after the first attempt, and at most.

    Notes
    -----
    ``min(longest, first * 2^(attempt - 1)) * (1 + chance) / 2``.

    Examples
    --------
    >>> backoff_wait(1, 0.0, first=1, longest=300), backoff_wait(4, 0.5, first=1, longest=300)
    (0.5, 6.0)
    """
    return min(longest, first * 2.0 ** min(attempt - 1, 60)) * (1 + chance) / 2


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds that a ``Retry-After`` header asks for, by number or by date; None if unreadable.

    Examples
    --------
    >>> retry_after("120", datetime(2026, 1, 1, tzinfo=UTC))
    120.0
    >>> retry_after("Thu, 01 Jan 2026 00:00:30 GMT", datetime(2026, 1, 1, tzinfo=UTC))
    30.0
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
