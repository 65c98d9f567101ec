"""Addresses that no upload by URL may reach, and the ways there are to write them."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

V4 = (
    "127.0.0.1", "127.1.2.3", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.5", "10.255.255.1",  # noqa: S104
    "100.64.0.1", "100.100.100.200", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.1",
    "192.0.0.1", "192.0.0.170", "192.0.2.1", "192.168.0.1", "192.168.255.254", "198.18.0.1", "198.19.255.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "168.63.129.16",
)  # fmt: skip
"""This host and network, private ones, links' own, shared, documentation, benchmarks, multicast, reserved."""
V6 = (
    "::", "::1", "fe80::1", "fe80::a9fe:a9fe", "fc00::1", "fd00:ec2::254", "ff02::1", "ff05::2", "fec0::1",
    "2001:db8::1", "2001::1", "2001:10::1", "100::1", "3fff::1", "5f00::1", "64:ff9b:1::1",
    "4000::1", "a000::1", "1::1",
)  # fmt: skip
REDIRECTS = (301, 302, 303, 307, 308)


def urls(port: int = 80) -> list[str]:
    """Every URL, each once, in one order; where it is not 80 the port is written."""
    at = "" if port == 80 else f":{port}"
    found = [url for text in V4 for url in _of_v4(IPv4Address(text), at)]
    found += [url for text in V6 for url in _of_v6(text, at)]
    names = (
        "localhost",
        "LOCALHOST",
        "localhost.",
        "lo\u00adcalhost",
        "\uff4cocalhost",
        "\u24db\u24de\u24d2alhost",
    )
    found += [f"http://{name}{at}/" for name in (*names, "ip6-localhost", "a.localhost", "xn--localhost")]
    found += [
        f"{scheme}://127.0.0.1{at}/" for scheme in ("ftp", "gopher", "dict", "ldap", "ws", "unix", "tftp")
    ]
    found += [
        "file:///etc/hostname",
        "data:image/png;base64,AA==",
        "//127.0.0.1/",
        "127.0.0.1/",
        "http:127.0.0.1",
    ]
    found += [
        "http://",
        "http:///",
        "",
        "http://[::1",
        "http://[]/",
        "http://[v1.x]/",
        "http://" + "a." * 5_000,
    ]
    found += [f"http://127.0.0.1:{port}/" for port in ("22", "6379", "0", "-1", "65536", "80a", "8\u0660")]
    return list(dict.fromkeys(found))


def _of_v4(address: IPv4Address, at: str) -> Iterator[str]:
    a, b, c, d = address.packed
    number, high, low = int(address), f"{a * 256 + b:x}", f"{c * 256 + d:x}"
    teredo = f"{number ^ 0xFFFFFFFF:08x}"
    for host in (
        f"{address}", f"{address}.", f"{number}", f"{number:#x}", f"0{number:o}", f"{number + 2**32}",
        f"{a:#x}.{b:#x}.{c:#x}.{d:#x}", f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"000{a:o}.0{b:o}.{c}.{d}",
        f"{a:#x}.0{b:o}.{c}.{d}", f"{a}.{b}.{c * 256 + d}", f"{a}.{(b << 16) + (c << 8) + d}",
        f"{a:03}.{b:03}.{c:03}.{d:03}",
        f"[::ffff:{address}]", f"[::ffff:{high}:{low}]", f"[0:0:0:0:0:ffff:{high}:{low}]", f"[::{address}]",
        f"[64:ff9b::{high}:{low}]", f"[64:ff9b::{address}]", f"[2002:{high}:{low}::1]",
        f"[2001:0:{high}:{low}:0:0:f7f7:f7f7]", f"[2001:0:808:808:0:0:{teredo[:4]}:{teredo[4:]}]",
        f"[::ffff:0:{high}:{low}]", f"[fe80::5efe:{address}]",
        f"{address}".translate({ord(digit): 0xFF10 + int(digit) for digit in "0123456789"}),
        f"{address}".replace(".", "\u3002"), f"{address}".replace(".", "%2e"),
        "".join(f"%{ord(letter):02x}" for letter in f"{address}"),
        "".join(chr(0x245F + int(letter)) if letter in "123456789" else letter for letter in f"{address}"),
        f"public.test@{address}", f"public.test:80@{address}", f"public.test%40{address}",
        f"{address}%00.public.test", f"{address}\\@public.test", f"{address}\t", f" {address}",
        f"{address}\r\nHost: public.test",
    ):  # fmt: skip
        yield f"http://{host}{at}/"
    yield f"https://{address}{at}/"
    yield f"http:\\\\{address}{at}/"
    yield f"http:/{address}{at}/"
    yield f"http://{address}{at}#@public.test/"
    yield f"http://{address}{at}?@public.test/"


def _of_v6(text: str, at: str) -> Iterator[str]:
    for host in (text, text.upper(), f"{text}%25lo", f"{text}%lo", f"{text}%251", f"{text}%25eth0"):
        yield f"http://[{host}]{at}/"
    yield f"http://{text}{at}/"
    yield f"http://public.test@[{text}]{at}/"
