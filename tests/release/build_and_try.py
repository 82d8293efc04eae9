"""Build what a release uploads, and try it in clean environments (``make release``).

The sdist, the wheel of this tree and the wheel made from the sdist are built; the two wheels must hold the
same. Then each Python that is found installs the wheel alone and runs ``smoke.py`` in an empty folder. One
of them also installs the models and the demo's data, and runs an epoch of the demo.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

from environments import ROOT, VERSIONS, ReleaseError, make_environment, pythons, run

SMOKE = Path(__file__).with_name("smoke.py")
DEMO_EXTRAS = "models,plot,demo"


def build(into: Path) -> tuple[Path, Path]:
    """Build the sdist and both wheels; returns the sdist and the wheel that was made from it."""
    builder = (sys.executable, "-m", "build")
    run(*builder, "--wheel", "--outdir", into / "of_tree", ROOT)
    run(*builder, "--outdir", into / "of_sdist", ROOT)  # the sdist, and the wheel from it
    (of_tree,) = (into / "of_tree").glob("*.whl")
    (sdist,) = (into / "of_sdist").glob("*.tar.gz")
    (wheel,) = (into / "of_sdist").glob("*.whl")
    if _contents(of_tree) != _contents(wheel):
        differing = {name for name, _ in _contents(of_tree) ^ _contents(wheel)}
        raise ReleaseError(f"The wheel made from the sdist differs in {sorted(differing)}.")
    return sdist, wheel


def _contents(wheel: Path) -> set[tuple[str, int]]:
    with zipfile.ZipFile(wheel) as archive:
        return {(entry.filename, entry.CRC) for entry in archive.infolist()}


def check_sdist(sdist: Path) -> list[str]:
    """Return the files of the sdist that git does not track; stop where a tracked one is missing."""
    with tarfile.open(sdist) as archive:
        members = [member.name for member in archive.getmembers() if member.isfile()]
    names = {name.split("/", 1)[1] for name in members}
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    tracked = {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}
    missing = {name for name in tracked if not name.startswith(".")} - names
    if missing:
        raise ReleaseError(f"The sdist lacks {sorted(missing)}.")
    return sorted(names - tracked - {"PKG-INFO"})


def try_wheel(wheel: Path, python: Path, extras: str) -> str:
    """Install the wheel in a clean environment and run ``smoke.py``; returns what it printed."""
    with tempfile.TemporaryDirectory(prefix="geocells-release-") as folder:
        what = f"geocells[{extras}] @ {wheel.as_uri()}" if extras else wheel
        interpreter = make_environment(python, Path(folder) / "environment", [what])
        empty = Path(folder) / "empty"
        empty.mkdir()
        return run(interpreter, "-I", SMOKE, cwd=empty)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--demo",
        metavar="VERSION",
        choices=(*VERSIONS, "none"),
        help="the Python that also runs the demo; the newest by default. It downloads torch.",
    )
    return parser.parse_args()


def main() -> int:
    """Build, try, and print a table of what was tried."""
    chosen = arguments()
    found = pythons()
    if not found:
        raise SystemExit("No Python of 3.11 to 3.14 was found, by pyenv or on PATH.")
    demo_on = chosen.demo or max(found, key=VERSIONS.index)
    if demo_on not in (*found, "none"):
        raise SystemExit(
            f"--demo {demo_on}: that Python was not found; there is {', '.join(found)}."
        )
    rows = []
    with tempfile.TemporaryDirectory(prefix="geocells-build-") as folder:
        sdist, wheel = build(Path(folder))
        untracked = check_sdist(sdist)
        print(
            f"{sdist.name} and {wheel.name}; the wheel of the tree and that of the sdist are equal"
        )
        if untracked:
            print(f"In the sdist, but not in git: {', '.join(untracked)}")
        for version in VERSIONS:
            if version not in found:
                rows.append((version, "not found here", ""))
                continue
            for extras in ("", DEMO_EXTRAS) if version == demo_on else ("",):
                began = time.monotonic()
                try:
                    print(try_wheel(wheel, found[version], extras), flush=True)
                    result = "holds"
                except ReleaseError as error:
                    print(error, flush=True)
                    result = "FAILS"
                what = (
                    f"wheel[{extras}], smoke test, geoloc demo" if extras else "wheel, smoke test"
                )
                rows.append((version, result, f"{what} ({time.monotonic() - began:.0f} s)"))
    print("\nPython  result          what")
    for version, result, what in rows:
        print(f"{version:<7} {result:<15} {what}".rstrip())
    return int(any(result == "FAILS" for _, result, _ in rows))


if __name__ == "__main__":
    sys.exit(main())
