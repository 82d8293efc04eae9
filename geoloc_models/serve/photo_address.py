"""A photo from an address that a visitor typed: fetched as ``geoloc download`` fetches, and as warily."""

from __future__ import annotations

from geoloc_models.download.client import PhotoClient, Redirect, Rejected, Success
from geoloc_models.download.download_options import DownloadOptions, State
from geoloc_models.errors import BrokenImageError


async def fetch_photo(address: str, options: DownloadOptions) -> bytes:
    """Fetch what lies at an address, once.

    Parameters
    ----------
    address : str
        http or https. Unless the options say otherwise, public addresses alone are asked, after
        each redirect too.
    options : DownloadOptions
        Limits and timeouts.

    Raises
    ------
    BrokenImageError
        One sentence for the person who typed it. Of a refused address it does not say what the
        name resolves to.
    """
    async with PhotoClient(options) as client:
        url = client.parse(address)
        for _ in range(options.max_redirects + 1):
            if isinstance(url, Rejected):
                break
            answer = await client.fetch(url)
            if isinstance(answer, Success):
                return answer.content
            if not isinstance(answer, Redirect):
                if getattr(answer, "state", None) is State.REFUSED:
                    break
                raise BrokenImageError(f"No photo came from there: {answer.reason}.")
            url = answer.url
        else:
            raise BrokenImageError("No photo came from there: too many redirects.")
    raise BrokenImageError("This is not the web address of a photo that this server may ask for.")
