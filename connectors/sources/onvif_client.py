"""Asks ONVIF cameras what they are and which streams they have, and finds those on the network.

Four calls of SOAP need no library of it: each answer is limited in size and time, read by a parser
that takes no document type and so no entities, and nothing is sent to any host but the one that was
asked. Passwords travel as digests alone.
"""

import base64
import contextlib
import fcntl
import hashlib
import re
import secrets
import socket
import struct
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from xml.parsers import expat
from xml.sax.saxutils import escape

import httpx

from pipeline.core.ranges import one_line

GROUP = ("239.255.255.250", 3702)
"""Where cameras listen for who looks for them."""
_MOST_BYTES = 1_000_000
_MOST_DEPTH, _MOST_ELEMENTS = 64, 20_000
_MOST_FOUND = 1024
_MOST_PROFILES = 16
_CONNECT_S, _READ_S, _ANSWER_S = 3.0, 5.0, 10.0
_SHOWN = 100
_SIOCGIFADDR = 0x8915
_SOAP = "http://www.w3.org/2003/05/soap-envelope"
_DEVICE = "http://www.onvif.org/ver10/device/wsdl"
_MEDIA = "http://www.onvif.org/ver10/media/wsdl"
_SECURITY = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss"
_PROBE = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    f'<e:Envelope xmlns:e="{_SOAP}" xmlns:w="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
    'xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery" '
    'xmlns:dn="http://www.onvif.org/ver10/network/wsdl"><e:Header>'
    "<w:MessageID>uuid:{id}</w:MessageID>"
    "<w:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</w:To>"
    "<w:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</w:Action></e:Header>"
    "<e:Body><d:Probe><d:Types>dn:NetworkVideoTransmitter</d:Types></d:Probe></e:Body></e:Envelope>"
)


class OnvifError(Exception):
    """What went wrong with a camera, as the end of a sentence, and what helps."""


@dataclass(slots=True)
class Element:
    """A part of an answer; names are without their namespace, as cameras get those wrong."""

    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    text: str = ""
    children: list["Element"] = field(default_factory=list)

    def all(self, name: str) -> "Iterator[Element]":
        """Every element of this name below it."""
        for child in self.children:
            if child.name == name:
                yield child
            yield from child.all(name)

    def first(self, *path: str) -> "Element | None":
        """The first element at the end of a path of names, each somewhere below the last."""
        here: Element | None = self
        for name in path:
            here = next(here.all(name), None) if here is not None else None
        return here

    def words(self, *path: str) -> str:
        """The text at the end of a path, or nothing."""
        found = self.first(*path)
        return "" if found is None else one_line(found.text.strip())

    def number(self, *path: str) -> float | None:
        """The number there; None for anything else."""
        text = self.words(*path)
        return float(text) if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text) else None


def read_xml(content: bytes) -> Element:
    """A document without a document type; raises OnvifError for anything else."""
    root = Element("")
    open_ones, count = [root], 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if count > _MOST_ELEMENTS or len(open_ones) > _MOST_DEPTH:
            raise OnvifError("answers with more than any camera has to say; is it a camera?")
        own = {key.rpartition("}")[2]: value for key, value in attributes.items()}
        element = Element(name.rpartition("}")[2], own)
        open_ones[-1].children.append(element)
        open_ones.append(element)

    def end(_: str) -> None:
        open_ones.pop()

    def text(data: str) -> None:
        open_ones[-1].text += data

    def refuse(*_: object) -> None:
        raise OnvifError("answers with a document type, which is refused; is it a camera?")

    parser = expat.ParserCreate("utf-8", "}")
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(content, True)
    except expat.ExpatError:
        raise OnvifError("answers with something that cannot be read; is it a camera?") from None
    return root


@dataclass(frozen=True, slots=True)
class FoundDevice:
    """A camera that answered to who looks for cameras."""

    address: str
    """Of its device service."""
    host: str
    """Where the answer came from."""


