"""Interleaved bits: the Morton code of a row and a column is ``spread_bits(row) << 1 | spread_bits(column)``.

`spread_bits` and `gather_bits` take numbers or arrays; ``spread_bits_inline`` and ``gather_bits_inline`` are the same
for kernels. numba's cache does not notice an edit of this file: delete ``__pycache__`` folders after one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from geocells._jit import inline_kernel


def spread_bits(values: Any) -> Any:
    """Put a zero before every bit of 32-bit numbers (uint64 in, uint64 out)."""
    values = (values | (values << np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    values = (values | (values << np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    values = (values | (values << np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    values = (values | (values << np.uint64(2))) & np.uint64(0x3333333333333333)
    return (values | (values << np.uint64(1))) & np.uint64(0x5555555555555555)


def gather_bits(values: Any) -> Any:
    """Every other bit of 64-bit numbers, from the lowest on: undoes `spread_bits`."""
    values = values & np.uint64(0x5555555555555555)
    values = (values | (values >> np.uint64(1))) & np.uint64(0x3333333333333333)
    values = (values | (values >> np.uint64(2))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    values = (values | (values >> np.uint64(4))) & np.uint64(0x00FF00FF00FF00FF)
    values = (values | (values >> np.uint64(8))) & np.uint64(0x0000FFFF0000FFFF)
    return (values | (values >> np.uint64(16))) & np.uint64(0x00000000FFFFFFFF)


spread_bits_inline = inline_kernel(spread_bits)
gather_bits_inline = inline_kernel(gather_bits)
