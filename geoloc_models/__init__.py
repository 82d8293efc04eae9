"""Train models that say where on earth a photo was taken, on the cells that ``geocells`` makes."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = "0.2.0"
