"""A backbone cut into stages from input to output, for unfreezing it one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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


def by_prefix(stages: Sequence[Sequence[str]]) -> Callable[[str], int]:
    """Make a ``stage_of`` from the prefixes of each stage's parameters; the first that fits counts."""

    def stage_of(name: str) -> int:
        for number, prefixes in enumerate(stages):
            if name.startswith(tuple(prefixes)):
                return number
        raise KeyError(name)

    return stage_of


def _direct_parameters(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return list(module.named_parameters(recurse=False))
