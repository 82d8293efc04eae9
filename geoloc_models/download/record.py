"""What is known of one photo once the download is through with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum


class State(StrEnum):
    """How the download of a photo ended."""

    OK = "ok"
    GONE = "gone"
    NOT_AN_IMAGE = "not_an_image"
    TOO_LARGE = "too_large"
    FAILED = "failed"
    REFUSED = "refused"


@dataclass(frozen=True)
class PhotoRecord:
    """A row of the ledger.

    Parameters
    ----------
    id, url : str
        The photo, as the table names it; a table may lack a photo's URL.
    state : State
        How its download ended.
    reason : str
        Why it is not ``ok``, in a few words.
    status : int, optional
        Last HTTP status; None where no server answered.
    bytes, width, height : int, optional
        Size in bytes and pixels of the image as stored.
    path : str, optional
        Where it lies, relative to the ledger's folder; ``shards/00012.tar/NAME.jpg`` is a member of
        a tar file.
    attempts : int
        How often it was tried; redirects belong to the attempt that met them.
    time : datetime
        When it ended, in UTC.
    """

    id: str
    url: str | None
    state: State
    reason: str = ""
    status: int | None = None
    bytes: int | None = None
    width: int | None = None
    height: int | None = None
    path: str | None = None
    attempts: int = 0
    time: datetime | None = None


def now_utc() -> datetime:
    """Time of day in UTC, to the millisecond, as the ledger keeps it."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
