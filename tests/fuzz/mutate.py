"""Damage to files: to their bytes, and to what they say where that can be read.

Every function takes a `random.Random`, so a seed makes the same inputs again.
"""

import bz2
import gzip
import io
import json
import lzma
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

NUMBERS = (0, 1, -1, 2, 127, 128, 255, 256, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)
WORDS = (
    "", " ", "NaN", "nan", "inf", "-inf", "1e999", "1e308", "-0.0", "91", "-181", "1,5", "0x1f",
    "9" * 40, "9" * 400, "\0", "\ufeff", '"', '""', "'", "\r", "\n", ",", ";", "\t", "NA", "None",
    "true", "{}", "[]", "é", "\ud7ff", "😀", "../../x", "/etc", "C:\\x", "=1+1", "SE", "Sweden",
    "2020-01-01", "x" * 3000,
)  # fmt: skip
VALUES = (
    None, True, False, 0, 1, -1, 3, 2**31, 2**53 + 1, 2**63, -(2**63), 10**30, 0.5, -0.0, 1e308,
    float("nan"), float("inf"), "", "x", "1", "é", [], {}, [[]], [1, 2], [None], {"x": None},
    "9" * 5000, [0] * 1000,
)  # fmt: skip


def damaged_bytes(content, rng):
    """Content with one to eight blows: bits, numbers, pieces left out, doubled or moved."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        if not data:
            return bytes(data)
        at = rng.randrange(len(data))
        # Headers and footers say most.
        if rng.random() < 0.4:
            edge = min(len(data), 400)
            at = rng.choice((rng.randrange(edge), len(data) - 1 - rng.randrange(edge)))
        blow = rng.randrange(8)
        end = min(len(data), at + rng.choice((1, 2, 4, 16, 64, 1000)))
        if blow == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif blow == 1:
            data[at] = rng.randrange(256)
        elif blow == 2:
            size = rng.choice((1, 2, 4, 8))
            number = (rng.choice(NUMBERS) % 2 ** (8 * size)).to_bytes(
                size, rng.choice(("big", "little"))
            )
            data[at : at + size] = number
        elif blow == 3:
            del data[at:end]
        elif blow == 4:
            data[at:at] = data[at:end]
        elif blow == 5:
            data[at:at] = rng.randbytes(rng.choice((1, 4, 40)))
        elif blow == 6:
            del data[at:]
        else:
            other = rng.randrange(len(data))
            data[at:end] = data[other : other + end - at]
    return bytes(data)


def damaged_json(value, rng):
    """Value with one to three of its parts replaced, left out or doubled."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        value = _one_json_damage(value, rng)
    return value


def _one_json_damage(value, rng):
    if isinstance(value, dict) and value and rng.random() < 0.92:
        name = rng.choice(list(value))
        kind = rng.random()
        if kind < 0.1:
            return {key: item for key, item in value.items() if key != name}
        if kind < 0.15:
            return {**value, rng.choice(WORDS): value[name]}
        return {**value, name: _one_json_damage(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        kind = rng.random()
        if kind < 0.1:
            return value[:at] + value[at + 1 :]
        if kind < 0.2:
            return [*value[:at], value[at], *value[at:]]
        return [*value[:at], _one_json_damage(value[at], rng), *value[at + 1 :]]
    if isinstance(value, int | float) and not isinstance(value, bool) and rng.random() < 0.5:
        return rng.choice((value + 1, value - 1, -value, value * 1000, value / 2))
    return rng.choice(VALUES)


def damaged_json_text(content, rng):
    """JSON document with damaged values; sometimes deeply nested."""
    if rng.random() < 0.01:
        return b'{"format":' + b"[" * 100_000
    return json.dumps(damaged_json(json.loads(content), rng)).encode()


def damaged_table_text(content, rng, delimiter):
    """Delimited text with damaged fields, lines, header, delimiters or encoding."""
    lines = [line.split(delimiter) for line in content.decode("utf-8").split("\n")]
    for _ in range(rng.choice((1, 1, 2, 4))):
        row = rng.choice((0, rng.randrange(len(lines))))
        column = rng.randrange(len(lines[row])) if lines[row] else 0
        blow = rng.randrange(8)
        if blow <= 2 and lines[row]:
            lines[row][column] = rng.choice(WORDS)
        elif blow == 3 and lines[row]:
            del lines[row][column]
        elif blow == 4:
            lines[row].insert(column, rng.choice(WORDS))
        elif blow == 5 and len(lines) > 1:
            del lines[row]
        elif blow == 6:
            lines.insert(row, list(lines[rng.randrange(len(lines))]))
        elif lines[row]:
            lines[row][column] = lines[0][rng.randrange(len(lines[0]))] if lines[0] else ""
    ending = rng.choice(("\n", "\n", "\r\n", "\r"))
    mark = rng.choice((delimiter,) * 6 + (";", "|"))
    text = ending.join(mark.join(fields) for fields in lines)
    return text.encode(rng.choice(("utf-8",) * 6 + ("utf-16", "latin-1", "utf-8-sig")), "replace")


def damaged_json_lines(content, rng):
    """One line of JSON lines damaged as JSON or as text."""
    lines = content.split(b"\n")
    at = rng.randrange(len(lines))
    if lines[at].strip():
        lines[at] = damaged_json_text(lines[at], rng)
    if rng.random() < 0.1:
        lines.insert(at, rng.choice((b"null", b"3", b"[]", b"{}", b"[1,2]", b'"x"')))
    return b"\n".join(lines)


def damaged_parquet(content, rng):
    """Parquet file, written whole, with damaged columns, types, rows or metadata."""
    table = pq.read_table(io.BytesIO(content))
    metadata = dict(table.schema.metadata or {})
    for _ in range(rng.choice((1, 1, 2))):
        if metadata and rng.random() < 0.5:
            metadata = _damaged_metadata(metadata, rng)
        elif table.num_columns:
            table = _damaged_column(table, rng)
    file = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata or None), file)
    return file.getvalue()


