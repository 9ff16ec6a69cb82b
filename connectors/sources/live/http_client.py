"""Asks a camera's web server for something, and turns whatever goes wrong into a SourceError.

Written for what cameras answer, which HTTP libraries refuse: lengths that are wrong, heads with
odd line ends, no head at all. Follows no redirect, so a login goes nowhere but to its own address.
"""

import email.utils
import re
import socket
import ssl
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import quote, urlsplit

from connectors.sources.failures import certificate_words, failure
from connectors.sources.live.authorisation import Authorisation, authorisation, challenges_in
from connectors.sources.live.reader import CameraPlace
from pipeline.core.address import masked
from pipeline.core.errors import SourceError, SourceFailure

_STATUS = {
    401: SourceFailure.UNAUTHORISED,
    403: SourceFailure.UNAUTHORISED,
    404: SourceFailure.NOT_FOUND,
    410: SourceFailure.NOT_FOUND,
}
_UNAUTHORISED = 401
_BUSY = {429, 503}
_CHECK = "check the path, and restart the camera if that goes on"
_IF_OURS = "no redirect is followed: if that is your camera, use that address"
_SUCCESS = range(200, 300)
_REDIRECTS = range(300, 400)
_PORTS = {"http": 80, "https": 443}
_PIECE = 256 * 1024
_LONGEST_HEAD = 64 * 1024
# Answers of the kind `100 Continue` before the one that counts.
_MOST_INTERIM = 8
# How long a server that has sent as much as it announced is waited for to send more after all.
_GRACE_S = 0.5
_LONGEST_RETRY_S = 3600.0
# What OpenSSL finds where no TLS is spoken.
_PLAIN = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"}
# Digits of a length that is believed; no camera sends a terabyte.
_LENGTH = re.compile(r"\d{1,12}")
_CHUNK = re.compile(rb"[ \t]*(?:0x)?([0-9A-Fa-f]{1,12})[ \t]*(?:;[^\n]*)?\r*\n")
_CHUNK_LINE = 4096
_STATUS_LINE = re.compile(rb"(?:HTTP|ICY)\S*[ \t]+(\d{3})", re.IGNORECASE)
_EMPTY_LINES = re.compile(rb"[\r\n]+")
_HTTP = re.compile(rb"HTTP|ICY ", re.IGNORECASE)
_LONGEST_NAME = 4
_HEAD_END = re.compile(rb"\n[\r \t]*\n")
# How an answer begins that has no head: with its first separator, or with the picture itself.
_WITHOUT_HEAD = (b"--", b"\xff\xd8\xff", b"\x89PNG")
_DEFLATED = {"gzip", "x-gzip", "deflate"}


