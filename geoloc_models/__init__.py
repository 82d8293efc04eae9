"""Train models that say where on earth a photo was taken, on the cells that ``geocells`` makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geoloc_models.inference.model import Model, load_model

__version__ = "0.1.0"
__all__ = ["Model", "load_model"]


def __getattr__(name: str) -> Any:
    # Only these two need torch: they are imported when first used.
    if name in __all__:
        from geoloc_models.inference import model

        return getattr(model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
