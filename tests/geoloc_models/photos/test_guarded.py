"""Photos decoded in processes of their own."""

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from geoloc_models_photos import encoded, gps_exif, noise

from geoloc_models.errors import BrokenImageError
from geoloc_models.photos import guarded
from geoloc_models.photos.guarded import GuardedDecoder
from geoloc_models.photos.opening import open_photo

TURNED = encoded(noise(60, 40), exif=gps_exif(orientation=6))


@pytest.mark.parametrize(
    ("content", "limits"),
    [
        (TURNED, {}),
        (TURNED, {"min_side": 16}),
        (encoded(noise(9, 9), "PNG"), {}),
        (TURNED[:300], {}),
        (TURNED, {"max_pixels": 80}),
        (b"text", {}),
    ],
)
def test_the_answers_are_those_of_open_photo(content, limits):
    def answer(decoder):
        try:
            return np.asarray(decoder(content, name="a", **limits)).tolist()
        except BrokenImageError as error:
            return type(error), str(error)

    with GuardedDecoder() as guarded_decoder:
        assert answer(guarded_decoder.open_photo) == answer(open_photo)
        assert answer(guarded_decoder.open_photo) == answer(open_photo)
        assert len(guarded_decoder._idle) == 1  # the process goes on after a broken photo


def test_a_photo_that_takes_too_long_ends_its_process_and_no_other(monkeypatch):
    monkeypatch.setattr(guarded, "_CHILD", "import sys, time; sys.stdin.read(1); time.sleep(600)")
    with GuardedDecoder(0.2) as decoder:
        stuck = guarded._start()
        decoder._idle.append(stuck)
        with pytest.raises(BrokenImageError, match=r"^a: takes more than 0\.2 s to decode$"):
            decoder.open_photo(encoded(noise(9, 9)), name="a")
        assert stuck.returncode == -signal.SIGKILL
        monkeypatch.undo()
    with GuardedDecoder() as decoder:
        assert decoder.open_photo(encoded(noise(9, 9)), name="b").size == (9, 9)


def test_a_photo_that_crashes_the_decoder_is_broken_and_the_next_is_not(monkeypatch):
    with GuardedDecoder() as decoder:
        monkeypatch.setattr(guarded, "_CHILD", "import os; os.abort()")
        with pytest.raises(BrokenImageError, match="makes the decoder crash"):
            decoder.open_photo(encoded(noise(9, 9)), name="a")
        monkeypatch.undo()
        assert decoder.open_photo(encoded(noise(9, 9)), name="b").size == (9, 9)


def test_as_many_processes_as_threads_work_and_all_end():
    contents = [encoded(noise(20, 20, seed), "PNG") for seed in range(12)]
    with GuardedDecoder() as decoder, ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda content: decoder.open_photo(content, name="a"), contents))
        processes = list(decoder._idle)
        assert 1 <= len(processes) <= 3
    for content, pixels in zip(contents, found, strict=True):
        np.testing.assert_array_equal(pixels, open_photo(content))
    assert all(process.returncode is not None for process in processes)


def test_nothing_in_the_working_folder_is_imported(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    with GuardedDecoder() as decoder:
        assert decoder.open_photo(encoded(noise(9, 9)), name="a").size == (9, 9)
    assert os.listdir(tmp_path) == ["json.py"]
