"""Names for the types of arrays that columns of logs are made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]
#: Rows whose fields have fixed places.
Records = NDArray[np.void]
