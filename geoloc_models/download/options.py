"""What can be chosen about a download, checked once."""

from __future__ import annotations

import ipaddress
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from geoloc_models._errors import GeolocError
from geoloc_models.download.record import State

MAX_MEGAPIXELS = 178.0  # above, pillow refuses by itself

# Pictures that servers show in the place of a photo that is no more.
GONE_PATTERNS = (
    r"/(photo|image)_(unavailable|not_available)[^/]*$",
    r"^https?://i\.imgur\.com/removed\.png",
)


@dataclass(frozen=True, kw_only=True)
class DownloadOptions:
    """Choices of a download.

    Parameters
    ----------
    max_side : int, optional
        Longest side of the stored images, in pixels; larger ones are made smaller.
    quality : int
        JPEG quality of stored images, 1 to 95.
    keep_original : bool
        Store the bytes that the server sent, metadata and all, in place of a new JPEG.
    shard_size : int, optional
        Photos per tar file; without it every photo is a file of its own.
    parallel, per_host : int
        Requests under way at a time, in all and to one host.
    rate : float
        Requests a second to one host; 0 sets no limit.
    attempts : int
        How often a photo is tried before it counts as failed.
    backoff : float
        Seconds before the second attempt; doubled for each further one.
    max_wait : float
        Longest wait before an attempt, in seconds, whatever a server asks for.
    connect_timeout, read_timeout, total_timeout : float
        Seconds for a connection, for the next bytes, and for one request as a whole.
    max_bytes : int
        Largest file that is fetched.
    max_megapixels : float
        Largest image that is decoded, in million pixels, at most 178.
    max_redirects : int
        Redirects followed for one photo.
    gone_patterns : sequence of str
        Regular expressions; a URL that one of them is found in is a picture that stands for a lost
        photo. They add to those that are known.
    allow_private_addresses : bool
        Whether private, loopback, link-local and reserved addresses may be asked.
    allow_networks : sequence of str
        Networks, such as ``10.1.0.0/16``, that may be asked whatever they are.
    retry : sequence of State
        States of earlier runs that are tried again.
    user_agent : str, optional
        What the server is told of who asks.
    workers : int, optional
        Threads that decode images; by default one per core.

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
    max_bytes: int = 20_000_000
    max_megapixels: float = 80.0
    max_redirects: int = 5
    gone_patterns: Sequence[str] = ()
    allow_private_addresses: bool = False
    allow_networks: Sequence[str] = ()
    retry: Sequence[State] = ()
    user_agent: str | None = None
    workers: int | None = None
    networks: tuple[Any, ...] = field(init=False, repr=False)
    gone_pattern: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name, low, high in (
            ("max_side", 16, 65_500),
            ("quality", 1, 95),
            ("shard_size", 1, 1_000_000),
            ("parallel", 1, 4096),
            ("per_host", 1, 4096),
            ("rate", 0, math.inf),
            ("attempts", 1, 100),
            ("backoff", 0, 3600),
            ("max_wait", 0, 86_400),
            ("connect_timeout", 0.001, 3600),
            ("read_timeout", 0.001, 3600),
            ("total_timeout", 0.001, 86_400),
            ("max_bytes", 1, 2**31),
            ("max_megapixels", 0.001, MAX_MEGAPIXELS),
            ("max_redirects", 0, 50),
            ("workers", 1, 1024),
        ):
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
        object.__setattr__(self, "networks", _networks(self.allow_networks))
        object.__setattr__(self, "gone_pattern", _pattern(self.gone_patterns))

    @property
    def n_workers(self) -> int:
        """Threads that decode images."""
        return self.workers if self.workers is not None else os.cpu_count() or 1

    def of_files(self) -> dict[str, Any]:
        """Choices that all images of a folder share; a later run must not change them."""
        shared = ("max_side", "quality", "keep_original", "shard_size")
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name in shared}


def _networks(texts: Sequence[str]) -> tuple[Any, ...]:
    networks = []
    for text in texts:
        try:
            networks.append(ipaddress.ip_network(text))
        except ValueError as error:
            raise GeolocError(
                f"{text!r} is no network ({error}); write one as 10.1.0.0/16 or fd00::/8."
            ) from None
    return tuple(networks)


def _pattern(texts: Sequence[str]) -> re.Pattern[str]:
    for text in texts:
        try:
            re.compile(text)
        except re.error as error:
            raise GeolocError(f"{text!r} is no regular expression ({error}).") from None
    return re.compile("|".join(f"(?:{text})" for text in (*GONE_PATTERNS, *texts)), re.IGNORECASE)
