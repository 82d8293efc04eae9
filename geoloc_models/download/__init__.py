"""Photos from the web to the disk: polite, wary of what comes, and resumable at any kill.

``download_photos`` does the whole job; see :class:`DownloadOptions` for what can be chosen.
"""

from __future__ import annotations

from geoloc_models.download.job import download_photos
from geoloc_models.download.ledger import read_ledger
from geoloc_models.download.options import DownloadOptions
from geoloc_models.download.record import PhotoRecord, State
from geoloc_models.download.summary import DownloadSummary

__all__ = [
    "DownloadOptions",
    "DownloadSummary",
    "PhotoRecord",
    "State",
    "download_photos",
    "read_ledger",
]
