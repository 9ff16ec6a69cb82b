"""Signed links to pictures and clips: whoever has one can see that file, for some days.

A link is `PUBLIC_URL/media/TOKEN/NAME`. The token holds the file's reference, and when the link is
over, signed with HMAC-SHA256 under a key that is made once and kept in the store, so that any
process of the store can serve what another one has sent.
"""

import base64
import binascii
import hmac
import secrets
import struct
from contextlib import suppress
from typing import Final, Protocol
from urllib.parse import quote, unquote

from pipeline.core.clock import Clock
from pipeline.core.sinks import Notes

PATH: Final = "/media/"
OWNER: Final = "/links"
"""Under which name the key is noted; no sink can be called so."""
_KEY: Final = "key"
_KEY_BYTES = 32
_DIGEST = "sha256"
_DIGEST_BYTES = 32
_LAYOUT = 1
_ASK_AGAIN_S = 2.0
_HEAD = struct.Struct(">BI")
_DAY_S = 86400
# A reference is some names of at most a few hundred letters.
_LONGEST_TOKEN = 4096


class NoSuchLinkError(Exception):
    """A link that was never given away; the message is a sentence."""


class LinkOverError(Exception):
    """A link whose time is over; the message is a sentence."""


class LinkKeys(Protocol):
    """Where the key is. Both raise StoreError."""

    def make(self) -> bytes:
        """The key, made now if there is none."""
        ...

    def known(self) -> bytes | None:
        """The key, if there is one."""
        ...


class NotedKeys:
    """The key as a note."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def make(self) -> bytes:
        """The key, made now if there is none; the same for all who make one at once."""
        return bytes.fromhex(self._notes.note_once(_KEY, secrets.token_hex(_KEY_BYTES)))

    def known(self) -> bytes | None:
        """The key, if there is one."""
        noted = self._notes.note(_KEY)
        return None if noted is None else bytes.fromhex(noted)


class MediaLinks:
    """Makes links, and tells what a link is to. Methods raise StoreError."""

    def __init__(self, keys: LinkKeys, clock: Clock, url: str, keep_s: float) -> None:
        """`keys` are asked when the key is needed first; links hold `keep_s` seconds or longer."""
        self._keys, self._clock = keys, clock
        self._url = url.rstrip("/")
        self._keep_s = keep_s
        self._key: bytes | None = None
        self._ask_again_at = float("-inf")

    def link(self, reference: str) -> str:
        """An address at which a file can be had. It is the same for the rest of the day."""
        days = -(-(self._clock.now() + self._keep_s) // _DAY_S)
        payload = _HEAD.pack(_LAYOUT, int(days * _DAY_S)) + reference.encode(errors="surrogatepass")
        key = self._made_key()
        token = _as_text(payload + hmac.digest(key, payload, _DIGEST))
        name = quote(reference.rpartition("/")[2], safe="", errors="surrogatepass")
        return f"{self._url}{PATH}{token}/{name}"

    def reference(self, path: str) -> str:
        """The reference of the file that a link's path is to.

        Raises NoSuchLinkError and LinkOverError.
        """
        token, _, name = path.removeprefix(PATH).partition("/")
        payload, signature = _taken_apart(token)
        key = self._known_key()
        if key is None or not hmac.compare_digest(hmac.digest(key, payload, _DIGEST), signature):
            raise NoSuchLinkError("there is no such link; it has to be copied as a whole")
        layout, over_at = _HEAD.unpack_from(payload)
        reference = payload[_HEAD.size :].decode(errors="surrogatepass")
        if (
            layout != _LAYOUT
            or unquote(name, errors="surrogatepass") != reference.rpartition("/")[2]
        ):
            raise NoSuchLinkError("there is no such link; it has to be copied as a whole")
        if self._clock.now() >= over_at:
            raise LinkOverError("this link is over; newer events have newer links")
        return reference

    def _made_key(self) -> bytes:
        if self._key is None:
            self._key = self._keys.make()
        return self._key

    def _known_key(self) -> bytes | None:
        """The key; that there is none yet is believed for a while, whoever asks."""
        now = self._clock.monotonic()
        if self._key is None and now >= self._ask_again_at:
            self._ask_again_at = now + _ASK_AGAIN_S
            self._key = self._keys.known()
        return self._key


def _as_text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _taken_apart(token: str) -> tuple[bytes, bytes]:
    """Payload and signature; a token that is written in another way than ours is none."""
    content = b""
    if len(token) <= _LONGEST_TOKEN:
        with suppress(ValueError, binascii.Error):
            content = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
    if len(content) <= _HEAD.size + _DIGEST_BYTES or _as_text(content) != token:
        raise NoSuchLinkError("there is no such link; it has to be copied as a whole")
    return content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
