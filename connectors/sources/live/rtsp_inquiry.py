"""Asks an RTSP camera itself: before FFmpeg connects, and again after FFmpeg has failed.

FFmpeg follows a redirect to any host and port, and takes the login along; so a camera is asked
first whether it redirects. And FFmpeg has the same words for most refusals; so it is the camera's
own answer that is told. Nothing here keeps a camera from being opened but a redirect elsewhere, a
login that it refuses, a certificate that does not hold, and a port where nobody answers.
"""

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urljoin, urlsplit

from connectors.sources.failures import certificate_words, failure
from connectors.sources.live.authorisation import (
    Authorisation,
    LoginOffer,
    authorisation,
    challenges_in,
)
from pipeline.core.address import masked
from pipeline.core.errors import SourceError, SourceFailure

PORTS = {"rtsp": 554, "rtsps": 322}
_REDIRECTS = range(300, 400)
_MOST_REDIRECTS = 5
_OK, _UNAUTHORISED, _FORBIDDEN = 200, 401, 403
_MOST_HEAD_BYTES = 64 * 1024
_MOST_BODY_BYTES = 1024 * 1024
# An address or a name that a camera sent is shown up to this length.
_SHOWN = 200
_STATUS_LINE = re.compile(r"([A-Z]+)/\d\.\d +(\d{3})\b")
_FFMPEG_HASHES = frozenset({"MD5", "MD5-SESS"})

_TOO_MANY = "too many viewers; close another viewer, or use the sub stream"
_REFUSALS: Mapping[int, tuple[SourceFailure, str]] = {
    400: (SourceFailure.BROKEN, "does not understand the request; check the path of the address"),
    403: (
        SourceFailure.UNAUTHORISED,
        "forbids this stream to this user; allow it in the camera's settings",
    ),
    404: (SourceFailure.NOT_FOUND, "has no stream at this path; check the path"),
    408: (SourceFailure.TIMEOUT, "waited too long for the request; check the network"),
    410: (SourceFailure.NOT_FOUND, "no longer has a stream at this path; check the path"),
    415: (SourceFailure.UNSUPPORTED, "cannot send what this path names; check the path"),
    451: (SourceFailure.BROKEN, "does not understand the address; check the path and its `?` part"),
    453: (SourceFailure.REFUSED, f"has no bandwidth left: {_TOO_MANY}"),
    454: (
        SourceFailure.BROKEN,
        "forgot the session while it was opened; restart the camera if that goes on",
    ),
    455: (SourceFailure.UNSUPPORTED, "cannot play this path now; check the path"),
    462: (SourceFailure.UNREACHABLE, "cannot send to this machine; set `transport: tcp`"),
    500: (SourceFailure.BROKEN, "has an internal error; restart it if that goes on"),
    503: (SourceFailure.REFUSED, f"is too busy to serve: {_TOO_MANY}"),
    505: (SourceFailure.UNSUPPORTED, "does not speak RTSP 1.0"),
}
_TRANSPORT_REFUSED = 461
_HUNG_UP, _OTHER_TRANSPORT = -1, -2


@dataclass(frozen=True, slots=True)
class RtspReply:
    """A camera's answer."""

    status: int
    """0 where it does not speak RTSP."""
    protocol: str = "RTSP"
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""

    def header(self, name: str) -> str:
        """The first header of this name, or nothing."""
        return next((value for key, value in self.headers if key == name), "")

    @property
    def offers(self) -> list[LoginOffer]:
        """The ways to log in, in the camera's order."""
        return challenges_in([value for key, value in self.headers if key == "www-authenticate"])


@dataclass(frozen=True, slots=True)
class Look:
    """What a camera answered before FFmpeg connected to it."""

    url: str = field(repr=False)
    """The address to open, after redirects, without a login."""
    reply: RtspReply | None = None
    """To DESCRIBE; None where it said nothing that could be read."""
    offers: Sequence[LoginOffer] = ()
    """The ways to log in that it offered."""


