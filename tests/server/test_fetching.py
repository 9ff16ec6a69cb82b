"""Fetching what strangers name: real servers that attack, and names that lie."""

import asyncio
import gzip
import ipaddress
import ssl
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.public_addresses import is_public
from pipeline.server.fetch_config import FetchConfig
from pipeline.server.fetching import (
    UNREACHABLE,
    Fetcher,
    PictureRefused,
    Resolve,
)
from pipeline.testing import patience
from tests.wild.raw_server import head, raw_camera

PICTURE = b"\x89PNG not looked at here"
CERTIFICATE = Path(__file__).parent / "pictures_example.pem"


def names(**table: str | Sequence[str]) -> tuple[Resolve, list[str]]:
    """A name server: each name has its addresses; and what it was asked for."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        found = table.get(host.replace(".", "_"))
        if found is None:
            raise OSError(f"no such name, port {port}")
        return [found] if isinstance(found, str) else found

    return resolve, asked


def ok(body: bytes = PICTURE, *lines: str) -> bytes:
    """A whole answer."""
    return head(f"Content-Length: {len(body)}", *lines) + body


def port_of(address: str) -> int:
    """The port of a test server's address."""
    return int(address.rsplit(":", 1)[1].split("/")[0])


def fetcher_to(*ports: int, resolve: Resolve | None = None, **settings: object) -> Fetcher:
    """A fetcher that may reach this machine's servers at these ports."""
    return Fetcher(
        FetchConfig.model_validate(
            {"domains": ["any"], "networks": ["127.0.0.1/32"], "ports": ports} | settings
        ),
        resolve=resolve,
    )


def fetch(fetcher: Fetcher, address: str) -> bytes:
    """Fetch in a loop of its own."""
    try:
        return asyncio.run(fetcher.fetch(address))
    finally:
        fetcher.close()


def refusal(fetcher: Fetcher, address: str) -> PictureRefused:
    """Why an address was refused."""
    with pytest.raises(PictureRefused) as caught:
        fetch(fetcher, address)
    assert "127.0.0.1" not in caught.value.message
    return caught.value


def test_a_picture_is_fetched_with_nothing_of_the_callers() -> None:
    """Host and picture formats are all that the server learns."""
    seen: list[bytes] = []

    def answers(_: int, request: bytes) -> Iterable[bytes]:
        seen.append(request)
        return [ok()]

    resolve, _ = names(pictures_example="127.0.0.1")
    with raw_camera(answers) as address:
        port = port_of(address)
        found = fetch(fetcher_to(port, resolve=resolve), f"http://pictures.example:{port}/a?b=c#d")
    assert found == PICTURE
    lines = seen[0].decode().lower().splitlines()
    assert lines[0] == "get /a?b=c http/1.1"
    assert {line.split(":")[0] for line in lines[1:] if line} == {
        "host", "accept", "accept-encoding", "user-agent", "connection"
    }  # fmt: skip
    assert f"host: pictures.example:{port}" in lines


def test_without_a_list_nothing_is_fetched() -> None:
    """By default pictures come in the request alone."""
    refused = refusal(Fetcher(), "https://pictures.example/a.jpg")
    assert "data URI" in refused.message
    assert not refused.is_transient


