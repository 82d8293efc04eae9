"""Which addresses may be asked."""

import asyncio
import ipaddress
import socket

import pytest
from geoloc_models_download import run_without_waiting

from geoloc_models.download import DownloadOptions
from geoloc_models.download.addresses import (
    AddressPolicy,
    CheckedResolver,
    RefusedAddressError,
    UnknownHostError,
    system_addresses,
)
from geoloc_models.errors import GeolocError

PUBLIC = """
93.184.216.34 8.8.8.8 1.1.1.1 1.0.0.0 223.255.255.255 2606:2800:220:1:248:1893:25c8:1946
2000::1 2400:cb00::1 2a00:1450:4001::200e ::ffff:8.8.8.8 64:ff9b::8.8.8.8 2002:0808:0808::1
""".split()  # noqa: SIM905
# First, last and the neighbours outside of the blocks in IANA's registries of special-purpose
# addresses (2026-11), RFC 5771, 4291, and of what clouds answer at from inside: 192.0.0.192,
# 168.63.129.16, 100.100.100.200, 169.254.169.254, fd00:ec2::254.
BLOCKS = """
0.0.0.0        0.255.255.255    -               1.0.0.0
10.0.0.0       10.255.255.255   9.255.255.255   11.0.0.0
100.64.0.0     100.127.255.255  100.63.255.255  100.128.0.0
127.0.0.0      127.255.255.255  126.255.255.255 128.0.0.0
168.63.129.16  168.63.129.16    168.63.129.15   168.63.129.17
169.254.0.0    169.254.255.255  169.253.255.255 169.255.0.0
172.16.0.0     172.31.255.255   172.15.255.255  172.32.0.0
192.0.0.0      192.0.0.255      191.255.255.255 192.0.1.0
192.0.2.0      192.0.2.255      192.0.1.255     192.0.3.0
192.31.196.0   192.31.196.255   192.31.195.255  192.31.197.0
192.52.193.0   192.52.193.255   192.52.192.255  192.52.194.0
192.88.99.0    192.88.99.255    192.88.98.255   192.88.100.0
192.168.0.0    192.168.255.255  192.167.255.255 192.169.0.0
192.175.48.0   192.175.48.255   192.175.47.255  192.175.49.0
198.18.0.0     198.19.255.255   198.17.255.255  198.20.0.0
198.51.100.0   198.51.100.255   198.51.99.255   198.51.101.0
203.0.113.0    203.0.113.255    203.0.112.255   203.0.114.0
224.0.0.0      255.255.255.255  223.255.255.255 -
::             1fff:ffff::      -               2000::
2001::         2001:1ff:ffff::  2000:ffff::     2001:200::
2001:db8::     2001:db8:ffff::  2001:db7:ffff:: 2001:db9::
2620:4f:8000:: 2620:4f:8000:ffff:: 2620:4f:7fff:: 2620:4f:8001::
3fff::         3fff:fff:ffff::  3ffe:ffff::     3fff:1000::
4000::         ffff:ffff::      -               -
"""
ENDS = [line.split() for line in BLOCKS.strip().splitlines()]
PUBLIC += [text for ends in ENDS for text in ends[2:] if text != "-"]
NOT_PUBLIC = [text for ends in ENDS for text in ends[:2]]
NOT_PUBLIC += """
192.0.0.192 192.0.0.170 100.100.100.200 169.254.169.254 fd00:ec2::254 192.168.1.1 240.0.0.1
::1 fe80::1 fe80::1%eth0 2606:2800::1%eth0 fc00::1 fd12:3456::1 fec0::1 ff02::1 100::1
5f00::1 ::8.8.8.8 ::127.0.0.1 64:ff9b:1::8.8.8.8 2001:0:4136:e378:8000:63bf:3fff:fdd2
::ffff:127.0.0.1 ::ffff:10.1.2.3 ::ffff:a9fe:a9fe ::ffff:192.0.0.192 64:ff9b::10.0.0.1
64:ff9b::a9fe:a9fe 64:ff9b::a83f:8110 2002:7f00:0001::1 2002:0a00:0001::1 2002:c000:00c0::1
""".split()  # noqa: SIM905
NOT_ADDRESSES = ["not an address", "", "1.2.3", "0x7f.1", "127.1", "2130706433"]


