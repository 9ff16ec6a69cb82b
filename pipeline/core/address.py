"""Secrets and addresses that hold them: they are shown without, and kept out of foreign texts.

This is the one place that knows what in an address is secret, and which secrets this process knows.
"""

import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus, urlsplit, urlunsplit

from pydantic import SecretStr

MASK = "***"
# Addresses of files; an @ in them is part of a name.
_WITHOUT_LOGIN = frozenset({"sqlite", "file"})
_SECRET_WORD = r"(?:user|usr|login|pass|pwd|psw|secret|token|key|auth|sig|credential)"
# Many cameras take the login as `?user=..&password=..`, some as `/user=.._password=..` in the path.
_IN_QUERY = re.compile(rf"(?i)[?&;](?P<name>[\w.-]*{_SECRET_WORD}[\w.-]*)=(?P<value>[^&]*)")
_IN_PATH = re.compile(
    r"(?i)(?:^|[;/_.\-])(?P<name>user(?:name)?|usr|login|pass(?:word|wd|phrase)?|pwd|psw|auth|"
    r"token|api_?key|key|secret|sig(?:nature)?)=(?P<value>.*?)(?=[&;/?#]|_[a-z]+=|$)"
)
_USER = re.compile(r"(?i)user|usr|login")
# A password may hold spaces: then the address goes on to the @ before its host, within its quotes.
_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://(?:[^\s'\"]*\s[^'\"\n]*@(?=[\w\[]))?\S+")
# As libraries print how they connect, whatever the password: `password='x'`, `passwd=x`.
_SETTING = re.compile(
    r"(?i)(?P<name>\b\w*(?:passw\w*|pwd|secret|token)=)"
    r"(?P<value>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^\s,;&)\]}>]+)"
)
# What ends an address in a sentence that quotes it.
_QUOTES = re.compile(r"[\"'`,;.:)\]}>]*$")
# How our own sentences say what an address looks like.
_EXAMPLE = re.compile(r"(?i)://user:password@[^@?]*$")
_SEPARATORS = re.compile(r"[\s:/@?#&;,%+=\"'\\]+")
# What is shorter, or a short word, stands in texts that have nothing to do with the secret.
_SHORTEST = 4
_SHORTEST_WORD = 8
_WORDS = frozenset({"password", "moonwatch"})

_lock = threading.Lock()
_known: frozenset[str] = frozenset()
"""The secrets of this process, in every form in which a library may quote them."""


class Secret(SecretStr):
    """A value that no text shows: not its own, and none that passes `without_secrets`."""

    def __init__(self, secret_value: str) -> None:
        super().__init__(secret_value)
        _remember(self._secrets())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._secret_value,)

    def reveal(self) -> str:
        """The secret itself, for whoever it is meant for."""
        return self._secret_value

    def shown(self) -> str:
        """What may be shown of it."""
        return self._display()

    def _display(self) -> str:
        return MASK if self._secret_value else ""

    def _secrets(self) -> Iterator[str]:
        yield self._secret_value


class Address(Secret):
    """A URL of any kind. Its text, repr and dumps hide the login and what else may be secret."""

    @property
    def scheme(self) -> str:
        """What stands before `://`, in small letters."""
        return self._secret_value.partition("://")[0].lower()

    @property
    def host(self) -> str:
        """The host's name or number, without brackets."""
        return urlsplit(self._secret_value).hostname or ""

    @property
    def port(self) -> int | None:
        """The port, where the URL names one."""
        return urlsplit(self._secret_value).port

    def login(self) -> tuple[str, str] | None:
        """The user and password of the URL; None without a user."""
        parts = urlsplit(self._secret_value)
        if not parts.username:
            return None
        return unquote(parts.username), unquote(parts.password or "")

    def bare(self) -> str:
        """The URL without user and password, for clients that take them apart."""
        parts = urlsplit(self._secret_value)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    def with_login(self, username: str | None, password: Secret | None) -> str:
        """The whole URL, with the given user and password in place of its own."""
        if username is None:
            return self.reveal()
        secret = quote(password.reveal(), safe="") if password else ""
        parts = urlsplit(self._secret_value)
        netloc = f"{quote(username, safe='')}:{secret}@{parts.netloc.rpartition('@')[2]}"
        return urlunsplit(parts._replace(netloc=netloc))

    def _display(self) -> str:
        return masked(self._secret_value)

    def _secrets(self) -> Iterator[str]:
        for start, end, name in _secret_spans(self._secret_value):
            text = self._secret_value[start:end]
            if name == "@":
                user, colon, password = text.partition(":")
                yield password if colon else user
            elif not _USER.search(name):
                yield text


class HookAddress(Address):
    """A URL that is itself the password, as many webhooks' are: only the host is shown."""

    def _display(self) -> str:
        try:
            parts = urlsplit(self._secret_value)
            port = f":{parts.port}" if parts.port else ""
        except ValueError:  # its text would quote a part of the address
            return MASK
        if "@" in parts.path + parts.query + parts.fragment or not parts.hostname:
            return MASK if self._secret_value else ""
        return f"{parts.scheme}://{parts.hostname}{port}"

    def _secrets(self) -> Iterator[str]:
        yield from super()._secrets()
        place = self._secret_value.partition("://")[2]
        begin = re.search(r"[/?#]", place)
        if begin is not None:
            yield place[begin.start() :].strip("/")


