"""The releases that `make lowest` and CI install follow the bounds of pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# The extras that an environment of the lowest releases is tried with.
TRIED = {
    "lowest.txt": ("plot", "dask"),
    "lowest_models.txt": ("models", "timm", "download", "places", "demo"),
}


def project() -> dict:
    return tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]


def numbers(version: str) -> tuple[int, ...]:
    """Numbers of a release without the zeros at its end."""
    found = [int(number) for number in version.partition(".post")[0].split(".")]
    while found and found[-1] == 0:
        found.pop()
    return tuple(found)


def bounds(extras: tuple[str, ...], core: bool) -> dict[str, tuple[int, ...]]:
    """Lower bound of each dependency that an installation with the extras asks for."""
    told = project()
    lines = [*(told["dependencies"] if core else [])]
    for extra in extras:
        lines += told["optional-dependencies"][extra]
    found = {}
    for line in lines:
        match = re.fullmatch(r"([\w-]+)(?:\[[\w,]+\])?>=([\d.]+)", line)
        assert match is not None, f"{line} has no lower bound alone"
        found[match[1]] = numbers(match[2])
    return found


def pins(name: str) -> dict[str, tuple[int, ...]]:
    lines = (HERE / name).read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {package: numbers(version) for package, version in pairs}


@pytest.mark.parametrize("name", TRIED)
def test_the_lowest_releases_are_the_bounds(name):
    expected = bounds(TRIED[name], core=name == "lowest.txt")
    found = pins(name)
    if "dask" in expected:  # its extra of that name brings distributed, in the same release
        assert found.pop("distributed") == found["dask"]
    assert found == expected


def test_the_compromised_releases_of_lightning_are_out_of_bounds():
    assert bounds(("models",), core=False)["lightning"] > numbers("2.6.3")


def test_ci_pins_every_dependency_above_its_bound():
    extras = project()["optional-dependencies"]
    own = re.fullmatch(r"geocells\[([\w,]+)\]", extras["dev"][0])[1].split(",")
    needed = [
        *project()["dependencies"],
        *extras["dev"][1:],
        *(line for name in own for line in extras[name]),
    ]
    pinned = {name.lower(): version for name, version in pins("ci.txt").items()}
    for line in needed:
        name, bound = re.fullmatch(r"([\w-]+)(?:\[[\w,]+\])?(?:>=([\d.]+))?", line).groups()
        assert pinned[name.lower().replace("_", "-")] >= numbers(bound or "0"), line
