"""Which models, ablations and sizes the paper compares, and how each is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from geoloc_models._errors import GeolocError
from geoloc_models.training import ModelPlan, TrainingOptions


@dataclass(frozen=True)
class ReproduceSettings:
    """How large the reproduction is.

    Parameters
    ----------
    training : TrainingOptions
        Of every model of Table 1 and the ablations.
    augmentation : TrainingOptions
        Of the runs that see pixels, to compare augmentations.
    min_images : int
        Training images that a cell needs.
    seeds : int
        Runs of each model of Table 1, with seeds ``training.seed``, + 1, ...
    sizes : tuple of int
        Training subsets of Figure 8, below the whole training part.
    location_hidden : int
        Width of the location encoder's layers.
    n_false : int
        False locations a batch (M).
    """

    training: TrainingOptions
    augmentation: TrainingOptions
    min_images: int = 200
    seeds: int = 3
    sizes: tuple[int, ...] = (1_000, 10_000, 20_000, 100_000)
    location_hidden: int = 1024
    n_false: int = 1024

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise GeolocError(f"At least one seed is needed; got {self.seeds}.")
        if any(size < 1 for size in self.sizes) or list(self.sizes) != sorted(set(self.sizes)):
            raise GeolocError(f"Sizes must grow, such as 1000,10000; got {self.sizes}.")

    def to_dict(self) -> dict[str, Any]:
        """All values as JSON knows them."""
        return asdict(self)


@dataclass(frozen=True)
class Comparison:
    """An ablation: models that differ in one thing.

    Parameters
    ----------
    title : str
        What differs.
    remark : str
        What the paper found, and what to look at.
    names : tuple of str
        Names of the models' stages, the paper's choice first.
    """

    title: str
    remark: str
    names: tuple[str, ...]


def table_plans(settings: ReproduceSettings) -> list[ModelPlan]:
    """Models of Table 1, in its order; then those that the paper does not have."""
    n = settings.min_images
    retrieval: dict[str, Any] = {
        "location_hidden": settings.location_hidden,
        "n_false": settings.n_false,
    }
    return [
        ModelPlan("country"),
        ModelPlan("offset"),
        ModelPlan("cells", "top_down", n),
        ModelPlan("cells", "consolidated", n),
        ModelPlan("cells", "bottom_up", n),
        ModelPlan("retrieval", location_encoder="mlp", **retrieval),
        ModelPlan("retrieval", location_encoder="rff", **retrieval),
        ModelPlan("hierarchy", min_images=n),
        ModelPlan("refined", "bottom_up", n),
        ModelPlan("nearest"),
    ]


def ablation_plans(settings: ReproduceSettings) -> tuple[list[ModelPlan], list[Comparison]]:
    """Models of section 4.7 that Table 1 does not have, and what each is compared with."""
    table = {plan.name: plan for plan in table_plans(settings)}
    cells, rff, offset = (table[name] for name in ("cells_bottom_up", "retrieval_rff", "offset"))
    plans: list[ModelPlan] = []

    def varied(base: ModelPlan, label: str, **changes: Any) -> str:
        plans.append(replace(base, label=label, **changes))
        return label

    comparisons = [
        Comparison(
            "Multi-task against single-task",
            "The head for the country tells the offset which box it is in.",
            ("offset", varied(offset, "offset_single", multi_task=False)),
        ),
        Comparison(
            "Share of the country in the loss (alpha)",
            "The paper takes 0.5.",
            (
                "offset",
                *(varied(offset, f"offset_alpha_{a:g}", alpha=a) for a in (0.1, 0.9)),
            ),
        ),
        Comparison(
            "WCSS against the heat map alone",
            "In the paper the heat map alone lost 0.9 points at 1 km against top-down cells; with "
            "WCSS bottom-up won 0.7.",
            ("cells_bottom_up", varied(cells, "cells_heat_map", rank_by="count"), "cells_top_down"),
        ),
        Comparison(
            "Hot spots ranked by features against coordinates",
            "Cells whose images look alike, or whose images lie close together.",
            ("cells_bottom_up", varied(cells, "cells_by_coordinates", rank_by="coordinates")),
        ),
        Comparison(
            "One true cell against distance-smoothed cells",
            "Not in the paper: PIGEON's smoothing, tau 75 km.",
            ("cells_bottom_up", varied(cells, "cells_smoothed", smoothing_km=75.0)),
        ),
        Comparison(
            "Contrastive against vanilla training",
            "Without false locations each image is only drawn to its own.",
            ("retrieval_rff", varied(rff, "retrieval_vanilla", n_false=0)),
        ),
        Comparison(
            "Random Fourier features against a perceptron",
            "In the paper 15.1 against 0.1 % within 1 km.",
            ("retrieval_rff", "retrieval_mlp"),
        ),
        Comparison(
            "Deviations of the frequencies (sigmas)",
            "2^16 tells places 300 m apart; GeoCLIP takes 2^0, 2^4, 2^8.",
            (
                "retrieval_rff",
                varied(rff, "retrieval_sigmas_geoclip", sigmas=(1.0, 16.0, 256.0)),
                varied(rff, "retrieval_sigma_1", sigmas=(1.0,)),
            ),
        ),
        Comparison(
            "False locations a batch (M), and where they come from",
            "The paper takes 1 024, from the training set or from a queue.",
            (
                "retrieval_rff",
                *(varied(rff, f"retrieval_m_{m}", n_false=m) for m in _smaller(settings.n_false)),
                varied(rff, "retrieval_queue", false_from="queue"),
            ),
        ),
    ]
    return plans, comparisons


def _smaller(n_false: int) -> Sequence[int]:
    return sorted({max(1, n_false // 4), max(1, n_false // 16)} - {n_false}, reverse=True)


def size_plans(settings: ReproduceSettings) -> list[ModelPlan]:
    """Models of Figure 8."""
    wanted = ("country", "cells_bottom_up", "retrieval_rff")
    return [plan for plan in table_plans(settings) if plan.name in wanted]


AUGMENTATIONS: tuple[Literal["none", "crop", "simclr"], ...] = ("none", "crop", "simclr")

DECODED = ("cells_top_down", "cells_consolidated", "cells_bottom_up", "hierarchy", "retrieval_rff")
"""Models of Table 1 whose decoders are compared."""
