"""How a camera's web server is told who we are: Basic and Digest, RFC 7617 and RFC 7616.

Knows nothing of connections; what a server asks for is judged here, however odd it is.
"""

import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# By preference; with `-sess` each of them, too.
_HASHES = {"SHA-512-256": "sha512_256", "SHA-256": "sha256", "MD5": "md5"}
_PARAMETER = re.compile(r'([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_SCHEME = re.compile(r"(?:^|,)\s*([A-Za-z][\w-]*)(?=\s+[\w-]+\s*=|\s*(?:,|$))")
_NONCE_COUNTS = 1 << 30


@dataclass(frozen=True, slots=True)
class LoginOffer:
    """One way to log in that a server offers."""

    scheme: str
    parameters: dict[str, str]

    @property
    def algorithm(self) -> str:
        """Of a Digest; MD5 where none is named."""
        return self.parameters.get("algorithm") or "MD5"

    def __str__(self) -> str:
        """As a sentence can name it: what others wrote, cut short."""
        name = re.sub(r"[^\w-]", "?", self.scheme)[:20]
        if self.scheme.lower() != "digest":
            return name
        return f"{name} with {re.sub(r'[^A-Za-z0-9-]', '?', self.algorithm)[:20]}"


class BasicLogin:
    """The login in plain."""

    def __init__(self, username: str, password: str) -> None:
        login = base64.b64encode(f"{username}:{password}".encode())
        self._header = f"Basic {login.decode()}"

    def header(self, method: str, target: str) -> str:
        """The value of `Authorization`."""
        return self._header


class DigestLogin:
    """Answers one challenge, again and again while the server accepts its nonce."""

    def __init__(self, challenge: LoginOffer, username: str, password: str) -> None:
        given = challenge.parameters
        name, _, session = challenge.algorithm.upper().partition("-SESS")
        self._hash = _hasher(name)
        self._is_session = challenge.algorithm.upper().endswith("-SESS") and not session
        self._given = given
        self._qop = _qop(given.get("qop", ""))
        self._username, self._password = username, password
        self._count = 0

    def header(self, method: str, target: str) -> str:
        """The value of `Authorization` for the next request."""
        given, hashed = self._given, self._hash
        realm, nonce = _plain(given.get("realm", "")), _plain(given.get("nonce", ""))
        self._count = self._count % _NONCE_COUNTS + 1
        count, client = f"{self._count:08x}", secrets.token_hex(8)
        user = self._username.encode()
        secret = hashed(user + b":" + _raw(realm) + b":" + self._password.encode())
        if self._is_session:
            secret = hashed(f"{secret}:".encode() + _raw(nonce) + f":{client}".encode())
        act = f"{method}:{target}"
        if self._qop == "auth-int":
            act += ":" + hashed(b"")
        act = hashed(act.encode())
        middle = f":{count}:{client}:{self._qop}:" if self._qop else ":"
        response = hashed(f"{secret}:".encode() + _raw(nonce) + f"{middle}{act}".encode())
        if given.get("userhash", "").lower() == "true":
            shown = hashed(user + b":" + _raw(realm))
        else:
            shown = _quoted(self._username.encode().decode("latin-1"))
        parts = [
            f'username="{shown}"',
            f'realm="{given.get("realm", "")}"',
            f'nonce="{given.get("nonce", "")}"',
            f'uri="{target}"',
            f'response="{response}"',
        ]
        if "algorithm" in given:
            parts.append(f"algorithm={_token(given['algorithm'])}")
        if "opaque" in given:
            parts.append(f'opaque="{given["opaque"]}"')
        if self._qop:
            parts += [f"qop={self._qop}", f"nc={count}"]
        if self._qop or self._is_session:
            parts.append(f'cnonce="{client}"')
        if given.get("userhash", "").lower() == "true":
            parts.append("userhash=true")
        return "Digest " + ", ".join(parts)


Authorisation = BasicLogin | DigestLogin


def challenges_in(headers: Sequence[str]) -> list[LoginOffer]:
    """What a server's `WWW-Authenticate` lines offer, whatever else they hold."""
    found = []
    for header in headers:
        # What is quoted may hold anything, so schemes are looked for in the rest.
        bare = re.sub(r'"(?:[^"\\]|\\.)*"', lambda quoted: "x" * len(quoted[0]), header)
        begins = list(_SCHEME.finditer(bare))
        ends = [begin.start() for begin in begins[1:]] + [len(header)]
        for begin, end in zip(begins, ends, strict=False):
            text = header[begin.end() : end]
            parameters = {
                name.lower(): quoted or bare_value
                for name, quoted, bare_value in _PARAMETER.findall(text)
            }
            found.append(LoginOffer(begin[1], parameters))
    return found


def authorisation(
    challenges: Sequence[LoginOffer], username: str, password: str
) -> Authorisation | None:
    """The safest way to log in among those offered; None where none of them is known."""
    digests = [c for c in challenges if c.scheme.lower() == "digest"]
    for name in _HASHES:
        for challenge in digests:
            if challenge.algorithm.upper().removesuffix("-SESS") == name and _is_available(name):
                return DigestLogin(challenge, username, password)
    if any(challenge.scheme.lower() == "basic" for challenge in challenges):
        return BasicLogin(username, password)
    return None


def _token(text: str) -> str:
    """A parameter that is sent back without quotes."""
    return re.sub(r"[^\w-]", "", text)


def _qop(offered: str) -> str:
    """Of the qualities offered the one that is used; empty for none, as old servers want it."""
    names = [name.strip().lower() for name in offered.split(",")]
    return next((name for name in ("auth", "auth-int") if name in names), "")


def _is_available(name: str) -> bool:
    return _HASHES[name] in hashlib.algorithms_available


def _hasher(name: str) -> Callable[[bytes], str]:
    return lambda data: hashlib.new(_HASHES[name], data, usedforsecurity=False).hexdigest()


def _plain(quoted: str) -> str:
    return re.sub(r"\\(.)", r"\1", quoted)


def _quoted(plain: str) -> str:
    return re.sub(r'(["\\])', r"\\\1", plain)


def _raw(text: str) -> bytes:
    """A header's text as the bytes it was read from."""
    return text.encode("latin-1", "replace")
