"""geocells: partition the earth into cells that a classifier can learn.

>>> from geocells import CellBuilder, CellPartition, LatLonGrid, S2Grid, decoding, load_cells, sphere
"""

import lazy_loader

# Loaded when first asked for: scikit-learn and GeoPandas take a second that a worker process may not need.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = "0.2.0"
