"""Turns of hosts, waits, and what a server asks for."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from geoloc_models_download import run_without_waiting
from hypothesis import given
from hypothesis import strategies as st

from geoloc_models.download.politeness import HostTurns, backoff_wait, retry_after

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def run_turns(jobs, *, parallel=100, per_host=100, rate=0.0, lasts=0.0, pauses=()):
    """Times at which jobs ``(name, host)`` start, and the largest number at a time."""
    started, active = {}, [0, 0]

    async def run():
        turns = HostTurns(parallel=parallel, per_host=per_host, rate=rate)
        clock = asyncio.get_running_loop().time
        begin = clock()
        for host, seconds in pauses:
            turns.pause(host, seconds)

        async def ask(name, host):
            async with turns.turn(host):
                started[name] = clock() - begin
                active[0] += 1
                active[1] = max(active)
                await asyncio.sleep(lasts)
                active[0] -= 1

        async with asyncio.TaskGroup() as group:
            for name, host in jobs:
                group.create_task(ask(name, host))
        return turns

    turns = run_without_waiting(run())
    return started, active[1], turns


def test_a_host_is_asked_at_its_rate():
    started, _, _ = run_turns([(k, "a") for k in range(5)], rate=50)
    assert list(started.values()) == pytest.approx([0, 0.02, 0.04, 0.06, 0.08], abs=1e-6)


@pytest.mark.parametrize(("parallel", "per_host"), [(100, 2), (2, 100)])
def test_no_more_jobs_run_than_allowed(parallel, per_host):
    jobs = [(k, "a") for k in range(6)]
    started, most, _ = run_turns(jobs, parallel=parallel, per_host=per_host, lasts=0.01)
    assert most == 2
    assert len(started) == 6


def test_a_slow_host_holds_up_nobody_else():
    jobs = [*((k, "slow") for k in range(5)), ("x", "other")]
    started, _, _ = run_turns(jobs, parallel=1, per_host=1, rate=20)
    assert started["x"] == 0
    assert started[1] == pytest.approx(0.05)


def test_a_pause_holds_for_jobs_that_were_waiting():
    jobs = [("first", "a"), ("other", "b")]
    started, _, _ = run_turns(jobs, pauses=[("a", 0.05), ("a", 0.01)])
    assert started == {"other": 0, "first": pytest.approx(0.05)}


def test_a_host_that_nobody_wants_is_forgotten():
    _, _, turns = run_turns([(k, f"host{k}") for k in range(50)], rate=1000, lasts=0.01)
    assert turns._hosts == {}


def test_the_wait_doubles_up_to_its_bound():
    waits = [backoff_wait(k, 0.999999, first=1, longest=10) for k in range(1, 7)]
    assert waits == pytest.approx([1, 2, 4, 8, 10, 10], rel=1e-5)
    assert backoff_wait(3, 0, first=1, longest=10) == 2
    assert backoff_wait(10_000, 0, first=1, longest=300) == 150


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        (" 120 ", 120),
        ("Fri, 01 May 2026 12:01:00 GMT", 60),
        ("Fri, 01 May 2026 14:01:00 +0200", 60),
        ("Fri, 01 May 2020 12:01:00 GMT", 0),
        ("9" * 500, 999_999_999_999),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        (None, None),
        ("²", None),
        ("Fri, 99 May 2026 12:01:00 GMT", None),
    ],
)
def test_retry_after_is_read(value, seconds):
    assert retry_after(value, NOW) == seconds


@given(st.text(max_size=40))
def test_no_retry_after_is_an_error(value):
    wait = retry_after(value, NOW + timedelta(seconds=1))
    assert wait is None or wait >= 0
