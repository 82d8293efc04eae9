"""When which host may be asked: parallel requests and rate, pauses, waits, Retry-After."""

from __future__ import annotations

import asyncio
import email.utils
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass
class _Host:
    slots: asyncio.Semaphore
    next_start: float = 0.0
    n_users: int = 0


class HostTurns:
    """Turns of all who want to ask hosts.

    Parameters
    ----------
    parallel, per_host : int
        Requests at a time, in all and to one host.
    rate : float
        Requests to one host that start in a second; 0 sets no limit.

    Notes
    -----
    Who waits for a host takes no slot from others, so that a slow host holds up nobody else. A host
    that nobody wants any more is forgotten once its pause and its interval are over.
    """

    def __init__(self, *, parallel: int, per_host: int, rate: float):
        self._slots = asyncio.Semaphore(parallel)
        self._per_host = per_host
        self._interval = 1.0 / rate if rate else 0.0
        self._hosts: dict[str, _Host] = {}

    @asynccontextmanager
    async def turn(self, host: str) -> AsyncIterator[None]:
        """Wait until a host may be asked; the request is the body."""
        record = self._host(host)
        record.n_users += 1
        clock = asyncio.get_running_loop().time
        try:
            async with record.slots:
                while True:
                    if (wait := record.next_start - clock()) > 0:
                        await asyncio.sleep(wait)
                    async with self._slots:
                        if record.next_start > clock():  # paused, or another came first
                            continue
                        record.next_start = max(record.next_start, clock()) + self._interval
                        yield
                        return
        finally:
            record.n_users -= 1
            if not record.n_users and record.next_start <= clock():
                del self._hosts[host]

    def pause(self, host: str, seconds: float) -> None:
        """Start no request to a host for so long, as a server asked."""
        record = self._host(host)
        until = asyncio.get_running_loop().time() + seconds
        record.next_start = max(record.next_start, until)

    def _host(self, host: str) -> _Host:
        return self._hosts.setdefault(host, _Host(asyncio.Semaphore(self._per_host)))


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
