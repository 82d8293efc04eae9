"""Lightning around a task: from photos and options to a run folder with a trained model."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
