"""Which addresses may be asked: http(s) only, and no machine of one's own network by accident.

A table of photos comes from strangers. A URL in it, or a redirect, could point at the user's router
or at a cloud's metadata service. So names are resolved here, every address is checked, and the
connection goes to an address that was checked: a name that resolves to something else a moment
later changes nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from aiohttp.abc import AbstractResolver, ResolveResult

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Awaitable[list[str]]]

# Blocks of the IPv4 and IPv6 Special-Purpose Address Registries of IANA, of multicast, and what
# clouds answer at from inside. Python's own list differs from release to release.
REFUSED_NETWORKS: tuple[Network, ...] = tuple(
    map(
        ipaddress.ip_network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private use
            "100.64.0.0/10",  # shared by customers of a provider
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # not of IANA: a cloud's own services
            "169.254.0.0/16",  # link-local; metadata of clouds
            "172.16.0.0/12",  # private use
            "192.0.0.0/24",  # protocol assignments; metadata of a cloud
            "192.0.2.0/24",  # documentation
            "192.31.196.0/24",  # AS112-v4
            "192.52.193.0/24",  # AMT
            "192.88.99.0/24",  # relays of 6to4, given up
            "192.168.0.0/16",  # private use
            "192.175.48.0/24",  # AS112
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
            "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
            "2001:db8::/32",  # documentation
            "2620:4f:8000::/48",  # AS112
            "3fff::/20",  # documentation
        ),
    )
)
_UNICAST = ipaddress.IPv6Network(
    "2000::/3"
)  # all of IPv6 that is given out for use on the internet
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_MAX_HOSTS = 4096
_MAX_LOOK_UPS = 16
_KEEP_SECONDS, _KEEP_FAILURE_SECONDS = 60.0, 5.0


class RefusedAddressError(OSError):
    """An address that may not be asked."""


class UnknownHostError(Exception):
    """A host without an address, or one whose address is not known in time."""


class AddressPolicy:
    """Rule that says which addresses may be asked.

    Parameters
    ----------
    allow_networks : sequence of IPv4Network or IPv6Network
        Networks that may be, whatever they are.

    Notes
    -----
    Without these, only addresses for use on the internet may be: of IPv4 all but
    ``REFUSED_NETWORKS``, of IPv6 ``2000::/3`` but those. An IPv6 address that stands for an IPv4 one
    (mapped, 6to4, NAT64) is judged by that one.
    """

    def __init__(self, allow_networks: Sequence[Network] = ()):
        self._networks = tuple(allow_networks)

    def allows(self, text: str) -> bool:
        """Tell whether an address, as text, may be asked."""
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        carried = _carried(address)
        return any(
            face.version == network.version and face in network
            for face in (address, carried)
            for network in self._networks
        ) or _is_public(carried)

    def check(self, host: str, addresses: Sequence[str]) -> None:
        """Refuse a host if any one of its addresses may not be asked."""
        for address in addresses:
            if not self.allows(address):
                name = "" if host == address else f"{host} resolves to "
                raise RefusedAddressError(f"{name}{address}, which is not a public address")


def _carried(address: Address) -> Address:
    """IPv4 address that an IPv6 one stands for; any other address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_public(address: Address) -> bool:
    if address.version == 6 and (address.scope_id is not None or address not in _UNICAST):
        return False
    return not any(address in network for network in REFUSED_NETWORKS)


class CheckedResolver(AbstractResolver):
    """Addresses of hosts, all of them checked, looked up once for all who ask at a time.

    Parameters
    ----------
    policy : AddressPolicy
        Which addresses may be asked.
    look_up : callable, optional
        Gives the addresses of a host and port; by default the system's resolver.
    timeout : float
        Seconds that a look-up may take, counted from its own start.

    Notes
    -----
    An address is used for a minute; so is the answer that there is none. Any other failure is used
    for five seconds, as is a look-up that is late for as long as it takes: thousands of photos of a
    dead host cost a few look-ups. At most 16 run at a time, and those who wait for their turn lose
    none of their time.
    """

    def __init__(
        self, policy: AddressPolicy, look_up: Resolver | None = None, *, timeout: float = 10.0
    ):
        self._policy = policy
        self._threads = ThreadPoolExecutor(_MAX_LOOK_UPS, "geoloc-resolve")
        self._ask = look_up or self._system_addresses
        self._timeout = timeout
        self._slots = asyncio.Semaphore(_MAX_LOOK_UPS)
        self._known: dict[tuple[str, int], tuple[float, asyncio.Future[list[str]]]] = {}
        self._look_ups: set[asyncio.Task[None]] = set()

    async def addresses(self, host: str, port: int) -> list[str]:
        """Addresses of a host.

        Raises
        ------
        RefusedAddressError
            If one of them may not be asked.
        UnknownHostError
            If there are none, or they are not known in time.
        """
        if _is_address(host):
            self._policy.check(host, [host])
            return [host]
        loop = asyncio.get_running_loop()
        expiry, answer = self._known.get((host, port), (0.0, None))
        if answer is None or expiry <= loop.time():
            if len(self._known) >= _MAX_HOSTS:
                self._known = {k: v for k, v in self._known.items() if v[0] > loop.time()}
            answer = self._new_answer()
            self._known[host, port] = math.inf, answer
            task = asyncio.create_task(self._look_up(host, port, answer))
            self._look_ups.add(task)
            task.add_done_callback(self._look_ups.discard)
        return await asyncio.shield(answer)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Addresses as aiohttp wants them; Host header and TLS name stay the URL's host."""
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            }
            for address in await self.addresses(host, port)
        ]

    async def close(self) -> None:
        """Wait for no look-up any more."""
        for task in self._look_ups:
            task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _look_up(self, host: str, port: int, answer: asyncio.Future[list[str]]) -> None:
        async with self._slots:
            work = asyncio.ensure_future(self._ask(host, port))
            await asyncio.wait([work], timeout=self._timeout)
            if not work.done():  # a thread cannot be stopped: its slot stays taken until it ends
                answer.set_exception(
                    UnknownHostError(f"the name {host} is not resolved after {self._timeout:g} s")
                )
                await asyncio.wait([work])
                answer = self._new_answer()
        seconds = _KEEP_SECONDS
        try:
            addresses = work.result()
            self._policy.check(host, addresses)
            if not addresses:
                raise UnknownHostError(f"the host {host} has no address")
            answer.set_result(addresses)
        except (RefusedAddressError, UnknownHostError) as error:
            answer.set_exception(error)
        except (OSError, UnicodeError) as error:
            if not isinstance(error, socket.gaierror) or error.errno != socket.EAI_NONAME:
                seconds = _KEEP_FAILURE_SECONDS
            answer.set_exception(UnknownHostError(f"the host {host} is not known ({error})"))
        self._known[host, port] = asyncio.get_running_loop().time() + seconds, answer

    def _new_answer(self) -> asyncio.Future[list[str]]:
        answer: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        # An error that nobody waits for any more is no fault.
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        return answer

    async def _system_addresses(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, system_addresses, host, port)


def system_addresses(host: str, port: int) -> list[str]:
    """Addresses of a host from the system's resolver, each once, in its order."""
    entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in entries))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
