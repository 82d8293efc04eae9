"""A lock that a process holds and that ends with it, however it ends."""

from __future__ import annotations

import os
from pathlib import Path

from geoloc_models._errors import GeolocError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class LockTakenError(GeolocError):
    """Another process holds the lock."""


class FileLock:
    """Hold a lock file until :meth:`release`; LockTakenError at once if another process does.

    Parameters
    ----------
    path : Path
        The lock's file, removed at the release. A file that a killed process left is no hindrance.
    message : str
        What to say where the lock is taken.
    """

    def __init__(self, path: Path, message: str) -> None:
        self._path = path
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                if fcntl is not None:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                current = path.stat().st_ino == os.fstat(descriptor).st_ino
            except BlockingIOError:
                os.close(descriptor)
                raise LockTakenError(f"{message}; wait until it has ended.") from None
            except FileNotFoundError:
                current = False
            if current:
                self._descriptor = descriptor
                return
            os.close(descriptor)  # its owner removed the file between opening and locking

    def release(self) -> None:
        """Let others have it."""
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
