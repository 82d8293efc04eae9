"""Pythons of this machine, and clean environments made with them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = ("3.11", "3.12", "3.13", "3.14")


class ReleaseError(RuntimeError):
    """Something that a release needs, and that is not so."""


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a command without this session's Python settings; returns what it printed."""
    ended = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ended.returncode:
        said = "\n".join(ended.stdout.splitlines()[-40:])
        words = " ".join(str(word) for word in command)
        raise ReleaseError(f"{words} ended with exit code {ended.returncode}:\n{said}")
    return ended.stdout


def _pyenv() -> Path:
    if "PYENV_ROOT" in os.environ:
        return Path(os.environ["PYENV_ROOT"])
    if shutil.which("pyenv"):
        return Path(run("pyenv", "root").strip())
    return Path.home() / ".pyenv"


def pythons(versions: tuple[str, ...] = VERSIONS) -> dict[str, Path]:
    """Interpreters of the named versions that start: pyenv's, else those on PATH."""
    found = {}
    for version in versions:
        installed = sorted(
            _pyenv().glob(f"versions/{version}.*/bin/python"),
            key=lambda path: [int(part) for part in path.parts[-3].split(".") if part.isdigit()],
        )
        on_path = shutil.which(f"python{version}")
        for candidate in (*reversed(installed), *([Path(on_path)] if on_path else [])):
            try:
                said = run(candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
            except (ReleaseError, OSError):
                continue
            if said.strip() == version:
                found[version] = candidate
                break
    return found


def make_environment(python: Path, home: Path, *lists: list[str | Path]) -> Path:
    """Make a virtual environment and install each list in turn; returns its interpreter.

    No source distribution is built.
    """
    run(python, "-m", "venv", home)
    interpreter = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = (interpreter, "-m", "pip", "--disable-pip-version-check")
    for words in lists:
        run(*pip, "install", "--quiet", "--only-binary", ":all:", *words)
        run(*pip, "check")
    return interpreter
