"""A backbone cut into stages from input to output, for unfreezing it one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn


class Stage(nn.Module):
    """Some layers of a backbone, which go on belonging to it.

    Parameters
    ----------
    layers : sequence of Module
        Innermost layers, such as a convolution or a batch norm.
    own_parameters : sequence of Parameter
        Parameters that lie directly in a larger module, such as a class token.
    """

    def __init__(
        self, layers: Sequence[nn.Module], own_parameters: Sequence[nn.Parameter] = ()
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.own_parameters = nn.ParameterList(own_parameters)


def cut_into_stages(backbone: nn.Module, stage_of: Callable[[str], int]) -> list[nn.Module]:
    """Stages of a backbone; every parameter is in exactly one of them.

    Parameters
    ----------
    backbone : Module
        Any.
    stage_of : callable
        Gives the number of the stage of a parameter's name; they need not be without gaps.
    """
    layers: dict[int, list[nn.Module]] = {}
    loose: dict[int, list[nn.Parameter]] = {}
    seen: set[int] = set()
    for path, module in backbone.named_modules():
        own = [(f"{path}.{name}" if path else name, p) for name, p in _direct_parameters(module)]
        own = [(name, p) for name, p in own if id(p) not in seen]  # a shared one counts once
        seen.update(id(parameter) for _, parameter in own)
        numbers = {stage_of(name) for name, _ in own}
        if len(numbers) == 1 and not any(True for _ in module.children()):
            layers.setdefault(numbers.pop(), []).append(module)
        else:
            for name, parameter in own:
                loose.setdefault(stage_of(name), []).append(parameter)
    return [
        Stage(layers.get(number, []), loose.get(number, []))
        for number in sorted(layers.keys() | loose.keys())
    ]


@dataclass(frozen=True)
class StageByPrefix:
    """A ``stage_of`` from the prefixes of each stage's parameters; the first that fits counts.

    An object rather than a function in a function, so that processes can hand encoders on.
    """

    stages: Sequence[Sequence[str]]

    def __call__(self, name: str) -> int:
        """Return the stage of a parameter."""
        for number, prefixes in enumerate(self.stages):
            if name.startswith(tuple(prefixes)):
                return number
        raise KeyError(name)


@dataclass(frozen=True)
class StageByName:
    """A ``stage_of`` from the parameters' names; those that are unknown belong to the last stage."""

    number_of: Mapping[str, int]
    last: int

    def __call__(self, name: str) -> int:
        """Return the stage of a parameter."""
        return self.number_of.get(name, self.last)


def _direct_parameters(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return list(module.named_parameters(recurse=False))