@pytest.mark.parametrize(
    ("listed", "host", "allowed"),
    [
        ("pictures.example", "pictures.example", True),
        ("pictures.example", "Pictures.Example.", True),
        ("pictures.example", "cdn.pictures.example", False),
        ("pictures.example", "evilpictures.example", False),
        ("pictures.example", "pictures.example.evil.test", False),
        ("*.pictures.example", "cdn.pictures.example", True),
        ("*.pictures.example", "pictures.example", False),
        ("*.pictures.example", "evilpictures.example", False),
    ],
)
def test_only_listed_domains(listed: str, host: str, allowed: bool) -> None:
    """A domain is itself, and with `*.` all that is below it."""
    every = dict.fromkeys(
        ("pictures_example", "cdn_pictures_example", "evilpictures_example"), "127.0.0.1"
    )
    resolve, asked = names(**every)
    with raw_camera(lambda *_: [ok()]) as address:
        port = port_of(address)
        fetcher = fetcher_to(port, resolve=resolve, domains=[listed])
        if allowed:
            assert fetch(fetcher, f"http://{host}:{port}/") == PICTURE
        else:
            assert "domain" in refusal(fetcher, f"http://{host}:{port}/").message
            assert asked == []


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.1.2.3", "127.0.0.1", "127.255.255.254", "100.64.0.1", "169.254.169.254",
        "172.16.0.1", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
        "203.0.113.9", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1",
        "2002:7f00:1::", "2002:a9fe:a9fe::1", "3fff::1", "fc00::1", "fd00:ec2::254", "fe80::1",
        "fe80::1%eth0", "fec0::1", "ff02::1", "5f00::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    """Refused by name and as literals, with the words for a server that does not answer."""
    assert not is_public(ipaddress.ip_address(address))
    resolve, _ = names(pictures_example=address)
    fetcher = Fetcher(FetchConfig(domains=("any",)), resolve=resolve)
    refused = refusal(fetcher, "http://pictures.example/")
    assert (refused.message, refused.code) == (UNREACHABLE, "image_fetch_failed")


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "::ffff:8.8.8.8"]
)
def test_addresses_that_are_public(address: str) -> None:
    """The internet's own."""
    assert is_public(ipaddress.ip_address(address))


@given(st.ip_addresses(v=4))
def test_an_address_hides_in_no_form_of_ipv6(inner: ipaddress.IPv4Address) -> None:
    """An IPv4 address is judged alike when it is mapped, and refused in every tunnel."""
    number = int(inner)
    mapped = ipaddress.IPv6Address(0xFFFF << 32 | number)
    assert is_public(mapped) == is_public(inner)
    for outer in (number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80):
        assert not is_public(ipaddress.IPv6Address(outer))


@pytest.mark.parametrize(
    "host",
    ["127.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "127.0.0.1", "localhost",
     "[::1]", "[::ffff:127.0.0.1]", "0", "127.0.0.1."],
)  # fmt: skip
def test_this_machine_by_other_names(host: str) -> None:
    """However it is written, the system's resolver says what it is; nothing is connected to."""
    reached: list[bytes] = []

    def answers(_: int, request: bytes) -> Iterable[bytes]:
        reached.append(request)
        return [ok()]

    with raw_camera(answers) as address:
        port = port_of(address)
        fetcher = Fetcher(FetchConfig(domains=("any",), ports=(port,)))
        refusal(fetcher, f"http://{host}:{port}/")
    assert reached == []


def test_one_bad_address_among_good_ones_is_enough() -> None:
    """Which of them a client takes would be chance."""
    resolve, _ = names(pictures_example=["1.1.1.1", "10.0.0.1"])
    fetcher = Fetcher(FetchConfig(domains=("any",)), resolve=resolve)
    assert refusal(fetcher, "http://pictures.example/").message == UNREACHABLE


def test_a_name_that_changes_its_mind_gains_nothing() -> None:
    """DNS rebinding: the connection goes where was looked at, and the name is asked once."""
    secret: list[bytes] = []
    answered = [["127.0.0.1"], ["127.0.0.2"], ["127.0.0.2"]]
    asked: list[str] = []

    async def rebinding(host: str, _: int) -> Sequence[str]:
        asked.append(host)
        return answered[len(asked) - 1]

    def answers(_: int, request: bytes) -> Iterable[bytes]:
        secret.append(request)
        return [ok(b"checked")]

    with raw_camera(answers) as address:
        port = port_of(address)
        found = fetch(fetcher_to(port, resolve=rebinding), f"http://pictures.example:{port}/")
    assert found == b"checked"
    assert asked == ["pictures.example"]


