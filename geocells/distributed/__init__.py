"""Cells of more photos than one machine holds, by Dask.

`fit` builds the cells that `geocells.CellBuilder` builds, of photos in the partitions of a Dask collection or of a
Parquet dataset; `assign` tells the cell of each, partition by partition. Needs ``pip install 'geocells[dask]'``.
"""

from __future__ import annotations

try:
    import dask.array
    import dask.dataframe  # noqa: F401
except ImportError as error:
    raise ImportError(
        "geocells.distributed needs Dask, which is not installed: pip install 'geocells[dask]'."
    ) from error

from geocells.distributed._assigning import assign
from geocells.distributed._fit import DistributedFit, fit
from geocells.distributed._tree import Pass

__all__ = ["DistributedFit", "Pass", "assign", "fit"]