@pytest.mark.parametrize("address", PUBLIC + NOT_PUBLIC + NOT_ADDRESSES)
def test_public_addresses_alone_may_be_asked(address):
    assert AddressPolicy().allows(address) == (address in PUBLIC)


def test_one_network_may_be_allowed_and_no_other():
    policy = AddressPolicy([ipaddress.ip_network("10.1.0.0/16")])
    assert policy.allows("10.1.2.3")
    assert policy.allows("::ffff:10.1.2.3")
    assert policy.allows("8.8.8.8")
    assert not policy.allows("10.2.0.1")
    assert not policy.allows("127.0.0.1")
    assert not policy.allows("::1")


def test_one_private_address_among_public_ones_refuses_the_host():
    with pytest.raises(RefusedAddressError, match=r"photos\.example resolves to 10\.0\.0\.1"):
        AddressPolicy().check("photos.example", ["8.8.8.8", "10.0.0.1"])


def run_resolver(resolve, work, timeout=10.0):
    """Let ``work(resolver)`` run with a resolver of its own."""

    async def run():
        resolver = CheckedResolver(AddressPolicy(), resolve, timeout=timeout)
        try:
            await work(resolver)
        finally:
            await resolver.close()

    run_without_waiting(run())


def test_answers_of_any_kind_are_used_again():
    asked = []

    async def resolve(host, port):
        asked.append(host)
        if host == "nowhere.example":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return ["8.8.8.8", "9.9.9.9"] if host == "good.example" else ["127.0.0.1"]

    async def work(resolver):
        for _ in range(2):
            assert await resolver.addresses("good.example", 443) == ["8.8.8.8", "9.9.9.9"]
            with pytest.raises(RefusedAddressError):
                await resolver.addresses("bad.example", 443)
            with pytest.raises(UnknownHostError, match=r"nowhere\.example is not known"):
                await resolver.addresses("nowhere.example", 443)

    run_resolver(resolve, work)
    assert asked == ["good.example", "bad.example", "nowhere.example"]


def test_all_who_ask_at_a_time_share_one_look_up():
    asked = []

    async def resolve(host, port):
        asked.append(host)
        await asyncio.sleep(0.01)
        return ["8.8.8.8"]

    async def work(resolver):
        answers = [resolver.addresses("a.example", 80) for _ in range(50)]
        assert await asyncio.gather(*answers) == [["8.8.8.8"]] * 50

    run_resolver(resolve, work)
    assert asked == ["a.example"]


def test_a_look_up_behind_slow_ones_has_its_own_time():
    answered = {f"slow{k}.example": asyncio.Event() for k in range(16)}

    async def resolve(host, port):
        if host in answered:
            await answered[host].wait()
        return ["8.8.8.8"]

    async def work(resolver):
        slow = [asyncio.create_task(resolver.addresses(host, 80)) for host in answered]
        healthy = asyncio.create_task(resolver.addresses("healthy.example", 80))
        for error in await asyncio.gather(*slow, return_exceptions=True):
            assert isinstance(error, UnknownHostError)
            assert "not resolved after 0.1 s" in str(error)
        # It has waited for a slot as long as a look-up may take, and has not begun its own.
        assert not healthy.done()
        for event in answered.values():
            event.set()
        assert await healthy == ["8.8.8.8"]
        # The late answers came in the end, and are used.
        assert await resolver.addresses("slow0.example", 80) == ["8.8.8.8"]

    run_resolver(resolve, work, timeout=0.1)


def test_addresses_are_not_looked_up():
    async def work(resolver):
        assert await resolver.addresses("8.8.8.8", 80) == ["8.8.8.8"]
        with pytest.raises(RefusedAddressError):
            await resolver.addresses("::1", 80)

    run_resolver(None, work)


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1", "0177.0.0.1", "localhost"])
def test_other_spellings_of_loopback_resolve_to_what_is_refused(host):
    addresses = system_addresses(host, 80)
    assert not any(AddressPolicy().allows(address) for address in addresses)


@pytest.mark.parametrize("network", ["10.1.0.0/33", "home", "10.1.2.3/16"])
def test_what_is_no_network_is_an_error(network):
    with pytest.raises(GeolocError, match="is no network"):
        DownloadOptions(allow_networks=[network])