def test_a_redirect_is_judged_again() -> None:
    """A name that is good at first and redirects to itself is resolved and refused anew."""
    answered = [["127.0.0.1"], ["169.254.169.254"]]

    async def rebinding(_: str, __: int) -> Sequence[str]:
        return answered.pop(0)

    with raw_camera(lambda *_: [head("Location: /again", status="302 Found")]) as address:
        port = port_of(address)
        fetcher = fetcher_to(port, resolve=rebinding)
        assert refusal(fetcher, f"http://pictures.example:{port}/").message == UNREACHABLE
    assert answered == []


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("http://169.254.169.254/latest/meta-data/", "port 80"),
        ("http://169.254.169.254:{port}/latest/meta-data/", UNREACHABLE),
        ("//10.0.0.1:{port}/", UNREACHABLE),
        ("file:///etc/passwd", "begins with https"),
        ("ftp://pictures.example/a.png", "begins with https"),
        ("gopher://127.0.0.1:6379/_INFO", "begins with https"),
        ("data:image/png;base64,AAAA", UNREACHABLE),
        ("http://user:word@pictures.example:{port}/", "user or password"),
        ("http://evil.test:{port}/", UNREACHABLE),
        ("http://[::1", UNREACHABLE),
        ("http:///", "3 times"),
    ],
)
def test_redirects_to_elsewhere(location: str, said: str) -> None:
    """Scheme, domain, port and address are looked at on every hop."""
    table = {"pictures.example": "127.0.0.1"}

    async def resolve(host: str, _: int) -> Sequence[str]:
        if host not in table and not host[0].isdigit():
            raise OSError("no such name")
        return [table.get(host, host)]

    ports: list[int] = []

    def answers(_: int, __: bytes) -> Iterable[bytes]:
        return [head("Location: " + location.format(port=ports[0]), status="302 Found")]

    with raw_camera(answers) as address:
        ports.append(port_of(address))
        fetcher = fetcher_to(*ports, resolve=resolve)
        assert said in refusal(fetcher, f"http://pictures.example:{ports[0]}/").message


@pytest.mark.parametrize(("hops", "arrives"), [(0, True), (3, True), (4, False)])
def test_three_redirects_and_no_more(hops: int, arrives: bool) -> None:
    """A chain of redirects ends."""

    def answers(nth: int, _: bytes) -> Iterable[bytes]:
        return [head(f"Location: /{nth}", status="307 Redirect") if nth < hops else ok()]

    resolve, _ = names(pictures_example="127.0.0.1")
    with raw_camera(answers) as address:
        port = port_of(address)
        fetcher = fetcher_to(port, resolve=resolve)
        if arrives:
            assert fetch(fetcher, f"http://pictures.example:{port}/") == PICTURE
        else:
            assert "3 times" in refusal(fetcher, f"http://pictures.example:{port}/").message


@pytest.mark.parametrize(
    "address",
    [
        "https://pictures.example\\@evil.test/", "https://pictures.example/a b", "https://a\tb/",
        "https://a\nhost: evil/", "https:///nothing", "https://", "https://user@pictures.example/",
        "https://user:word@pictures.example/", "https://pictures.example:99999/",
        "https://pictures.example:port/", "https://[::1", "https://" + "a" * 3000,
        "https://" + "a." * 150 + "test/", "https://\u2028/", "https://xn--/", "https://..../",
    ],
)  # fmt: skip
def test_addresses_that_are_read_differently_by_different_readers(address: str) -> None:
    """What is not plainly an address is refused before anything is asked."""
    resolve, asked = names()
    fetcher = Fetcher(FetchConfig(domains=("any",)), resolve=resolve)
    refusal(fetcher, address)
    assert all("example" not in host for host in asked)


@pytest.mark.parametrize("port", [22, 6379, 8080])
def test_only_the_ports_of_the_web(port: int) -> None:
    """No picture lives on a database's port."""
    fetcher = Fetcher(FetchConfig(domains=("any",)))
    assert f"port {port}" in refusal(fetcher, f"http://pictures.example:{port}/").message