class Connection:
    """A camera's web server and our login there; Basic or Digest, as it asks."""

    def __init__(
        self, url: str, login: tuple[str, str] | None, place: CameraPlace, verify: bool
    ) -> None:
        parts = urlsplit(url)
        self._is_secret = parts.scheme.lower() == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or _PORTS[parts.scheme.lower()]
        shown = f"[{self._host}]" if ":" in self._host else self._host
        with suppress(UnicodeError):
            shown = shown.encode("idna").decode()
        self._named = shown if parts.port is None else f"{shown}:{parts.port}"
        path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._[]|")
        query = quote(parts.query, safe="/%:@!$&'()*+,;=~-._[]|?")
        self._target = f"{path}?{query}" if query else path
        self._login = login
        self._place = place
        self._verify = verify
        self._context: ssl.SSLContext | None = None
        self._wire: _Wire | None = None
        self._authorisation: Authorisation | None = None
        self.retry_after_s = 0.0
        """How long the server asked to be left alone in its last answer."""

    def get(self) -> "Answer":
        """Ask, and return the answer once its head is there; raises SourceError."""
        self.retry_after_s = 0.0
        answer = self._ask()
        tries = 0
        while answer.status == _UNAUTHORISED and self._login is not None and tries < 2:
            offered = challenges_in(answer.all_of("www-authenticate"))
            is_stale = any(c.parameters.get("stale", "").lower() == "true" for c in offered)
            if tries == 1 and not is_stale:
                break
            self._authorisation = authorisation(offered, *self._login)
            if self._authorisation is None and offered:
                known = " or ".join(dict.fromkeys(map(str, offered[:4])))
                words = f"asks for a login by {known}, which moonwatch cannot do; allow Digest"
                self._hang_up()
                raise failure(SourceFailure.UNAUTHORISED, self._place.name, words)
            if self._authorisation is None:
                break
            tries += 1
            answer = self._ask()
        self._check(answer)
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._hang_up()

    def _hang_up(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def _ask(self) -> "Answer":
        """Send the request and read the head of what comes back."""
        wire, self._wire = self._wire, None
        if wire is not None and wire.is_free:
            try:
                return self._asked_over(wire)
            except _LostError as error:
                # Closed since the last answer, as servers may: ask anew.
                if error.reason is not SourceFailure.ENDED:
                    raise failure(error.reason, self._place.name, error.words) from None
            finally:
                if self._wire is None:
                    wire.close()
        elif wire is not None:
            wire.close()
        wire = self._connect()
        try:
            return self._asked_over(wire)
        except _LostError as error:
            raise failure(error.reason, self._place.name, error.words) from None
        finally:
            if self._wire is None:
                wire.close()

    def _asked_over(self, wire: "_Wire") -> "Answer":
        lines = [
            f"GET {self._target} HTTP/1.1",
            f"Host: {self._named}",
            "User-Agent: moonwatch",
            "Accept: */*",
            "Accept-Encoding: identity",
        ]
        if self._authorisation is not None:
            lines.append(f"Authorization: {self._authorisation.header('GET', self._target)}")
        request = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
        place = self._place
        wire.is_free = False
        deadline = time.monotonic() + place.read_s
        try:
            wire.send(request, place.read_s)
            for _ in range(_MOST_INTERIM):
                answer = Answer(wire, _read_head(wire, deadline), place)
                if answer.status >= _SUCCESS.start:
                    self._wire = wire
                    return answer
        except TimeoutError:
            raise _LostError(SourceFailure.TIMEOUT) from None
        except (OSError, ValueError):
            raise _LostError(SourceFailure.ENDED, "hung up without an answer") from None
        raise _LostError(SourceFailure.BROKEN, "answers without an end of interim answers")

    def _connect(self) -> "_Wire":
        place = self._place
        deadline = time.monotonic() + place.open_s
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise failure(SourceFailure.DNS, place.name) from None
        reason = SourceFailure.UNREACHABLE
        for family, kind, protocol, _, address in found:
            line = socket.socket(family, kind, protocol)
            line.settimeout(max(0.1, deadline - time.monotonic()))
            try:
                line.connect(address)
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return _Wire(self._secured(line) if self._is_secret else line)
            except SourceError:
                line.close()
                raise
            except ConnectionRefusedError:
                reason = SourceFailure.REFUSED
            except TimeoutError:
                reason = SourceFailure.TIMEOUT
            except OSError:
                reason = SourceFailure.UNREACHABLE
            line.close()
        raise failure(reason, place.name)

    def _secured(self, line: socket.socket) -> ssl.SSLSocket:
        if self._context is None:
            import httpx

            self._context = httpx.create_ssl_context(verify=self._verify)
        try:
            return self._context.wrap_socket(line, server_hostname=self._host)
        except ssl.SSLCertVerificationError as error:
            words = certificate_words(error, self._host)
        except ssl.SSLError as error:
            words = "cannot agree with this machine on how to encrypt; try http://"
            if error.reason in _PLAIN:
                words = "does not speak https there; try http://"
        raise failure(SourceFailure.UNSUPPORTED, self._place.name, words)

    def _check(self, answer: "Answer") -> None:
        status, place = answer.status, self._place.name
        if status in _SUCCESS:
            return
        self.retry_after_s = _retry_after_s(answer.header("retry-after"))
        self._hang_up()
        if status in _REDIRECTS:
            target = re.sub(r"[^!-~]", "?", masked(answer.header("location")))[:120]
            to = f"to {target}" if target else "to another address"
            words = f"redirects {to} ({status}); {_IF_OURS}"
            raise failure(SourceFailure.UNSUPPORTED, place, words)
        if status == _UNAUTHORISED and self._login is None:
            words = "wants a user and password; give both in the url or as keys beside it"
            raise failure(SourceFailure.UNAUTHORISED, place, words)
        if status in _STATUS:
            raise failure(_STATUS[status], place)
        helps = "poll it less often, or close other viewers" if status in _BUSY else _CHECK
        words = f"answers with HTTP status {status}; {helps}"
        raise failure(SourceFailure.BROKEN, place, words)


class _LostError(Exception):
    """A connection that gave no answer."""

    def __init__(self, reason: SourceFailure, words: str | None = None) -> None:
        self.reason, self.words = reason, words
        super().__init__(reason)


class _Wire:
    """A connected socket and what of it was received but not yet used."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self.received = bytearray()
        self.is_free = False
        """Whether the last answer was read to its end, so that another may be asked for."""

    def send(self, data: bytes, within_s: float) -> None:
        self._line.settimeout(within_s)
        self._line.sendall(data)

    def fill(self, within_s: float) -> bool:
        """Receive more; False at the end. Raises OSError, of which TimeoutError is one."""
        self._line.settimeout(max(0.001, within_s))
        try:
            data = self._line.recv(_PIECE)
        except ssl.SSLEOFError:
            return False  # hung up without a word, as many do
        self.received += data
        return bool(data)

    def take(self, most: int) -> bytes:
        """At most so much of what was received."""
        data = bytes(self.received[:most])
        del self.received[:most]
        return data

    def close(self) -> None:
        with suppress(OSError):
            self._line.close()


class Answer:
    """What came back: its kind at once, its content as it arrives."""

    def __init__(self, wire: _Wire, head: bytes, place: CameraPlace) -> None:
        self._wire = wire
        self._place = place
        found = _STATUS_LINE.match(head)
        self.status = int(found[1]) if found else 200
        first, _, rest = head.partition(b"\n")
        self._headers = _headers(rest if found else b"")
        self._is_old = not first.upper().startswith(b"HTTP/1.1")
        self.is_complete = False
        """Whether as much has been read as was announced."""

    @property
    def content_type(self) -> str:
        """As the server calls it; empty when it says nothing."""
        return re.sub(r"[^ -~]", "?", self.header("content-type"))[:200]

    def header(self, name: str) -> str:
        """The last value given; empty when there is none."""
        return (self.all_of(name) or [""])[-1]

    def all_of(self, name: str) -> list[str]:
        """All values given."""
        return [value for known, value in self._headers if known == name]

    def chunks(self, within_s: float | None = None) -> Iterator[bytes]:
        """The content, piece by piece, until it ends; raises SourceError.

        `within_s` limits all of it. What comes after the announced length belongs to it, too.
        """
        try:
            yield from self._decoded(self._framed(within_s))
        except TimeoutError:
            raise self._place.late(opened=True) from None
        except (OSError, ValueError):
            raise failure(SourceFailure.ENDED, self._place.name) from None
        except zlib.error:
            words = "sends compressed data that cannot be read"
            raise failure(SourceFailure.BROKEN, self._place.name, words) from None

    def release(self) -> None:
        """Nothing more of this answer is wanted; if all of it was read, another may be asked."""
        keeps = "close" not in self.header("connection").lower() and (
            not self._is_old or "keep-alive" in self.header("connection").lower()
        )
        self._wire.is_free = self.is_complete and keeps

    def _framed(self, within_s: float | None) -> Iterator[bytes]:
        deadline = None if within_s is None else time.monotonic() + within_s
        if "chunked" in self.header("transfer-encoding").lower():
            yield from self._chunked(deadline)
            return
        lengths = {length.strip() for length in self.all_of("content-length")}
        length = lengths.pop() if len(lengths) == 1 else ""
        left = int(length) if _LENGTH.fullmatch(length) else None
        self.is_complete = left == 0
        while True:
            is_over = left is not None and left <= 0 and within_s is not None
            try:
                data = self._read(deadline, is_over=is_over)
            except TimeoutError:
                if self.is_complete or is_over:
                    return
                raise
            if not data:
                self.is_complete = False
                return
            # One more than was announced, and the length was wrong: it is never complete.
            left = None if left is None else left - len(data) if left > 0 else -1
            self.is_complete = left == 0 and not self._wire.received
            yield data

    def _chunked(self, deadline: float | None) -> Iterator[bytes]:
        wire, is_first = self._wire, True
        while (size := self._chunk_size(deadline, is_first=is_first)) != 0:
            is_first = False
            if size is None:  # announced, but not done
                while data := self._read(deadline):
                    yield data
                return
            while size > 0:
                data = self._read(deadline, most=size)
                if not data:
                    return
                size -= len(data)
                yield data
        self.is_complete = wire.received == b"\r\n"
        wire.received.clear()

    def _chunk_size(self, deadline: float | None, *, is_first: bool) -> int | None:
        """The size of the next chunk; 0 at the end, None where the content is not in chunks."""
        received = self._wire.received
        while True:
            _drop_lines(received)
            end = received.find(b"\n", 0, _CHUNK_LINE)
            if end >= 0 or len(received) >= _CHUNK_LINE:
                break
            if not self._wire.fill(self._wait_s(deadline)):
                return None if is_first and received else 0
        found = _CHUNK.match(received, 0, end + 1)
        if found is not None:
            size = int(found[1], 16)
            del received[: end + 1]
            return size
        if not is_first:
            words = "sends data in pieces of an unreadable size"
            raise failure(SourceFailure.BROKEN, self._place.name, words)
        return None

    def _read(self, deadline: float | None, *, most: int = _PIECE, is_over: bool = False) -> bytes:
        wire = self._wire
        if not wire.received and not wire.fill(self._wait_s(deadline, is_over=is_over)):
            return b""
        return wire.take(most)

    def _decoded(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Without its compression, in pieces of bounded size however much they hold."""
        coding = self.header("content-encoding").strip().lower()
        if coding not in _DEFLATED:
            if coding not in ("", "identity"):
                name = re.sub(r"[^\w-]", "?", coding)[:20]
                words = f"sends compressed data ({name}) that was not asked for"
                raise failure(SourceFailure.UNSUPPORTED, self._place.name, words)
            yield from pieces
            return
        first = next(pieces, b"")
        if coding == "deflate":
            is_wrapped = first[:1] == b"\x78"
            unpack = zlib.decompressobj(15 if is_wrapped else -15)
        elif first[:1] == b"\x1f":
            unpack = zlib.decompressobj(31)
        else:  # only said to be
            yield first
            yield from pieces
            return
        packed = first
        while packed:
            yield unpack.decompress(packed, _PIECE)
            packed = unpack.unconsumed_tail or next(pieces, b"")

    def _wait_s(self, deadline: float | None, *, is_over: bool = False) -> float:
        read_s = min(_GRACE_S, self._place.read_s) if is_over else self._place.read_s
        if deadline is None:
            return read_s
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return min(read_s, left)


def _drop_lines(received: bytearray) -> None:
    """Empty lines where something else is expected."""
    empty = _EMPTY_LINES.match(received)
    if empty is not None:
        del received[: empty.end()]


def _read_head(wire: _Wire, deadline: float) -> bytes:
    """The status line and headers; empty where the content comes without."""
    received = wire.received
    while True:
        _drop_lines(received)
        if received.startswith(_WITHOUT_HEAD):
            return b""
        if len(received) >= _LONGEST_NAME and _HTTP.match(received) is None:
            raise _LostError(SourceFailure.BROKEN, _not_http(received))
        end = _HEAD_END.search(received, 0, _LONGEST_HEAD)
        if end is not None:
            head = wire.take(end.end())
            break
        if len(received) >= _LONGEST_HEAD:
            raise _LostError(SourceFailure.BROKEN, "answers with a head that has no end")
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if not wire.fill(left):
            if not received:
                raise _LostError(SourceFailure.ENDED, "hung up without an answer")
            head = wire.take(len(received))
            break
    if _STATUS_LINE.match(head) is None:
        raise _LostError(SourceFailure.BROKEN, _not_http(head))
    return head


def _not_http(head: bytes | bytearray) -> str:
    if head.startswith(b"RTSP/"):
        return "speaks RTSP there, not HTTP; write the url with rtsp://"
    if head.startswith((b"\x15\x03", b"\x16\x03")):
        return "speaks https there; write the url with https://"
    return "answers with something that is not HTTP; is the port right?"


def _headers(text: bytes) -> list[tuple[str, str]]:
    """Names in small letters, and values; folded lines are put together."""
    lines = re.split(r"\r*\n", text.decode("latin-1"))
    found: list[tuple[str, str]] = []
    for line in lines:
        if line[:1] in " \t" and found and line.strip():
            found[-1] = found[-1][0], f"{found[-1][1]} {line.strip()}".strip()
        elif ":" in line:
            name, _, value = line.partition(":")
            found.append((name.strip().lower(), value.strip()))
    return found


def _retry_after_s(value: str) -> float:
    """Seconds from a number or a date; 0 for anything else."""
    if re.fullmatch(r"\d{1,9}", value):
        return min(float(value), _LONGEST_RETRY_S)
    try:
        at = email.utils.parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0
    return min(max(0.0, at - time.time()), _LONGEST_RETRY_S)
