"""What can be chosen about a download, and the states that a photo can end in."""

from __future__ import annotations

import ipaddress
import math
import os
import re
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal

from geoloc_models.errors import GeolocError

MAX_MEGAPIXELS = 178.0  # above, pillow refuses by itself

# Pictures that servers show in the place of a photo that is no more.
GONE_PATTERNS = (
    r"/(photo|image)_(unavailable|not_available)[^/]*$",
    r"^https?://i\.imgur\.com/removed\.png",
)

_RANGES: dict[str, tuple[float, float]] = {
    "max_side": (16, 65_500),
    "quality": (1, 95),
    "shard_size": (1, 1_000_000),
    "parallel": (1, 4096),
    "per_host": (1, 4096),
    "rate": (0, math.inf),
    "attempts": (1, 100),
    "backoff": (0, 3600),
    "max_wait": (0, 86_400),
    "connect_timeout": (0.001, 3600),
    "read_timeout": (0.001, 3600),
    "total_timeout": (0.001, 86_400),
    "max_megabytes": (1e-6, 2000),
    "max_megapixels": (0.001, MAX_MEGAPIXELS),
    "max_redirects": (0, 50),
    "workers": (1, 1024),
}


class State(StrEnum):
    """How the download of a photo ended.

    Examples
    --------
    >>> from geoloc_models.download import State
    >>> State("gone").name
    'GONE'
    """

    OK = "ok"
    GONE = "gone"
    NOT_AN_IMAGE = "not_an_image"
    TOO_LARGE = "too_large"
    FAILED = "failed"
    REFUSED = "refused"


RetryState = Literal["gone", "not_an_image", "too_large", "failed", "refused"]


@dataclass(frozen=True, kw_only=True)
class DownloadOptions:
    """Choices of a download.

    Parameters
    ----------
    max_side : int, optional
        Longest side of stored images, in pixels; larger ones are shrunk.
    quality : int
        JPEG quality of stored images, 1 to 95.
    keep_original : bool
        Store the bytes as sent, with all metadata and GPS positions, instead of a new JPEG.
    shard_size : int, optional
        Store tar files (WebDataset) of so many photos. Default: one file per photo.
    parallel : int
        Requests at a time.
    per_host : int
        Requests at a time to one host.
    rate : float
        Requests per second to one host; 0: no limit.
    attempts : int
        Attempts before a photo counts as failed.
    backoff : float
        Seconds before the second attempt, doubled for each further one.
    max_wait : float
        Longest wait before an attempt, in seconds, whatever the server asks for.
    connect_timeout : float
        Seconds to look up a host, and to connect.
    read_timeout : float
        Seconds to wait for the next bytes.
    total_timeout : float
        Seconds for one request in all.
    user_agent : str, optional
        User agent; include a way to reach you. Default: geoloc-download/VERSION.
    retry : tuple of {"gone", "not_an_image", "too_large", "failed", "refused"}
        States of earlier runs to try again.
    max_megabytes : float
        Largest file to fetch, in million bytes.
    max_megapixels : float
        Largest image to decode, in million pixels, at most 178.
    max_redirects : int
        Most redirects of one photo.
    gone_patterns : tuple of str
        More regular expressions for URLs of pictures that replace a deleted photo.
    allow_networks : tuple of str
        Also ask addresses of these networks, such as 10.1.0.0/16, though they are not public.
    workers : int, optional
        Threads that decode images. Default: one per core.

    Raises
    ------
    GeolocError
        If a value is out of range, or two contradict each other.
    """

    max_side: int | None = None
    quality: int = 90
    keep_original: bool = False
    shard_size: int | None = None
    parallel: int = 64
    per_host: int = 8
    rate: float = 20.0
    attempts: int = 4
    backoff: float = 1.0
    max_wait: float = 300.0
    connect_timeout: float = 10.0
    read_timeout: float = 20.0
    total_timeout: float = 60.0
    user_agent: str | None = None
    retry: tuple[RetryState, ...] = ()
    max_megabytes: float = 20.0
    max_megapixels: float = 80.0
    max_redirects: int = 5
    gone_patterns: tuple[str, ...] = ()
    allow_networks: tuple[str, ...] = ()
    workers: int | None = None

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                bound = f"between {low} and {high}" if high < math.inf else f"at least {low}"
                raise GeolocError(f"{name} must lie {bound}; got {value}.")
        if self.keep_original and self.max_side is not None:
            raise GeolocError(
                "keep_original stores what the server sent, and max_side makes it smaller; choose "
                "one of them."
            )
        if State.OK in self.retry:
            raise GeolocError("A photo that is there is not fetched again; leave ok out of retry.")
        agent = self.user_agent
        if agent is not None and not (agent.isascii() and agent.isprintable() and agent.strip()):
            raise GeolocError(f"user_agent must be plain ASCII text; got {agent!r}.")
        _ = self.networks, self.gone_pattern  # both are checked here, and made once

    @property
    def max_bytes(self) -> int:
        """Largest file that is fetched, in bytes."""
        return round(self.max_megabytes * 1e6)

    @property
    def n_workers(self) -> int:
        """Threads that decode images."""
        return self.workers if self.workers is not None else os.cpu_count() or 1

    @cached_property
    def networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """The networks of ``allow_networks``."""
        networks = []
        for text in self.allow_networks:
            try:
                networks.append(ipaddress.ip_network(text))
            except ValueError as error:
                raise GeolocError(
                    f"{text!r} is no network ({error}); write one as 10.1.0.0/16 or fd00::/8."
                ) from None
        return tuple(networks)

    @cached_property
    def gone_pattern(self) -> re.Pattern[str]:
        """Pattern of all URLs of pictures that stand for a lost photo."""
        for text in self.gone_patterns:
            try:
                re.compile(text)
            except re.error as error:
                raise GeolocError(f"{text!r} is no regular expression ({error}).") from None
        patterns = (*GONE_PATTERNS, *self.gone_patterns)
        return re.compile("|".join(f"(?:{text})" for text in patterns), re.IGNORECASE)

    def shared_by_all_images(self) -> dict[str, Any]:
        """Choices that all images of a folder share; a later run must not change them."""
        shared = ("max_side", "quality", "keep_original", "shard_size")
        return {name: value for name, value in asdict(self).items() if name in shared}