def test_an_endless_body_is_left() -> None:
    """Reading stops at the limit whatever was declared."""
    sent = 0

    def answers(_: int, __: bytes) -> Iterable[bytes]:
        nonlocal sent
        yield head("Content-Length: 1000")
        while True:
            sent += 1
            yield bytes(65536)

    def endless(_: int, __: bytes) -> Iterable[bytes]:
        yield head()
        for _ in range(10_000):
            yield bytes(65536)

    resolve, _ = names(pictures_example="127.0.0.1")
    with raw_camera(answers) as address:
        port = port_of(address)
        fetcher = fetcher_to(port, resolve=resolve, at_most_bytes=100_000)
        assert len(fetch(fetcher, f"http://pictures.example:{port}/")) == 1000
    with raw_camera(endless) as address:
        port = port_of(address)
        fetcher = fetcher_to(port, resolve=resolve, at_most_bytes=100_000)
        refused = refusal(fetcher, f"http://pictures.example:{port}/")
    assert (refused.code, "100000 bytes" in refused.message) == ("image_too_large", True)


def test_a_body_that_is_declared_too_large_is_not_read() -> None:
    """Its length alone is enough."""
    resolve, _ = names(pictures_example="127.0.0.1")
    with raw_camera(lambda *_: [head("Content-Length: 999999999")], stays=True) as address:
        port = port_of(address)
        refused = refusal(fetcher_to(port, resolve=resolve), f"http://pictures.example:{port}/")
    assert refused.code == "image_too_large"


def test_a_compressed_body_is_refused() -> None:
    """A gigabyte of zeros is a megabyte of gzip; it is never unpacked."""
    bomb = gzip.compress(bytes(50_000_000))
    resolve, _ = names(pictures_example="127.0.0.1")
    with raw_camera(lambda *_: [ok(bomb, "Content-Encoding: gzip")]) as address:
        port = port_of(address)
        refused = refusal(fetcher_to(port, resolve=resolve), f"http://pictures.example:{port}/")
    assert "compresses" in refused.message


@pytest.mark.parametrize("part", ["head", "body", "silence"])
def test_a_server_that_drips_is_left_at_the_deadline(part: str) -> None:
    """Every byte in time, and never done: the whole has a deadline of its own."""

    def answers(_: int, __: bytes) -> Iterable[bytes]:
        if part == "body":
            yield head()
        while part != "silence":
            time.sleep(0.05)
            yield b"x" if part == "body" else b"X: y\r\n"

    resolve, _ = names(pictures_example="127.0.0.1")
    with raw_camera(answers, stays=True) as address:
        port = port_of(address)
        started = time.monotonic()
        fetcher = fetcher_to(port, resolve=resolve, deadline="500ms")
        refused = refusal(fetcher, f"http://pictures.example:{port}/")
    assert refused.is_transient
    assert time.monotonic() - started < patience(10)


def test_a_name_server_that_hangs_is_left_at_the_deadline() -> None:
    """The lookup counts too."""

    async def hangs(_: str, __: int) -> Sequence[str]:
        await asyncio.sleep(3600)
        return []

    refused = refusal(fetcher_to(80, resolve=hangs, deadline="200ms"), "http://pictures.example/")
    assert refused.message == UNREACHABLE


@pytest.mark.parametrize(
    ("status", "is_transient"),
    [("404 Not Found", False), ("403 No", False), ("429 Slow", True), ("503 Later", True),
     ("302 Found", False)],
)  # fmt: skip
def test_what_the_server_says(status: str, is_transient: bool) -> None:
    """What may be better in a moment is told from what will not; its body is not passed on."""
    body = b"internal: token=abc"
    resolve, _ = names(pictures_example="127.0.0.1")
    answer = head(f"Content-Length: {len(body)}", status=status) + body
    with raw_camera(lambda *_: [answer]) as address:
        port = port_of(address)
        refused = refusal(fetcher_to(port, resolve=resolve), f"http://pictures.example:{port}/")
    assert (refused.message, refused.is_transient) == (UNREACHABLE, is_transient)


