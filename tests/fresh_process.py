"""Python and the program ``geoloc`` in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

GEOLOC = [sys.executable, "-c", "from geoloc_models.cli import main; main()"]


def run_python(
    code: str, *arguments: object, check: bool = True, cwd: Any = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run lines of Python to their end."""
    words = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(
        words, check=check, cwd=cwd, capture_output=True, text=True, env=os.environ | environment
    )


def loaded_by(code: str, modules: Iterable[str]) -> list[str]:
    """Those of the modules that lines of Python load."""
    told = run_python(f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))").stdout
    return sorted(set(modules) & set(json.loads(told.splitlines()[-1])))


def start_geoloc(*words: object, **options: Any) -> subprocess.Popen[str]:
    """Start a command; its streams are read as text."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*GEOLOC, *map(str, words)], **{**pipes, **options})


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    """Wait until it holds, ten minutes at most; a process must live so long."""
    end = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < end, "it does not come to pass"
        assert process is None or process.poll() is None, "the process has ended"
        time.sleep(0.005)