class NotifyAddress(Address):
    """A URL of a service of notifications. Any part of it may be a token, often where others have
    the host: that is shown only if it cannot be one, and nothing else but the scheme.
    """

    def _display(self) -> str:
        scheme, slashes, _ = self._secret_value.partition("://")
        place = self._place()
        return f"{scheme}://{place or MASK}" if slashes else MASK

    def parts(self) -> Iterator[str]:
        """All pieces of it that must not be shown, as they are and decoded."""
        rest = self._secret_value.partition("://")[2]
        place, known = self._place(), _COMMON.split()
        for piece in re.split(r"[/?#&;=@,:]+", rest):
            if len(piece) >= _SHORTEST and piece not in (place or "") and piece not in known:
                yield piece
                yield unquote(piece)

    def _secrets(self) -> Iterator[str]:
        yield from self.parts()

    def _place(self) -> str | None:
        """Host and port, where what stands there cannot be a token."""
        rest = self._secret_value.partition("://")[2]
        netloc = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
        found = re.fullmatch(r"(localhost|[\w-]+(?:\.[\w-]+)+|\[[0-9a-fA-F:]+\])(:\d+)?", netloc)
        return found[0] if found else None


# Names and values of options in such addresses.
_COMMON = """
auth basic default format from high html http https image json login markdown method mode name
overflow pass post priority retry smtp split starttls tags text token true truncate false
upstream user verify wait
"""


def masked(address: str) -> str:
    """An address with everything hidden that may be a credential."""
    shown, done = "", 0
    for start, end, _ in sorted(_secret_spans(address)):
        if start >= done:
            shown += address[done:start] + MASK
        done = max(done, end)
    return shown + address[done:]


def without_secrets(text: str, also: Iterable[str] = ()) -> str:
    """A text that others wrote, without the secrets of this process and those in addresses.

    `also` are more texts that may not be in it. Every message of a library passes through here
    before anybody sees it.
    """
    hidden = {form for secret in also if secret for form in (*_encoded(secret), secret)}
    for secret in sorted((s for s in _known | hidden if s in text), key=len, reverse=True):
        text = text.replace(secret, MASK)
    text = _SETTING.sub(rf"\g<name>{MASK}", text)
    return _IN_TEXT.sub(_masked_in_text, text)


def secrets_in(value: str) -> frozenset[str]:
    """What may be secret in a value that looks like an address, wherever it was written."""
    if "://" not in value:
        return frozenset()
    return frozenset(value[start:end] for start, end, _ in _secret_spans(value) if end > start)


def scheme_check(*schemes: str, host: str = "camera.local/path") -> Callable[[Address], Address]:
    """A validator for addresses of these schemes, with a host that can be told from the login.

    `host` is what the example in its sentences has after the scheme.
    """
    example = f"{schemes[0]}://user:password@{host}"

    def check(address: Address) -> Address:
        if address.scheme not in schemes or "://" not in address.reveal():
            begins = " or ".join(f"{s}://" for s in schemes)
            bare = f"{schemes[0]}://{host}"
            raise ValueError(f"does not begin with {begins}; write it like {bare}")
        if not _has_host(address):
            raise ValueError(
                f"has no host that could be read; write it like {example}, with special characters "
                "of the password percent-encoded (@ is %40, / is %2F, # is %23), or give "
                "`username` and `password` as keys of their own"
            )
        return address

    return check


def _has_host(address: Address) -> bool:
    try:
        return bool(address.host) and address.port != 0 and not re.search(r"\s", address.reveal())
    except ValueError:  # its text would quote a part of the password
        return False


def _secret_spans(address: str) -> Iterator[tuple[int, int, str]]:
    """Begin, end and name of what may be secret in an address; the login's name is `@`.

    A login goes as far as the last @ there is: a password with a bare slash or question mark in
    it may be refused, but is never shown either.
    """
    scheme, slashes, _ = address.partition("://")
    begin = len(scheme) + len(slashes) if slashes else 0
    is_file = bool(slashes) and scheme.lower().partition("+")[0] in _WITHOUT_LOGIN
    end = begin if is_file else address.rfind("@")
    if end > begin:
        yield begin, end, "@"
    for pattern in (_IN_QUERY, _IN_PATH):
        for found in pattern.finditer(address, begin):
            yield *found.span("value"), found["name"]


def _masked_in_text(found: re.Match[str]) -> str:
    if _EXAMPLE.search(found[0]):
        return found[0]
    end = _QUOTES.search(found[0])
    assert end is not None
    return masked(found[0][: end.start()]) + end[0]


def _remember(secrets: Iterable[str]) -> None:
    global _known
    new = {form for secret in secrets for form in _forms(secret)}
    if not new <= _known:
        with _lock:
            _known |= new


def _forms(secret: str) -> set[str]:
    """What a library may quote of a secret: all or a part of it, with or without encoding."""
    plain = {secret, unquote(secret), unquote_plus(secret), " ".join(secret.split())}
    parts = {part for text in plain for part in _SEPARATORS.split(text)}
    encoded = {form for text in plain for form in _encoded(text)}
    return {form for form in plain | parts | encoded if _is_distinct(form)}


def _encoded(text: str) -> set[str]:
    # `surrogatepass`: what a system call made of odd bytes must not fail here.
    raw = text.encode(errors="surrogatepass")
    return {
        quote(raw, safe=""),
        quote(raw),
        quote_plus(raw),
        repr(text)[1:-1],
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
    }


def _is_distinct(text: str) -> bool:
    """Whether a text can be looked for without hitting words that only happen to be the same."""
    if text.isalpha():
        return len(text) >= _SHORTEST_WORD and text.lower() not in _WORDS
    return len(text) >= _SHORTEST
