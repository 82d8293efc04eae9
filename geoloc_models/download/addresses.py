"""Which addresses may be asked: http(s) only, and no machine of one's own network by accident.

A table of photos comes from strangers. A URL in it, or a redirect, could point at the user's router
or at a cloud's metadata service. So names are resolved here, every address is checked, and the
connection goes to an address that was checked: a name that resolves to something else a moment
later changes nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Awaitable[list[str]]]

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_MAX_HOSTS = 4096


class RefusedAddressError(Exception):
    """An address, or the form of a URL, that is not asked."""


class AddressPolicy:
    """Rule that says which addresses may be asked.

    Parameters
    ----------
    allow_private : bool
        Whether all addresses may be.
    allow_networks : sequence of IPv4Network or IPv6Network
        Networks that may be, whatever they are.

    Notes
    -----
    Without these, only globally routed unicast addresses may be: neither private, loopback,
    link-local, shared (100.64/10), multicast, reserved, documentation nor unspecified ones. An IPv6
    address that carries an IPv4 one (mapped, compatible, 6to4, Teredo, NAT64) is judged by both.
    """

    def __init__(self, *, allow_private: bool = False, allow_networks: Sequence[Network] = ()):
        self._allow_private = allow_private
        self._networks = tuple(allow_networks)

    def allows(self, text: str) -> bool:
        """Tell whether an address, as text, may be asked."""
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        if self._allow_private:
            return True
        faces = _faces(address)
        if any(
            face.version == network.version and face in network
            for face in faces
            for network in self._networks
        ):
            return True
        return all(_is_public(face) for face in faces)

    def check(self, host: str, addresses: Sequence[str]) -> None:
        """Refuse a host if any one of its addresses may not be asked."""
        for address in addresses:
            if not self.allows(address):
                name = "" if host == address else f"{host} resolves to "
                raise RefusedAddressError(f"{name}{address}, which is not a public address")


def _faces(address: Address) -> list[Address]:
    """Return the address, and the IPv4 addresses that it carries."""
    faces: list[Address] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        carried: list[ipaddress.IPv4Address | None] = [address.ipv4_mapped, address.sixtofour]
        carried.extend(address.teredo or ())
        number = int(address)
        if address in _NAT64 or (number >> 32 == 0 and number > 1):
            carried.append(ipaddress.IPv4Address(number & 0xFFFFFFFF))
        faces.extend(face for face in carried if face is not None)
        if address.ipv4_mapped is not None:
            faces = faces[1:]  # another spelling of the IPv4 address, no more
    return faces


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and (
        address.is_site_local or address.scope_id is not None
    ):
        return False
    if isinstance(address, ipaddress.IPv6Address) and (
        address in _NAT64 or address.sixtofour is not None
    ):
        # The IPv4 address that it carries decides; releases of Python differ on 2002::/16.
        return True
    return (
        address.is_global
        and not address.is_private
        and not address.is_loopback
        and not address.is_link_local
        and not address.is_multicast
        and not address.is_reserved
        and not address.is_unspecified
    )


class CheckedResolver:
    """Addresses of hosts, all of them checked, kept for a minute.

    Parameters
    ----------
    policy : AddressPolicy
        Which addresses may be asked.
    resolve : callable, optional
        Gives the addresses of a host and port; by default the system's resolver.
    keep_seconds : float
        How long an answer is used.
    """

    def __init__(
        self, policy: AddressPolicy, resolve: Resolver | None = None, *, keep_seconds: float = 60.0
    ):
        self._policy = policy
        self._resolve = resolve or system_addresses
        self._keep_seconds = keep_seconds
        self._known: dict[tuple[str, int], tuple[float, list[str]]] = {}

    async def addresses(self, host: str, port: int) -> list[str]:
        """Addresses of a host; RefusedAddressError if one of them may not be asked."""
        now = asyncio.get_running_loop().time()
        known = self._known.get((host, port))
        if known is not None and known[0] > now:
            return known[1]
        addresses = await self._resolve(host, port)
        self._policy.check(host, addresses)
        if len(self._known) >= _MAX_HOSTS:
            self._known.clear()
        self._known[host, port] = (now + self._keep_seconds, addresses)
        return addresses

    def prefer(self, host: str, port: int, address: str) -> None:
        """Try an address of a host first from now on: it has answered."""
        _, addresses = self._known.get((host, port), (0.0, []))
        if address in addresses:
            addresses.remove(address)
            addresses.insert(0, address)


async def system_addresses(host: str, port: int) -> list[str]:
    """Addresses of a host from the system's resolver, each once, in its order."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
