"""Scores of predictions: country, share within a radius, median error, GeoScore; with intervals.

Whatever made the predictions, they are judged alike.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
