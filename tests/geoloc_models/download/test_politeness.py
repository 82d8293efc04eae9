"""Turns of hosts, by a clock that the tests turn."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoloc_models.download.politeness import HostQueue, backoff_wait, retry_after

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def starts(queue, until, step=0.01, lasts=0.0):
    """Times and jobs that start, each job taking ``lasts`` seconds."""
    started, ends = [], []
    for k in range(round(until / step) + 1):
        now = k * step
        while ends and ends[0][0] <= now:
            queue.release(ends.pop(0)[1], now)
        while (taken := queue.take(now)) is not None:
            started.append((round(now, 6), taken[1]))
            ends.append((now + lasts, taken[0]))
    return started


def test_a_host_is_asked_at_its_rate():
    queue = HostQueue(per_host=100, rate=2)
    for k in range(5):
        queue.put("a", k)
    assert starts(queue, 3) == [(0.0, 0), (0.5, 1), (1.0, 2), (1.5, 3), (2.0, 4)]


def test_no_more_jobs_of_a_host_run_than_allowed():
    queue = HostQueue(per_host=2, rate=0)
    for k in range(5):
        queue.put("a", k)
    assert [time for time, _ in starts(queue, 3, lasts=1.0)] == [0, 0, 1, 1, 2]


def test_a_slow_host_holds_up_nobody_else():
    queue = HostQueue(per_host=1, rate=1)
    for k in range(1000):
        queue.put("slow", k)
    queue.put("other", "x")
    assert {job for _, job in starts(queue, 0)} == {0, "x"}


def test_a_pause_holds_for_jobs_that_were_ready():
    queue = HostQueue(per_host=4, rate=0)
    queue.put("a", "first")
    queue.put("b", "other")
    queue.pause("a", 60)
    assert queue.take(0) == ("b", "other")
    assert queue.take(59.9) is None
    assert queue.next_time() == 60
    assert queue.take(60) == ("a", "first")


def test_a_delayed_job_waits_for_its_time_and_counts_as_waiting():
    queue = HostQueue(per_host=4, rate=0)
    queue.put("a", "late", not_before=10)
    assert len(queue) == 1
    assert queue.next_time() == 10
    assert queue.take(9) is None
    assert queue.take(10) == ("a", "late")
    assert len(queue) == 0
    assert queue.next_time() is None


def test_a_host_without_jobs_is_forgotten():
    queue = HostQueue(per_host=1, rate=10)
    for k in range(50):
        queue.put(f"host{k}", k)
    assert len(starts(queue, 1, lasts=0.2)) == 50
    assert queue.n_hosts == 0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 5)), max_size=40), st.integers(1, 3))
def test_every_job_starts_once(jobs, per_host):
    queue = HostQueue(per_host=per_host, rate=20)
    for k, (host, not_before) in enumerate(jobs):
        queue.put(host, k, not_before=not_before)
    started = starts(queue, 20, step=0.05, lasts=0.1)
    assert sorted(job for _, job in started) == list(range(len(jobs)))
    assert all(time >= jobs[job][1] - 0.05 for time, job in started)


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
