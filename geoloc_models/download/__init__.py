"""Photos from the web to the disk: polite, wary of what comes, and resumable at any kill.

``download_photos`` does the whole job; see :class:`DownloadOptions` for what can be chosen.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geoloc_models.download.download_options import DownloadOptions, State
    from geoloc_models.download.job import DownloadSummary, download_photos
    from geoloc_models.download.queue import PhotoRecord, read_ledger

__all__ = [
    "DownloadOptions",
    "DownloadSummary",
    "PhotoRecord",
    "State",
    "download_photos",
    "read_ledger",
]

_MODULE_OF_NAME = {
    "DownloadOptions": "download_options",
    "DownloadSummary": "job",
    "PhotoRecord": "queue",
    "State": "download_options",
    "download_photos": "job",
    "read_ledger": "queue",
}


def __getattr__(name: str) -> Any:
    # Each name is imported when first used: the options are light, the others are not.
    if name in _MODULE_OF_NAME:
        return getattr(import_module(f"{__name__}.{_MODULE_OF_NAME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
