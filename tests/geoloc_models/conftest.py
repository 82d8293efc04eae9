"""Settings of the tests of geoloc_models."""

import os

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread_per_test_process():
    """Two test processes with two busy threads each would wait for one another on two cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start
    yield
    torch.set_num_threads(before)
    os.environ.pop("OMP_NUM_THREADS")


@pytest.fixture
def towns(monkeypatch):
    """Three towns in place of the whole gazetteer."""
    from geoloc_models_bundles import few_places

    few_places(monkeypatch)
