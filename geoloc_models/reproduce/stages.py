"""Long work in stages: each has a folder named by what it depends on, and is done once."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geoloc_models._errors import GeolocError
from geoloc_models._files import read_json, write_json

STAGE_VERSION = 2
_DONE = "done.json"

Folders = Mapping[str, Path]


@dataclass(frozen=True)
class Stage:
    """A piece of work.

    Parameters
    ----------
    name : str
        Unique in its pipeline, fit for a folder's name.
    title : str
        What it is at, for the reader.
    options : dict
        Plain values that decide what comes out.
    make : callable
        ``make(folder, folders)`` does the work in ``folder``, where an interrupted attempt may have
        left something; ``folders`` are those of the stages before, by name.
    needs : sequence of str
        Stages whose results it reads.
    seconds : float
        About how long it takes; only the ratio to the others matters.
    """

    name: str
    title: str
    options: dict[str, Any]
    make: Callable[[Path, Folders], None]
    needs: Sequence[str] = ()
    seconds: float = 1.0


@dataclass
class Pipeline:
    """Stages in the order in which they are done.

    Parameters
    ----------
    root : Path
        Gets a folder ``NAME-KEY`` for each stage. The key is a digest of the stage's options and of
        the keys of what it needs: another option makes another folder for this stage and those
        that depend on it, and for no other.
    stages : list of Stage
        Each after those it needs.
    """

    root: Path
    stages: list[Stage] = field(default_factory=list)

    def keys(self) -> dict[str, str]:
        """Digest of each stage, by name.

        Raises
        ------
        GeolocError
            If a name comes twice, or a stage needs one that does not come before it.
        """
        keys: dict[str, str] = {}
        for stage in self.stages:
            if stage.name in keys:
                raise GeolocError(f"Two stages are named {stage.name!r}.")
            late = [name for name in stage.needs if name not in keys]
            if late:
                raise GeolocError(
                    f"The stage {stage.name!r} needs {late[0]!r}, which is not before it."
                )
            content = {
                "version": STAGE_VERSION,
                "name": stage.name,
                "options": stage.options,
                "needs": [keys[name] for name in stage.needs],
            }
            text = json.dumps(content, sort_keys=True, allow_nan=False)
            keys[stage.name] = hashlib.sha256(text.encode()).hexdigest()[:10]
        return keys

    def run(self, say: Callable[[str], None]) -> dict[str, Path]:
        """Do what is not done yet, telling what it is at and how long the rest will take.

        Returns
        -------
        dict of str to Path
            Folder of each stage.
        """
        keys = self.keys()
        folders: dict[str, Path] = {}
        waiting = [s for s in self.stages if not _is_done(self._folder(s, keys))]
        n_waiting, expected = len(waiting), sum(stage.seconds for stage in waiting)
        if len(waiting) < len(self.stages):
            say(f"{len(self.stages) - n_waiting} of {len(self.stages)} stages are done already.")
        number, spent, spent_as_expected = 0, 0.0, 0.0
        for stage in self.stages:
            folder = self._folder(stage, keys)
            folders[stage.name] = folder
            if _is_done(folder):
                continue
            number += 1
            # The stages done so far tell how fast this machine is.
            pace = spent / spent_as_expected if spent_as_expected else 1.0
            left = pace * (expected - spent_as_expected)
            say(f"[{number}/{n_waiting}] {stage.title} ({_duration(left)} left in all)")
            started = time.perf_counter()
            folder.mkdir(parents=True, exist_ok=True)
            stage.make(folder, dict(folders))
            seconds = time.perf_counter() - started
            write_json(folder / _DONE, {"options": stage.options, "seconds": round(seconds, 2)})
            spent += seconds
            spent_as_expected += stage.seconds
        return folders

    def seconds(self) -> dict[str, float]:
        """How long each finished stage took."""
        keys = self.keys()
        return {
            stage.name: float(read_json(self._folder(stage, keys) / _DONE)["seconds"])
            for stage in self.stages
            if _is_done(self._folder(stage, keys))
        }

    def _folder(self, stage: Stage, keys: Mapping[str, str]) -> Path:
        return self.root / f"{stage.name}-{keys[stage.name]}"


def _is_done(folder: Path) -> bool:
    return (folder / _DONE).is_file()


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"about {max(seconds, 1):.0f} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} minutes"
    return f"about {seconds / 3600:.1f} hours"
