"""A 64-bit hash of texts and numbers that never changes: the same on every machine, for ever.

What is decided by it (which part of a split a photo belongs to) must not depend on Python's own
salted hash, on a library's version or on the byte order of a processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

HASH_VERSION = 1
_MASK = (1 << 64) - 1
_STEP = 0x9E3779B97F4A7C15  # 2**64 divided by the golden ratio
_FACTOR_1 = 0xBF58476D1CE4E5B9
_FACTOR_2 = 0x94D049BB133111EB
_BLOCK_ROWS = 1 << 16  # so that the arrays of one block stay in the processor's cache


def stream_start(stream: str, seed: int) -> int:
    """First state of a hash: another for every stream (a name for its purpose) and every seed.

    Parameters
    ----------
    stream : str
        Purpose, such as ``part/id``: hashes of two streams have nothing to do with each other.
    seed : int
        From 0 to 2**64 - 1.
    """
    text = f"geoloc/{HASH_VERSION}/{stream}".encode()
    state = _mix(np.array([seed], dtype=np.uint64))
    for begin in range(0, len(text), 8):
        state = _mix(state ^ np.uint64(int.from_bytes(text[begin : begin + 8], "little")))
    return int(_mix(state ^ np.uint64(len(text)))[0])


def hash_texts(
    texts: pa.Array | pa.ChunkedArray | Sequence[Any] | np.ndarray, start: int
) -> np.ndarray:
    """Hash texts by their UTF-8 bytes.

    Parameters
    ----------
    texts : pyarrow Array or sequence of str (n,)
        Without missing values.
    start : int
        From :func:`stream_start`.

    Returns
    -------
    ndarray of uint64 (n,)

    Notes
    -----
    A text is cut into words of 8 bytes, little-endian, the last one filled up with zeros; then
    ``state = mix(state ^ word)`` for each word and ``mix(state ^ length)`` at the end, where
    ``mix(x)`` adds the golden ratio's constant and applies the finaliser of SplitMix64 [1]_. It is
    no cryptographic hash. O(bytes), without a Python loop over texts.

    References
    ----------
    .. [1] Steele, Lea, Flood (2014), Fast splittable pseudorandom number generators, OOPSLA,
       section 5.
    """
    if not isinstance(texts, pa.Array | pa.ChunkedArray):
        texts = pa.array(texts, type=pa.large_string())
    array = texts.cast(pa.large_string())
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if array.null_count:
        raise ValueError(f"hash_texts needs a text in every row; {array.null_count} are missing.")
    blocks = [
        _hash_block(array.slice(begin, _BLOCK_ROWS), start)
        for begin in range(0, len(array), _BLOCK_ROWS)
    ]
    return np.concatenate(blocks) if blocks else np.empty(0, dtype=np.uint64)


def hash_numbers(numbers: np.ndarray, start: int) -> np.ndarray:
    """Hash whole numbers (n,), as if each were a text of its 8 bytes; uint64 (n,)."""
    words = np.asarray(numbers, dtype=np.int64).view(np.uint64)
    return _mix(_mix(words ^ np.uint64(start)) ^ np.uint64(8))


def hash_to_unit(hashes: np.ndarray) -> np.ndarray:
    """Evenly spread float64 in [0, 1) from hashes: their upper 53 bits."""
    return (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _hash_block(array: pa.Array, start: int) -> np.ndarray:
    n_texts = len(array)
    _, offset_buffer, byte_buffer = array.buffers()
    offsets = np.frombuffer(offset_buffer, dtype=np.int64)[
        array.offset : array.offset + n_texts + 1
    ]
    begin, length = offsets[:-1] - offsets[0], np.diff(offsets)
    n_bytes = int(offsets[-1] - offsets[0])
    padded = np.zeros(n_bytes + 8, dtype=np.uint8)
    if n_bytes:
        padded[:n_bytes] = np.frombuffer(byte_buffer, dtype=np.uint8)[offsets[0] : offsets[-1]]
    # The word that starts at each byte: overlapping views of the same memory.
    word_at = np.ndarray((n_bytes + 1,), dtype="<u8", buffer=padded, strides=(1,))
    state = np.full(n_texts, start, dtype=np.uint64)
    rows = np.arange(n_texts)
    for first_byte in range(0, int(length.max(initial=0)), 8):
        rows = rows[length[rows] > first_byte]
        word = word_at[begin[rows] + first_byte].astype(np.uint64)
        beyond = np.maximum(0, first_byte + 8 - length[rows]).astype(np.uint64)
        word &= np.uint64(_MASK) >> (beyond * np.uint64(8))
        state[rows] = _mix(state[rows] ^ word)
    return _mix(state ^ length.astype(np.uint64))


def _mix(words: np.ndarray) -> np.ndarray:
    words = words + np.uint64(_STEP)  # arrays of uint64 wrap around
    words = (words ^ (words >> np.uint64(30))) * np.uint64(_FACTOR_1)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(_FACTOR_2)
    mixed: np.ndarray = words ^ (words >> np.uint64(31))
    return mixed