def _damaged_metadata(metadata, rng):
    # Where cells have an entry of their own, it is the one to damage.
    name = b"geocells" if b"geocells" in metadata and rng.random() < 0.8 else None
    name = name or rng.choice(list(metadata))
    try:
        value = damaged_json_text(metadata[name], rng)
    except ValueError:
        value = damaged_bytes(metadata[name], rng)
    return {**metadata, name: value}


def _damaged_column(table, rng):
    at = rng.randrange(table.num_columns)
    name, column = table.column_names[at], table.column(at)
    n = table.num_rows
    blow = rng.randrange(9)
    if blow == 0:
        return table.remove_column(at)
    if blow == 1:
        return table.append_column(name, column)
    if blow == 2:
        return table.slice(0, rng.choice((0, 1)))
    if blow == 3:
        return pa.concat_tables([table, table])
    if blow == 4:
        return table.rename_columns(
            [rng.choice(WORDS) if k == at else own for k, own in enumerate(table.column_names)]
        )
    values = column.to_pylist()
    if blow in (5, 6) and n:
        row = rng.randrange(n)
        try:
            changed = pa.array(
                [damaged_json(value, rng) if k == row else value for k, value in enumerate(values)],
                type=column.type,
            )
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            changed = pa.array([None if k == row else v for k, v in enumerate(values)], column.type)
    else:
        changed = rng.choice(
            (
                pa.nulls(n),
                pa.array([str(value) for value in values]),
                pa.array([rng.choice(WORDS) for _ in values]),
                pa.array(np.full(n, rng.choice((np.nan, np.inf, 1e308, -1.0, 91.0)))),
                pa.array([rng.choice(NUMBERS) for _ in values], pa.int64()),
                pa.array([[1.0, None]] * n),
                pa.array([{"x": 1}] * n, pa.struct([("x", pa.int64())])),
                pa.array([b"\xff\x00"] * n),
                pa.array([True] * n),
                pa.array([10**12] * n, pa.timestamp("us")),
                pa.array(["a"] * n).dictionary_encode(),
            )
        )
    return table.set_column(at, name, changed)


def packed(content, suffix):
    """Content in an archive of the kind that a suffix names."""
    if suffix == ".gz":
        return gzip.compress(content, 1, mtime=0)
    if suffix == ".bz2":
        return bz2.compress(content, 1)
    if suffix == ".xz":
        return lzma.compress(content, preset=0)
    if suffix == ".zst":
        return pa.compress(content, codec="zstd", asbytes=True)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        member = zipfile.ZipInfo("photos.csv", (2020, 1, 1, 0, 0, 0))  # not the time of today
        archive.writestr(member, content, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def damaged(content, name, rng, plain=None):
    """A file's content, damaged by its kind two times in three, else by its bytes.

    ``plain`` is the content before it was packed, for archives.
    """
    if rng.random() < 0.33:
        return damaged_bytes(content, rng)
    stem, _, last = name.rpartition(".")
    suffix = f".{last}"
    try:
        if suffix in (".gz", ".bz2", ".xz", ".zst", ".zip") and plain is not None:
            return packed(damaged(plain, stem, rng), suffix)
        if suffix == ".csv":
            return damaged_table_text(content, rng, ",")
        if suffix == ".tsv":
            return damaged_table_text(content, rng, "\t")
        if suffix == ".jsonl":
            return damaged_json_lines(content, rng)
        if suffix in (".json", ".geojson"):
            return damaged_json_text(content, rng)
        if suffix == ".parquet":
            return damaged_parquet(content, rng)
    except (
        ValueError,
        TypeError,
        IndexError,
        KeyError,
        OSError,
        RecursionError,
        pa.ArrowException,
    ):
        pass  # an input that was damaged before and can no longer be read
    return damaged_bytes(content, rng)


def another(files, rng):
    """Number of one of a target's files, and what to put in its place."""
    number = rng.randrange(len(files))
    name, content, plain = files[number]
    return number, damaged(content, name, rng, plain)