def probe_network(
    wait_s: float, group: tuple[str, int] = GROUP, interfaces: Sequence[str] | None = None
) -> tuple[list[FoundDevice], list[str]]:
    """Ask on every interface who is a camera; the devices, and sentences on what was left out."""
    found: dict[str, FoundDevice] = {}
    remarks: list[str] = []
    asked: list[socket.socket] = []
    try:
        for own in interfaces if interfaces is not None else own_addresses():
            probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            asked.append(probe)
            try:
                probe.bind((own, 0))
                probe.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own))
                # Twice, as nobody says which datagrams were lost.
                for _ in range(2):
                    probe.sendto(_PROBE.format(id=uuid.uuid4()).encode(), group)
            except OSError as error:
                remarks.append(f"nothing can be asked on the interface {own}: {error.strerror}")
            probe.setblocking(False)
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline and len(found) < _MOST_FOUND:
            heard = False
            for probe in asked:
                with contextlib.suppress(OSError):
                    content, (host, _) = probe.recvfrom(65535)
                    heard = True
                    _hear(content, host, found, remarks)
            if not heard:
                time.sleep(0.02)
    finally:
        for probe in asked:
            probe.close()
    return list(found.values()), list(dict.fromkeys(remarks))[:_SHOWN]


def _hear(content: bytes, host: str, found: dict[str, FoundDevice], remarks: list[str]) -> None:
    try:
        answer = read_xml(content)
    except OnvifError as error:
        remarks.append(f"{host} {error}")
        return
    for match in answer.all("ProbeMatch"):
        addresses = match.words("XAddrs").split()[:_MOST_PROFILES]
        own = [one for one in addresses if host_of(one) == host]
        if own:
            found.setdefault(host, FoundDevice(own[0], host))
        elif addresses:
            remarks.append(
                f"{host} says that it is at {shown_host(addresses[0])}, which is not asked; if "
                "that is right, name it with --address"
            )


def host_of(address: str) -> str | None:
    """The host of an http address; None for anything else."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    return parts.hostname if parts.scheme in ("http", "https") else None


def shown_host(address: str) -> str:
    """A host out of an address that a device sent, for a sentence."""
    try:
        return one_line(urlsplit(address).hostname or "an unreadable address")[:_SHOWN]
    except ValueError:
        return "an unreadable address"


def own_addresses() -> list[str]:
    """The IPv4 address of each interface of this machine but the loopback."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            with contextlib.suppress(OSError):
                answer = fcntl.ioctl(asked.fileno(), _SIOCGIFADDR, request)
                found.append(socket.inet_ntoa(answer[20:24]))
    return [one for one in dict.fromkeys(found) if not one.startswith("127.")]


@dataclass(frozen=True, slots=True)
class OnvifProfile:
    """One of a camera's streams."""

    token: str
    name: str
    codec: str
    size_wh: tuple[int, int]
    rate: float | None = None
    gop: float | None = None
    """Pictures from one key frame to the next."""
    url: str | None = None
    """Its stream, without a login."""
    remark: str | None = None

    def __str__(self) -> str:
        told = [f"{self.codec} {self.size_wh[0]}x{self.size_wh[1]}"]
        if self.rate:
            told.append(f"{self.rate:g} pictures a second")
        if self.rate and self.gop:
            told.append(f"a key frame every {self.gop / self.rate:.2g} s")
        return ", ".join(told)


@dataclass(frozen=True, slots=True)
class OnvifCamera:
    """What a camera says of itself."""

    address: str
    maker: str = ""
    model: str = ""
    firmware: str = ""
    clock_offset_s: float | None = None
    """How far its clock is ahead of this machine's; None where it does not say."""
    profiles: Sequence[OnvifProfile] = ()
    remarks: Sequence[str] = ()


