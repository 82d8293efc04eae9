"""Train models that say where on earth a photo was taken, on the cells that ``geocells`` makes."""

__version__ = "0.1.0"