def ffmpeg_can(offers: Sequence[LoginOffer]) -> bool:
    """Whether FFmpeg can log in; of several digests it looks at the last one only."""
    digests = [offer for offer in offers if offer.scheme.lower() == "digest"]
    if digests:
        last = digests[-1]
        return last.algorithm.upper() in _FFMPEG_HASHES and _qops(last) in (set(), {"auth"})
    return any(offer.scheme.lower() == "basic" for offer in offers)


def _qops(offer: LoginOffer) -> set[str]:
    """The quality of protection that a digest would have; nothing for the oldest kind."""
    offered = set(re.split(r"[\s,]+", offer.parameters.get("qop", "").lower())) - {""}
    return {"auth"} if "auth" in offered else offered


def _named(offers: Sequence[LoginOffer]) -> str:
    """The ways to log in, for a sentence."""
    names = [
        f"{offer} and qop auth-int" if _qops(offer) == {"auth-int"} else str(offer)
        for offer in offers
    ]
    return " or ".join(dict.fromkeys(names))[:_SHOWN]


class _Conversation:
    """One connection to a camera, and the requests on it."""

    def __init__(self, url: str, verify: bool, deadline: float) -> None:
        import av

        # As FFmpeg calls itself: cameras treat clients differently, by their names.
        release = av.library_versions["libavformat"]
        self._agent = f"Lavf{'.'.join(str(part) for part in release)}"
        parts = urlsplit(url)
        self._deadline = deadline
        self._heard = b""
        self._number = 0
        host = parts.hostname or ""
        address = (host, parts.port or PORTS[parts.scheme.lower()])
        self._socket = socket.create_connection(address, self._left())
        if parts.scheme.lower() == "rtsps":
            context = ssl.create_default_context()
            if not verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            try:
                self._socket = context.wrap_socket(self._socket, server_hostname=host)
            except TimeoutError:
                self._socket.close()
                raise ssl.SSLError("no answer to the handshake") from None
            except BaseException:
                self._socket.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def peer(self) -> str:
        """The address of the host at the other end, as a number."""
        return str(self._socket.getpeername()[0])

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def ask(self, method: str, url: str, **headers: str) -> RtspReply:
        """Ask, and wait for the answer; raises OSError, EOFError where it hangs up."""
        self._number += 1
        lines = [f"CSeq: {self._number}", f"User-Agent: {self._agent}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self._socket.settimeout(self._left())
        # What was read as Latin-1, such as a realm, goes back as it came.
        head = f"{method} {url} RTSP/1.0\r\n".encode()
        self._socket.sendall(head + "\r\n".join([*lines, "", ""]).encode("latin-1", "replace"))
        while True:
            reply = self._reply()
            if reply.header("cseq") in ("", str(self._number)) or reply.status == 0:
                return reply

    def _reply(self) -> RtspReply:
        while self._until(1) == b"$":  # a packet of a stream that is already playing
            self._take(4 + int.from_bytes(self._until(4)[2:4]))
        while b"\r\n\r\n" not in self._heard:
            if len(self._heard) > _MOST_HEAD_BYTES:
                return RtspReply(0, "")
            if not self._heard.startswith((b"R", b"H")) or (
                b"\n" in self._heard and not _STATUS_LINE.match(self._heard.decode("latin-1"))
            ):
                return RtspReply(0, "")
            self._hear()
        head, _, self._heard = self._heard.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        found = _STATUS_LINE.match(lines[0])
        if found is None or found[1] != "RTSP":
            return RtspReply(0, found[1] if found else "")
        pairs = (line.partition(":") for line in lines[1:])
        headers = [(name.strip().lower(), value.strip()) for name, _, value in pairs]
        reply = RtspReply(int(found[2]), "RTSP", headers)
        stated = reply.header("content-length")
        length = int(stated) if re.fullmatch(r"\d{1,7}", stated) else 0
        body = self._take(min(length, _MOST_BODY_BYTES))
        return RtspReply(reply.status, "RTSP", headers, body)

    def _until(self, length: int) -> bytes:
        while len(self._heard) < length:
            self._hear()
        return self._heard[:length]

    def _take(self, length: int) -> bytes:
        taken = self._until(length)
        self._heard = self._heard[length:]
        return taken

    def _hear(self) -> None:
        self._socket.settimeout(self._left())
        data = self._socket.recv(65536)
        if not data:
            raise EOFError
        self._heard += data


@dataclass
class Inquiry:
    """What one camera is asked; `place` is how texts call it."""

    url: str = field(repr=False)
    """Without a login."""
    login: tuple[str, str] | None = field(repr=False)
    place: str
    verify: bool = True
    _offers: list[LoginOffer] = field(default_factory=list)
    _proof: Authorisation | None = None
    _peer: str = ""

    def look(self, within_s: float) -> Look:
        """Ask for the description; raises SourceError where the camera must not be opened."""
        deadline = time.monotonic() + within_s
        url, self._proof = self.url, None
        self._offers.clear()
        for _ in range(_MOST_REDIRECTS):
            try:
                reply = self._described(url, deadline)
            except (OSError, EOFError, UnicodeError) as error:
                self._check_connection(error, url)
                return Look(url)
            if reply.status not in _REDIRECTS:
                if reply.status == _UNAUTHORISED:
                    self._check_login(reply)
                return Look(url, reply, tuple(self._offers))
            url = self.redirected(url, reply)
        raise failure(
            SourceFailure.UNSUPPORTED, self.place, "redirects in a circle; restart the camera"
        )

    def _described(self, url: str, deadline: float) -> RtspReply:
        with _Conversation(url, self.verify, deadline) as line:
            self._peer = line.peer
            # FFmpeg asks for the options first, and follows a redirect there, too; and without
            # them it goes no further.
            options = line.ask("OPTIONS", url)
            if options.status not in (_OK, _UNAUTHORISED):
                return options
            return self._logged_in(line, "DESCRIBE", url, Accept="application/sdp")

    def _logged_in(self, line: _Conversation, method: str, url: str, **headers: str) -> RtspReply:
        """Ask, with the login if the camera wants one."""
        if self._proof is not None:
            reply = line.ask(method, url, Authorization=self._proof.header(method, url), **headers)
        else:
            reply = line.ask(method, url, **headers)
        for _ in range(2):
            if reply.status != _UNAUTHORISED or self.login is None:
                break
            self._offers = reply.offers or self._offers
            stale = any(one.parameters.get("stale", "").lower() == "true" for one in reply.offers)
            if self._proof is not None and not stale:
                break
            self._proof = authorisation(reply.offers, *self.login)
            if self._proof is None:
                break
            reply = line.ask(method, url, Authorization=self._proof.header(method, url), **headers)
        return reply

    def redirected(self, url: str, reply: RtspReply) -> str:
        """Where to go instead, if that is the same camera; raises SourceError."""
        location = reply.header("location")
        code = f"(RTSP status {reply.status})"
        if not location:
            words = f"redirects without saying where to {code}; restart the camera"
            raise failure(SourceFailure.UNSUPPORTED, self.place, words)
        with contextlib.suppress(ValueError):
            # `urljoin` knows neither of the two schemes.
            there = urljoin("http" + url[url.index(":") :], location)
            if there.startswith("http:") and not location.lower().startswith("http:"):
                there = urlsplit(url).scheme + there[4:]
            scheme, host, port = _origin(there)
            # Cameras that were called by name may call themselves by number.
            if (scheme, port) == _origin(url)[::2] and host in (_origin(url)[1], self._peer):
                parts = urlsplit(there)
                return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        shown = masked(re.sub(r"[^\x21-\x7e]", "?", location[:_SHOWN]))
        raise failure(
            SourceFailure.UNSUPPORTED,
            self.place,
            f"redirects to another address, {shown} {code}; a redirect is followed on the same "
            "host and port only: if that is your camera, use its address",
        )

    def _check_connection(self, error: Exception, url: str) -> None:
        """Raise what kept a connection from being made; nothing where FFmpeg may still try."""
        if isinstance(error, ssl.SSLCertVerificationError):
            words = certificate_words(error, urlsplit(url).hostname or "")
            raise failure(SourceFailure.UNSUPPORTED, self.place, words)
        if isinstance(error, ssl.SSLError):
            words = (
                "does not speak TLS at this port; write rtsp:// if it has none, or check the port"
            )
            raise failure(SourceFailure.UNSUPPORTED, self.place, words)
        if isinstance(error, socket.gaierror | UnicodeError):
            raise failure(SourceFailure.DNS, self.place)
        if isinstance(error, ConnectionRefusedError):
            raise failure(SourceFailure.REFUSED, self.place)
        if isinstance(error, TimeoutError):
            raise failure(SourceFailure.TIMEOUT, self.place)
        if isinstance(error, EOFError | ConnectionResetError | BrokenPipeError):
            return
        raise failure(SourceFailure.UNREACHABLE, self.place)

    def _check_login(self, reply: RtspReply) -> None:
        """Raise what is wrong with the login."""
        raise self.refused_login(reply.offers)

    def refused_login(self, offers: Sequence[LoginOffer]) -> SourceError:
        """Why a camera that answers 401 did not let us in."""
        if self.login is None:
            words = "wants a user and password; give both, in the address or as `username` and "
            return failure(SourceFailure.UNAUTHORISED, self.place, words + "`password`")
        if offers and authorisation(offers, *self.login) is None:
            words = f"wants a login by {_named(offers)}, which is not known here; {_ALLOW}"
            return failure(SourceFailure.UNSUPPORTED, self.place, words)
        return failure(SourceFailure.UNAUTHORISED, self.place)

    def explain(
        self, look: Look, error: SourceError, transport: str, within_s: float
    ) -> SourceError:
        """A better error for an opening that FFmpeg failed at."""
        reply = look.reply
        if reply is None:
            if error.reason not in (SourceFailure.BROKEN, SourceFailure.ENDED):
                return error
            words = "hangs up without an answer; does this port want rtsps:// instead of rtsp://?"
            return failure(SourceFailure.ENDED, self.place, words)
        if reply.status == 0:
            speaks = reply.protocol or "something else"
            words = f"speaks {speaks} at this port, not RTSP; check the port"
            return failure(SourceFailure.UNSUPPORTED, self.place, words)
        if reply.status != _OK:
            return self._refusal(reply.status, transport, error)
        if look.offers and not ffmpeg_can(look.offers):
            words = (
                f"accepts the password, but by {_named(look.offers)}, which FFmpeg cannot; {_ALLOW}"
            )
            return failure(SourceFailure.UNSUPPORTED, self.place, words)
        video = _video_of(reply.body)
        if isinstance(video, str):
            return failure(SourceFailure.UNSUPPORTED, self.place, video)
        status = self._set_up(look.url, reply, video.control, transport, within_s)
        if status == _OTHER_TRANSPORT:
            words = f"does not send over {transport.upper()} when asked to; {_other(transport)}"
            return failure(SourceFailure.UNSUPPORTED, self.place, words)
        if status == _HUNG_UP:
            words = (
                "describes its stream, and hangs up when it is to send it; restart it, or close "
            )
            return failure(SourceFailure.ENDED, self.place, words + "another viewer")
        if status not in (0, _OK):
            return self._refusal(status, transport, error)
        if error.reason is SourceFailure.UNSUPPORTED and video.codec:
            words = f"sends its video as {video.codec}, which cannot be decoded here; {_CODECS}"
            return failure(SourceFailure.UNSUPPORTED, self.place, words)
        return error

    def _set_up(
        self, url: str, reply: RtspReply, control: str, transport: str, within_s: float
    ) -> int:
        """The status with which a camera answers the rest of an opening; 0 if it cannot be told,
        `_HUNG_UP` where it answers nothing, `_OTHER_TRANSPORT` where it chooses one itself.
        """
        base = reply.header("content-base") or reply.header("content-location") or url
        track = (
            control if "://" in control else f"{base.rstrip('/')}/{control}" if control else base
        )
        wanted = "RTP/AVP/TCP;unicast;interleaved=0-1"
        self._proof = None
        try:
            with contextlib.ExitStack() as stack:
                line = stack.enter_context(
                    _Conversation(url, self.verify, time.monotonic() + within_s)
                )
                if transport == "udp":
                    port = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                    port.bind(("", 0))
                    number = port.getsockname()[1]
                    wanted = f"RTP/AVP/UDP;unicast;client_port={number}-{number + 1}"
                if self._logged_in(line, "DESCRIBE", url, Accept="application/sdp").status != _OK:
                    return 0
                answer = self._logged_in(line, "SETUP", track, Transport=wanted)
                if answer.status != _OK:
                    return answer.status
                chosen = answer.header("transport").upper()
                if chosen and ("TCP" in chosen) is not (transport == "tcp"):
                    return _OTHER_TRANSPORT
                session = {"Session": answer.header("session").partition(";")[0]}
                played = self._logged_in(line, "PLAY", base, **session)
                with contextlib.suppress(OSError, EOFError):
                    self._logged_in(line, "TEARDOWN", base, **session)
                return played.status
        except (EOFError, ConnectionError):
            return _HUNG_UP
        except (OSError, UnicodeError, ValueError):
            return 0

    def _refusal(self, status: int, transport: str, error: SourceError) -> SourceError:
        code = f"(RTSP status {status})"
        if status == _UNAUTHORISED:
            return failure(SourceFailure.UNAUTHORISED, self.place)
        if status == _TRANSPORT_REFUSED:
            words = f"does not send over {transport.upper()} {code}; {_other(transport)}"
            return failure(SourceFailure.UNSUPPORTED, self.place, words)
        if status in _REFUSALS:
            reason, words = _REFUSALS[status]
            return failure(reason, self.place, f"answers with RTSP status {status}: it {words}")
        if status in _REDIRECTS:
            words = f"redirects while it is opened {code}, which is not followed"
            return failure(SourceFailure.UNSUPPORTED, self.place, words)
        if status >= 400:
            words = f"refuses with RTSP status {status}; its log or manual says why"
            return failure(error.reason, self.place, words)
        return error


def _other(transport: str) -> str:
    return f"set `transport: {'udp' if transport == 'tcp' else 'tcp'}`"


_CODECS = "choose H.264 or H.265 in the camera's settings"
_ALLOW = "allow Digest MD5 or Basic in the camera's settings, or connect through a recorder"


@dataclass(frozen=True, slots=True)
class _Video:
    control: str
    codec: str


def _video_of(description: bytes) -> _Video | str:
    """The first video of an SDP, or what is wrong with it."""
    medium, media, control, codec = "", list[str](), "", ""
    for line in description.decode("utf-8", "replace").splitlines():
        if line.startswith("m="):
            medium = line[2:].split(" ")[0].lower()
            media.append(medium)
        elif line.startswith("a=control:") and medium == "video" and not control:
            control = line.partition(":")[2].strip()
        elif line.startswith("a=rtpmap:") and medium == "video" and not codec:
            codec = re.sub(r"[^\w.-]", "", line.partition(" ")[2].partition("/")[0])[:_SHOWN]
    if not media:
        return "describes no stream at this path; check the path"
    if "video" not in media:
        has = ", ".join(dict.fromkeys(media))[:_SHOWN]
        return f"offers no video at this path, only {has}; check the path"
    return _Video("" if control == "*" else control, codec)


def _origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of an RTSP address; raises ValueError for any other."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    if scheme not in PORTS:
        raise ValueError(scheme)
    return scheme, (parts.hostname or "").lower(), parts.port or PORTS[scheme]
