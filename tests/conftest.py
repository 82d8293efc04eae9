"""Settings that all tests share."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

# Compiling a kernel takes seconds the first time, so examples have no deadline. Under CI the examples are the same in
# every run: a failure there can be repeated. HYPOTHESIS_PROFILE=thorough takes an hour instead of a minute to search.
settings.register_profile(
    "default", deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, database=None)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=2000)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE")
    or ("ci" if os.environ.get("CI", "").lower() == "true" else "default")
)

# Shells start background jobs with Ctrl-C ignored, and children inherit that; tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What is tested is a CPU, whatever the machine has; `make gpu` runs the tests marked gpu on its card.
if "GEOLOC_TEST_GPU" not in os.environ:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

# No window may open in a test.
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(scope="session")
def workplace(tmp_path_factory):
    """Folder in which examples of docstrings and pages run; copy it to change it."""
    from workplace import make_workplace

    with pytest.MonkeyPatch.context() as monkeypatch:
        return make_workplace(tmp_path_factory.mktemp("workplace"), monkeypatch)
