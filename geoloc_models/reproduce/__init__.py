"""The paper as one command: every model, ablation and figure, in stages that are done once."""

from geoloc_models.reproduce.run import Reproduction, reproduce
from geoloc_models.reproduce.settings import ReproduceSettings

__all__ = ["ReproduceSettings", "Reproduction", "reproduce"]
