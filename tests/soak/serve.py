"""Soak of the page's server: ``python -m tests.soak.serve`` sends it photos and worse.

Four clients send 1 000 uploads to ``geoloc serve`` in a process of its own: photos of several kinds,
broken, huge and hostile files. It ends with 1 if an answer lacks its message, a photo is refused, a file
is left on disk, or memory grows.
"""

from __future__ import annotations

import collections
import itertools
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from geoloc_models_photos import encoded
from geoloc_models_serve import (
    ask,
    hostile_uploads,
    photo,
    png_with_text_bomb,
    small_placer,
    upload,
)
from PIL import Image

N_UPLOADS, N_CLIENTS = 1000, 4
MEGABYTES, MEGAPIXELS = 5.0, 13.0
MOST_GROWTH_MB = 64.0  # between a quarter, the warm-up, and the end: two photos of 13 megapixels


def uploads() -> list[tuple[str, bytes, dict[str, str], set[int]]]:
    """Name, content, headers and the statuses that may come back: a photo in three, all else hostile."""
    photos = [
        ("photo, JPEG", photo(), {}, {200}),
        ("photo, PNG", photo(1, kind="PNG"), {}, {200}),
        ("photo, WebP", photo(2, kind="WEBP"), {}, {200}),
        ("photo, 12 megapixels", encoded(Image.new("RGB", (4000, 3000), (9, 99, 9))), {}, {200}),
        ("photo of a wrong type", photo(3), {"Content_Type": "text/html"}, {200}),
        ("photo with a climbing name", photo(4), {"X_File_Name": "../../../etc/passwd"}, {200}),
    ]
    bad = [(name, content, {}, {422}) for name, content in hostile_uploads().items()]
    bad += [
        ("text bomb in a PNG", png_with_text_bomb(), {}, {422}),
        ("photo of 16 megapixels", encoded(Image.new("RGB", (4000, 4000))), {}, {422}),
        ("text that says image/jpeg", b"x" * 999, {"Content_Type": "image/jpeg"}, {422}),
        ("5 MB and a byte", bytes(int(MEGABYTES * 1e6) + 1), {}, {413}),
        ("18 MB", bytes(18_000_000), {}, {413}),
    ]
    mixed = []
    for number, own in enumerate(bad):
        mixed += [own, photos[number // 2 % len(photos)]] if number % 2 else [own]
    return mixed


def resident_mb(process: int) -> float:
    """Memory of a process."""
    text = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1000.0


def files_in(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*") if path.is_file()]


def soak() -> int:
    """Run it, print what was seen, and return the exit code."""
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as own:
        temporary = Path(own, "temporary")
        temporary.mkdir()
        bundle = small_placer(Path(own)).model.folder
        command = [sys.executable, "-c", "from geoloc_models.cli import main; main()", "serve"]
        limits = ["--max-megabytes", str(MEGABYTES), "--max-megapixels", str(MEGAPIXELS)]
        process = subprocess.Popen(
            [*command, "-m", str(bundle), "--port", "0", *limits],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"},
        )
        try:
            line = process.stdout.readline()
            found = re.search(r":(\d+) ", line)
            if found is None:
                print(line, process.stderr.read())
                return 1
            counts, memory, seconds = _send(int(found[1]), process.pid, faults, temporary)
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait()
        left = files_in(temporary)
    print(f"{N_UPLOADS} uploads from {N_CLIENTS} clients in {seconds:.0f} s.")
    for (name, status), count in sorted(counts.items(), key=lambda item: item[0][::-1]):
        print(f"  {name:<30}  {status}  {count:5}")
    warm, last = memory[len(memory) // 4], memory[-1]
    print(
        f"Memory: {warm:.0f} MB after the warm-up, {last:.0f} MB at the end, {max(memory):.0f} MB "
        "at most between answers."
    )
    print(f"Files left in the temporary folder: {len(left)}.")
    if last - warm > MOST_GROWTH_MB:
        faults.append(f"memory grew by {last - warm:.0f} MB")
    if left:
        faults.append(f"files are left: {left[:3]}")
    if process.returncode != 0 or "Traceback" in told:
        faults.append(f"the server ended with {process.returncode}: {told[-300:]}")
    for fault in faults[:20]:
        print("FAULT:", fault)
    print("Passed." if not faults else f"{len(faults)} faults.")
    return 1 if faults else 0


def _send(
    port: int, server: int, faults: list[str], temporary: Path
) -> tuple[collections.Counter[tuple[str, int]], list[float], float]:
    """Let the clients send; count answers by kind and status, and measure memory."""
    kinds = uploads()
    numbers = itertools.count()
    counts: collections.Counter[tuple[str, int]] = collections.Counter()
    memory: list[float] = []
    lock = threading.Lock()

    def client() -> None:
        while (number := next(numbers)) < N_UPLOADS:
            name, content, headers, expected = kinds[number % len(kinds)]
            try:
                status, found = upload(port, content, **headers)
                is_told = "answer" in found if status == 200 else bool(found.get("message"))
            except (OSError, ValueError) as error:
                status, is_told, found = 0, False, {"message": repr(error)}
            with lock:
                counts[name, status] += 1
                memory.append(resident_mb(server))
                if status not in expected or not is_told:
                    faults.append(f"{name}: {status}, {str(found)[:120]}")
                if number % 100 == 99:
                    print(f"{number + 1} sent, {memory[-1]:.0f} MB", flush=True)
                if number % 100 == 0 and (left := files_in(temporary)):
                    faults.append(f"files after {number} uploads: {left[:3]}")

    started = time.perf_counter()
    threads = [threading.Thread(target=client) for _ in range(N_CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if ask(port, "GET", "/")[0] != 200:
        faults.append("the page is gone")
    return counts, memory, time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(soak())
