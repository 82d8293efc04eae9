"""Names for the arrays that travel between the modules."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
CodeArray = NDArray[np.unsignedinteger[Any]]
BoolArray = NDArray[np.bool_]
ObjectArray = NDArray[np.object_]

# Anything that numpy, pandas or GeoPandas can turn into coordinates; `validation` sorts it out.
ArrayLike = Any