@pytest.mark.parametrize(
    "answer", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
               b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 300_000 + b"\r\n\r\n"],
)  # fmt: skip
def test_answers_that_are_no_http(answer: bytes) -> None:
    """Half answers and rubbish are a server that does not answer."""
    resolve, _ = names(pictures_example="127.0.0.1")
    with raw_camera(lambda *_: [answer]) as address:
        port = port_of(address)
        refused = refusal(fetcher_to(port, resolve=resolve), f"http://pictures.example:{port}/")
    assert refused.message == UNREACHABLE


def test_certificates_are_checked_for_the_name_that_was_asked() -> None:
    """The connection goes to an address, and the certificate is that of the name."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(CERTIFICATE)
    trusting = ssl.create_default_context(cafile=str(CERTIFICATE))
    resolve, _ = names(pictures_example="127.0.0.1", other_example="127.0.0.1")
    with raw_camera(lambda *_: [ok()], tls=server) as address:
        port = port_of(address)
        config = FetchConfig(domains=("any",), networks=("127.0.0.1/32",), ports=(port,))

        def asked(host: str, tls: ssl.SSLContext | None) -> bytes:
            return fetch(Fetcher(config, resolve=resolve, tls=tls), f"https://{host}:{port}/")

        assert asked("pictures.example", trusting) == PICTURE
        with pytest.raises(PictureRefused, match="could not be fetched"):
            asked("other.example", trusting)
        with pytest.raises(PictureRefused, match="could not be fetched"):
            asked("pictures.example", None)


def test_https_is_not_left_by_a_redirect() -> None:
    """What was asked for in secret is not fetched in the open."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(CERTIFICATE)
    resolve, _ = names(pictures_example="127.0.0.1")
    moved = head("Location: http://pictures.example/", status="301 Moved")
    with raw_camera(lambda *_: [moved], tls=server) as address:
        port = port_of(address)
        fetcher = Fetcher(
            FetchConfig(domains=("any",), networks=("127.0.0.1/32",), ports=(port, 80)),
            resolve=resolve,
            tls=ssl.create_default_context(cafile=str(CERTIFICATE)),
        )
        assert "insecure" in refusal(fetcher, f"https://pictures.example:{port}/").message


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would connect wherever it likes."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    resolve, _ = names(pictures_example="127.0.0.1")
    with raw_camera(lambda *_: [ok()]) as address:
        port = port_of(address)
        assert fetch(fetcher_to(port, resolve=resolve), f"http://pictures.example:{port}/")


def test_one_caller_cannot_take_all_places() -> None:
    """Four at a time of one caller; another one still gets a place, and places come back."""

    async def run() -> None:
        resolve, _ = names(pictures_example="127.0.0.1")
        with raw_camera(lambda *_: (), stays=True) as silent, raw_camera(lambda *_: [ok()]) as well:
            ports = port_of(silent), port_of(well)
            fetcher = fetcher_to(*ports, resolve=resolve, deadline="60s")
            waiting = [
                asyncio.create_task(fetcher.fetch(f"http://pictures.example:{ports[0]}/", "one"))
                for _ in range(4)
            ]
            await asyncio.sleep(0)
            with pytest.raises(PictureRefused, match="too many"):
                await fetcher.fetch(f"http://pictures.example:{ports[1]}/", "one")
            assert await fetcher.fetch(f"http://pictures.example:{ports[1]}/", "two") == PICTURE
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            assert await fetcher.fetch(f"http://pictures.example:{ports[1]}/", "one") == PICTURE
            fetcher.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("key", "value"),
    [("domains", ["https://a.example"]), ("domains", ["a.example:80"]), ("domains", ["*"]),
     ("networks", ["10.0.0.1/8"]), ("networks", ["here"])],
)  # fmt: skip
def test_settings_that_mean_nothing(key: str, value: list[str]) -> None:
    """Each is refused with the way to write it."""
    with pytest.raises(ValueError, match=r"write|network"):
        FetchConfig.model_validate({key: value})