class OnvifClient:
    """Asks one camera; each call raises OnvifError."""

    def __init__(self, address: str, user: str | None = None, password: str = "") -> None:
        self._address = address
        self._user, self._password = user, password
        self._offset_s = 0.0
        self._http = httpx.Client(
            timeout=httpx.Timeout(_READ_S, connect=_CONNECT_S),
            follow_redirects=False,
            trust_env=False,
            verify=False,
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def describe(self) -> OnvifCamera:
        """All that is wanted of the camera."""
        remarks: list[str] = []
        offset = self._clock_offset()
        self._offset_s = offset or 0.0
        about = self._ask(self._address, _DEVICE, "GetDeviceInformation")
        asked = f'<GetCapabilities xmlns="{_DEVICE}"><Category>All</Category></GetCapabilities>'
        able = self._ask(self._address, _DEVICE, "GetCapabilities", asked)
        media = able.words("Media", "XAddr")
        if not media:
            raise OnvifError("offers no media service, and so no video")
        if host_of(media) != host_of(self._address):
            remarks.append(
                f"it says that its media service is at {shown_host(media)}, which is not asked; it "
                "was asked at its own address"
            )
            parts = urlsplit(self._address)
            path = urlsplit(media).path if host_of(media) else "/onvif/media_service"
            media = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
        listed = self._ask(media, _MEDIA, "GetProfiles")
        profiles = [
            self._with_url(media, profile) for profile in list(_profiles(listed))[:_MOST_PROFILES]
        ]
        return OnvifCamera(
            self._address,
            about.words("Manufacturer")[:_SHOWN],
            about.words("Model")[:_SHOWN],
            about.words("FirmwareVersion")[:_SHOWN],
            offset,
            profiles,
            remarks,
        )

    def _clock_offset(self) -> float | None:
        """How far its clock is ahead; asked without a login, whose digest has the time in it."""
        before = time.time()
        answer = self._ask(self._address, _DEVICE, "GetSystemDateAndTime", login=False)
        now = (before + time.time()) / 2
        said = answer.first("UTCDateTime")
        if said is None:
            return None
        names = ("Year", "Month", "Day", "Hour", "Minute", "Second")
        numbers = [said.number(name) for name in names]
        try:
            at = datetime(*(int(one) for one in numbers if one is not None), tzinfo=UTC)  # type: ignore[misc, arg-type]
        except (ValueError, TypeError, OverflowError):
            return None
        return at.timestamp() - now

    def _with_url(self, media: str, profile: OnvifProfile) -> OnvifProfile:
        asked = (
            f'<GetStreamUri xmlns="{_MEDIA}"><StreamSetup>'
            '<Stream xmlns="http://www.onvif.org/ver10/schema">RTP-Unicast</Stream>'
            '<Transport xmlns="http://www.onvif.org/ver10/schema"><Protocol>RTSP</Protocol>'
            f"</Transport></StreamSetup><ProfileToken>{escape(profile.token)}</ProfileToken>"
            "</GetStreamUri>"
        )
        values: dict[str, Any] = {
            name: getattr(profile, name)
            for name in ("token", "name", "codec", "size_wh", "rate", "gop")
        }
        try:
            said = self._ask(media, _MEDIA, "GetStreamUri", asked).words("Uri")
        except OnvifError as error:
            return OnvifProfile(**values, remark=f"its address is not known: it {error}")
        url, remark = stream_url(said, host_of(self._address) or "")
        return OnvifProfile(**values, url=url, remark=remark)

    def _ask(
        self, address: str, space: str, call: str, body: str | None = None, *, login: bool = True
    ) -> Element:
        body = body or f'<{call} xmlns="{space}"/>'
        header = self._security() if login and self._user is not None else ""
        envelope = (
            f'<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="{_SOAP}">'
            f"<s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
        )
        kind = f'application/soap+xml; charset=utf-8; action="{space}/{call}"'
        status, content = self._post(address, envelope.encode(), kind, None)
        if status == httpx.codes.UNAUTHORIZED and login and self._user is not None:
            digest = httpx.DigestAuth(self._user, self._password)
            status, content = self._post(address, envelope.encode(), kind, digest)
        if status == httpx.codes.UNAUTHORIZED:
            raise self._not_let_in()
        if 300 <= status < 400:
            raise OnvifError("redirects to another address, which is not asked")
        if status == httpx.codes.NOT_FOUND:
            raise OnvifError("has no ONVIF at this address; is it switched on in its settings?")
        answer = read_xml(content)
        fault = answer.first("Fault")
        if fault is not None:
            told = " ".join(one.text for one in (*fault.all("Value"), *fault.all("Text"))).lower()
            if "notauthorized" in told.replace(" ", "") or "unauthorized" in told:
                raise self._not_let_in()
            raise OnvifError(f"refuses {call}")
        found = answer.first(f"{call}Response")
        if found is None:
            raise OnvifError(f"does not answer {call} as ONVIF does; is it a camera?")
        return found

    def _not_let_in(self) -> OnvifError:
        if self._user is None:
            return OnvifError("wants a user and password; give --user")
        return OnvifError(
            "does not accept the user and password; many cameras have users of their own for ONVIF"
        )

    def _post(
        self, address: str, content: bytes, kind: str, auth: httpx.Auth | None
    ) -> tuple[int, bytes]:
        deadline = time.monotonic() + _ANSWER_S
        headers = {"content-type": kind, "accept-encoding": "identity"}
        received = bytearray()
        try:
            with self._http.stream(
                "POST", address, content=content, headers=headers, auth=auth
            ) as answer:
                for part in answer.iter_raw():
                    received += part
                    if len(received) > _MOST_BYTES:
                        raise OnvifError("answers with more than a megabyte; is it a camera?")
                    if time.monotonic() > deadline:
                        raise OnvifError(f"has not answered within {_ANSWER_S:g} s")
                return answer.status_code, bytes(received)
        except httpx.TimeoutException:
            raise OnvifError("does not answer in time; check the address and the network") from None
        except httpx.ConnectError:
            raise OnvifError("cannot be reached; check the address and the port") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError):
            raise OnvifError("does not speak HTTP as a camera does; check the port") from None

    def _security(self) -> str:
        """A login by digest, in the camera's own time: many refuse one from another."""
        nonce = secrets.token_bytes(16)
        created = datetime.fromtimestamp(time.time() + self._offset_s, UTC)
        at = created.strftime("%Y-%m-%dT%H:%M:%SZ")
        digest = hashlib.sha1(nonce + at.encode() + self._password.encode()).digest()
        wsse = f"{_SECURITY}-wssecurity-secext-1.0.xsd"
        utility = f"{_SECURITY}-wssecurity-utility-1.0.xsd"
        token = f"{_SECURITY}-username-token-profile-1.0#PasswordDigest"
        encoding = f"{_SECURITY}-soap-message-security-1.0#Base64Binary"
        return (
            f'<o:Security xmlns:o="{wsse}"><o:UsernameToken>'
            f"<o:Username>{escape(self._user or '')}</o:Username>"
            f'<o:Password Type="{token}">{base64.b64encode(digest).decode()}</o:Password>'
            f'<o:Nonce EncodingType="{encoding}">{base64.b64encode(nonce).decode()}</o:Nonce>'
            f'<u:Created xmlns:u="{utility}">{at}</u:Created></o:UsernameToken></o:Security>'
        )


