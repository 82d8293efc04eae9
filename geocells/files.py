"""Files and folders that are whole or not there, each written by one process at a time."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows: nothing is locked there
    fcntl = None  # type: ignore[assignment]

_DRAFTS = ".part-"
_LOCK = ".lock"
_PREVIOUS = ".previous"
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
_held: set[IO[bytes]] = set()


def _let_go() -> None:
    """In a forked process: its parent's locks end with the parent."""
    for file in _held:
        file.close()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def refuse_input(output: str | Path, *inputs: str | Path | None) -> None:
    """Refuse to replace a file that is read.

    Raises
    ------
    ValueError
        If ``output`` is one of the ``inputs``; None stands for one that is not given.
    """
    output = Path(output)
    for path in inputs:
        if path is not None and output.exists() and Path(path).exists() and output.samefile(path):
            raise ValueError(
                f"{output} is both read and written, so what it holds would be lost. Rename it, or name another output."
            )


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a path to write to that becomes ``path`` once the block has ended without an error.

    It has the name of ``path``, as many writers choose a format by it, and lies in a hidden folder beside it. Missing
    folders are made. What an output has beside its main file is written inside the block, under the same lock.

    Raises
    ------
    BlockingIOError
        If another process is writing ``path``.
    OSError
        If the disk is full or read-only, whatever the writer raised; names ``path``.
    """
    with _drafting(Path(path)) as draft:
        yield draft
        os.replace(draft, path)


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Give an empty folder that becomes ``path`` once the block has ended without an error; see :func:`replacing`.

    Its files get the mode of any new file.
    """
    path = Path(path)
    with _drafting(path) as draft:
        draft.mkdir()
        yield draft
        mode = draft.with_name(_LOCK).stat().st_mode
        for file in draft.rglob("*"):
            if file.is_file():
                file.chmod(mode)
        if path.exists():
            path.rename(draft.with_name(_PREVIOUS))
        draft.rename(path)


@contextmanager
def locked(folder: str | Path) -> Iterator[None]:
    """Keep a folder, made where it is missing, from other processes; drafts that killed ones left in it go.

    Raises
    ------
    BlockingIOError
        If another process is writing there.
    """
    folder = Path(folder)
    is_new = not folder.exists()
    try:
        with holding(folder / _LOCK, folder):
            for pattern in (f"{_DRAFTS}*", f"*/{_DRAFTS}*"):
                for drafts in folder.glob(pattern):
                    _clear(drafts)
            yield
    finally:
        if is_new:
            with suppress(OSError):  # it is not empty
                folder.rmdir()


@contextmanager
def holding(lock: Path, output: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock, a file that is there for so long; it ends with the process, however that ends.

    Raises
    ------
    BlockingIOError
        If another process holds it, unless this one is to ``wait``; says that it is writing ``output``.
    """
    while True:
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = lock.open("ab")
        except FileNotFoundError:  # whoever held the lock has just removed its folder
            continue
        if fcntl is None:
            break
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            file.close()
            raise BlockingIOError(
                f"Another process is writing {output}; wait until it has ended, or name another output."
            ) from None
        except OSError:  # a file system without locks
            break
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), lock.stat()):
                break
        file.close()  # of a lock that has just been removed
    _held.add(file)
    try:
        yield
    finally:
        with suppress(OSError):
            lock.unlink()
        _held.discard(file)
        file.close()


@contextmanager
def _drafting(path: Path) -> Iterator[Path]:
    drafts = path.with_name(f"{_DRAFTS}{path.name}")
    fault: OSError | None = None
    try:
        _clear_siblings(path.absolute().parent)
        with holding(drafts / _LOCK, path):
            _empty(drafts)
            try:
                yield drafts / path.name
            except Exception as error:
                fault = _fault_of_disk(error, drafts)  # while the draft still fills it
                raise
            finally:
                _empty(drafts)
                shutil.rmtree(drafts, ignore_errors=True)
    except Exception as error:
        if isinstance(error, OSError) and str(error.filename or "").startswith(str(drafts)):
            fault = fault or error
        if fault is None:
            raise
        raise OSError(fault.errno, fault.strerror, str(path)) from error


@cache
def _clear_siblings(folder: Path) -> None:
    """Remove the drafts that killed processes left in a folder; once in a process."""
    for drafts in folder.glob(f"{_DRAFTS}*"):
        _clear(drafts)


def _clear(drafts: Path) -> None:
    if fcntl is not None and (drafts / _LOCK).is_file():
        with suppress(OSError), holding(drafts / _LOCK, drafts):
            _empty(drafts)
            shutil.rmtree(drafts, ignore_errors=True)


def _empty(drafts: Path) -> None:
    """Remove what a folder of drafts holds; a folder that was about to be replaced goes back to its place."""
    target = drafts.with_name(drafts.name.removeprefix(_DRAFTS))
    previous = drafts / _PREVIOUS
    if previous.exists() and not target.exists():
        previous.rename(target)
    for left in drafts.iterdir():
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        elif left.name != _LOCK:
            left.unlink()


def _fault_of_disk(error: Exception, drafts: Path) -> OSError | None:
    """What is wrong with the disk, if a writer failed for it: each library raises an error of its own."""
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return error
    try:
        (drafts / "probe").write_bytes(bytes(1 << 20))
    except OSError as fault:
        return fault
    return None
