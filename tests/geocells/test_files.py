"""Outputs are whole or not there, one process writes each, and killed ones leave nothing for long."""

import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest
from command_line import full_disk

from geocells.files import holding, locked, replacing, replacing_folder

WRITERS = {
    "text": lambda path: path.write_text("x"),
    "parquet": lambda path: pd.DataFrame({"x": [1]}).to_parquet(path),
    "numpy": lambda path: np.save(path, np.zeros(9)),
}


def start(code, *arguments):
    """Start Python code, and wait until it has said a word."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"here\n"
    return process


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.communicate()


HOLD = """
import pathlib, sys, time
from geocells import files
with getattr(files, sys.argv[1])(sys.argv[2]) as path:
    if path and path.is_dir():
        path = path / "half"
    if path:
        path.write_text("half")
    print("here", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("writer", sorted(WRITERS))
def test_a_full_disk_is_told_whatever_the_writer_raises(writer, tmp_path):
    target = tmp_path / "out.dat"
    target.write_text("before")
    with (
        full_disk(),
        pytest.raises(OSError, match=r"too large.*out\.dat'$"),
        replacing(target) as draft,
    ):
        WRITERS[writer](draft)
    assert os.listdir(tmp_path) == ["out.dat"]
    assert target.read_text() == "before"


def test_an_error_of_another_kind_stays_and_leaves_nothing(tmp_path):
    with pytest.raises(KeyError), replacing(tmp_path / "sub" / "out") as draft:
        draft.write_text({}["half"])
    assert not os.listdir(tmp_path / "sub")


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(error, tmp_path):
    (tmp_path / "out").write_text("old")

    def breaks_off():
        with replacing(tmp_path / "out") as draft:
            draft.write_text("new")
            raise error

    with pytest.raises(error):
        breaks_off()
    assert (tmp_path / "out").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_made_to_be_locked_goes_if_nothing_came_into_it(tmp_path):
    with pytest.raises(KeyError), locked(tmp_path / "run"):
        {}["half"]
    assert not os.listdir(tmp_path)


def test_a_target_that_cannot_be_replaced_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for target, words in (("folder", "Is a directory"), ("file/below", "exists|Not a directory")):
        with (
            pytest.raises(OSError, match=f"{words}.*{target}'"),
            replacing(tmp_path / target) as draft,
        ):
            draft.write_text("x")


@pytest.mark.parametrize("holder", ["replacing", "replacing_folder", "locked"])
def test_an_output_has_one_process_and_a_killed_one_holds_nothing(holder, tmp_path):
    from geocells import files

    hold = getattr(files, holder)
    target = tmp_path / "out"
    process = start(HOLD, holder, target)
    with pytest.raises(BlockingIOError, match=f"Another process is writing {target}"), hold(target):
        pass
    kill(process)
    with hold(target) as path:
        if holder == "replacing":
            assert not path.exists()
            path.write_text("whole")
        elif holder == "replacing_folder":
            assert not os.listdir(path)
    assert os.listdir(tmp_path) == ["out"]
    assert holder == "replacing" or not os.listdir(target)


def test_what_killed_processes_left_beside_an_output_goes_and_what_living_ones_write_stays(
    tmp_path,
):
    killed, living = (start(HOLD, "replacing", tmp_path / name) for name in ("killed", "living"))
    try:
        kill(killed)
        assert len(os.listdir(tmp_path)) == 2
        with replacing(tmp_path / "out") as draft:
            draft.write_text("x")
        assert sorted(os.listdir(tmp_path)) == [".part-living", "out"]
    finally:
        kill(living)
    with locked(tmp_path):
        assert sorted(os.listdir(tmp_path)) == [".lock", "out"]


def test_a_lock_ends_with_its_process_though_forked_ones_live_on(tmp_path):
    process = start(
        "import os, sys, time\n"
        "from geocells.files import locked\n"
        "with locked(sys.argv[1]):\n"
        "    if os.fork() == 0:\n"
        "        print('here', flush=True)\n"
        "        os.close(1)\n"
        "    time.sleep(5)\n",
        tmp_path,
    )
    kill(process)
    with locked(tmp_path):
        pass


def test_a_process_may_wait_for_a_lock(tmp_path):
    order = []

    def second():
        with holding(tmp_path / "lock", tmp_path, wait=True):
            order.append("second")

    with holding(tmp_path / "lock", tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert not os.listdir(tmp_path)


def test_files_of_a_folder_have_the_mode_of_any_new_file(tmp_path):
    with replacing_folder(tmp_path / "bundle") as draft:
        (draft / "private").touch(mode=0o600)
    (tmp_path / "any").touch()
    assert (tmp_path / "bundle" / "private").stat().st_mode == (tmp_path / "any").stat().st_mode


def test_a_folder_is_replaced_whole_or_stays(tmp_path, monkeypatch):
    target = tmp_path / "bundle"
    for content in ("first", "second"):
        with replacing_folder(target) as draft:
            (draft / content).touch()
        assert os.listdir(target) == [content]
    rename = os.rename

    def refuse(old, new):
        if os.fspath(new) == str(target) and os.path.basename(old) == "bundle":
            raise PermissionError
        rename(old, new)

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(PermissionError), replacing_folder(target) as draft:
        (draft / "third").touch()
    assert os.listdir(target) == ["second"]
