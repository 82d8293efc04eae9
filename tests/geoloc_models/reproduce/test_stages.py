"""Stages: done once, again only when what they depend on has changed."""

import pytest

from geoloc_models._errors import GeolocError
from geoloc_models.reproduce.stages import Pipeline, Stage


class Work:
    """Three stages, c after a; counts how often each is done."""

    def __init__(self, root, **options):
        self.done = []
        self.said = []
        stages = [
            Stage("a", "First", {"x": options.get("a", 1)}, self.make("a")),
            Stage("b", "Second", {"x": options.get("b", 1)}, self.make("b")),
            Stage("c", "Third", {"x": options.get("c", 1)}, self.make("c"), needs=["a"]),
        ]
        self.pipeline = Pipeline(root, stages)

    def make(self, name):
        def work(folder, folders):
            self.done.append(name)
            (folder / "result").write_text(name)
            if name == "c":
                assert (folders["a"] / "result").read_text() == "a"

        return work

    def run(self):
        self.folders = self.pipeline.run(self.said.append)
        return self.done


def test_a_second_run_computes_nothing(tmp_path):
    assert Work(tmp_path).run() == ["a", "b", "c"]
    again = Work(tmp_path)
    assert again.run() == []
    assert again.said == ["3 of 3 stages are done already."]
    assert (again.folders["c"] / "result").read_text() == "c"
    assert set(again.pipeline.seconds()) == {"a", "b", "c"}


def test_a_changed_option_computes_only_what_depends_on_it(tmp_path):
    Work(tmp_path).run()
    assert Work(tmp_path, b=2).run() == ["b"]
    assert Work(tmp_path, a=2).run() == ["a", "c"]
    assert Work(tmp_path).run() == []  # the first ones are still there


def test_an_interrupted_stage_is_done_again_and_finished_ones_are_not(tmp_path):
    work = Work(tmp_path)

    def interrupted(folder, folders):
        (folder / "half").write_text("")
        raise KeyboardInterrupt

    stages = work.pipeline.stages
    stages[1] = Stage("b", "Second", {"x": 1}, interrupted)
    with pytest.raises(KeyboardInterrupt):
        work.run()
    again = Work(tmp_path)
    assert again.run() == ["b", "c"]
    assert (again.folders["b"] / "half").exists()  # an attempt finds what the last one left


def test_it_says_what_it_is_at_and_how_long_the_rest_takes(tmp_path):
    work = Work(tmp_path)
    work.run()
    assert work.said[0].startswith("[1/3] First (about 3 s left")
    assert work.said[2].startswith("[3/3] Third (about ")


def test_names_are_unique_and_needs_come_first(tmp_path):
    def nothing(folder, folders):
        pass

    with pytest.raises(GeolocError, match="Two stages"):
        Pipeline(tmp_path, [Stage("a", "", {}, nothing)] * 2).keys()
    with pytest.raises(GeolocError, match="needs 'b'"):
        Pipeline(tmp_path, [Stage("a", "", {}, nothing, needs=["b"])]).keys()