def _profiles(answer: Element) -> Iterator[OnvifProfile]:
    for one in answer.all("Profiles"):
        encoder = one.first("VideoEncoderConfiguration")
        if encoder is None:
            continue
        width = encoder.number("Resolution", "Width")
        height = encoder.number("Resolution", "Height")
        codec = encoder.words("Encoding").upper()[:20]
        yield OnvifProfile(
            one.attributes.get("token", ""),
            one_line(one.words("Name") or one.attributes.get("token", ""))[:_SHOWN],
            {"H264": "H.264", "H265": "H.265", "JPEG": "MJPEG"}.get(codec, codec or "unknown"),
            (round(width or 0), round(height or 0)),
            encoder.number("RateControl", "FrameRateLimit"),
            encoder.number("GovLength"),
        )


def stream_url(said: str, host: str) -> tuple[str | None, str | None]:
    """A stream's address without a login and on the camera's own host, and what was changed."""
    try:
        parts = urlsplit(said)
        port = parts.port
    except ValueError:
        return None, "its address cannot be read"
    if parts.scheme not in ("rtsp", "rtsps") or not parts.hostname:
        return None, "it has no RTSP address"
    remark = None
    if parts.hostname != host:
        remark = f"the camera names the host {shown_host(said)} here; its own address is used"
    bare = f"[{host}]" if ":" in host else host
    netloc = bare if port is None else f"{bare}:{port}"
    return urlunsplit(parts._replace(netloc=netloc)), remark
