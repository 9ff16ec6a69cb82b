"""Addresses that hold a login: they are shown without it."""

import re
from collections.abc import Callable
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from pydantic import SecretStr

MASK = "***"
# Many cameras take the login as `?user=..&password=..`, some as `/user=.._password=..` in the path.
_LOGIN = re.compile(
    r"(?i)((?:^|[?&;/_.\-])(?:user(?:name)?|usr|login|pass(?:word|wd|phrase)?|pwd|psw|auth|token|"
    r"api_?key|key|secret|sig(?:nature)?)=).*?(?=[&;/#]|_[a-z]+=|$)"
)


class Address(SecretStr):
    """A camera's URL. Its text, repr and dumps hide the credentials; `get_secret_value` has all."""

    def _display(self) -> str:
        return masked(self._secret_value) if self._secret_value else ""

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

    def with_login(self, username: str | None, password: SecretStr | None) -> str:
        """The whole URL, with the given user and password in place of its own."""
        if username is None:
            return self.get_secret_value()
        secret = quote(password.get_secret_value(), safe="") if password else ""
        parts = urlsplit(self._secret_value)
        netloc = f"{quote(username, safe='')}:{secret}@{parts.netloc.rpartition('@')[2]}"
        return urlunsplit(parts._replace(netloc=netloc))


def masked(url: str) -> str:
    """A URL with everything hidden that may be a credential."""
    head, slashes, rest = url.partition("://")
    end = next((i for i, char in enumerate(rest) if char in "/?#"), len(rest))
    if "@" in rest[end:] and "@" not in rest[:end]:
        end = rest.rindex("@") + 1  # a password with a bare slash; refused, but never shown either
    authority = rest[:end]
    if "@" in authority:
        authority = f"{MASK}@{authority.rpartition('@')[2]}"
    path = _LOGIN.sub(lambda found: f"{found.group(1)}{MASK}", rest[end:])
    return f"{head}{slashes}{authority}{path}"


def scheme_check(*schemes: str) -> Callable[[Address], Address]:
    """A validator for addresses of these schemes, with a host that can be told from the login."""
    example = f"{schemes[0]}://user:password@camera.local/path"

    def check(address: Address) -> Address:
        if address.get_secret_value().partition("://")[0].lower() not in schemes:
            raise ValueError(f"does not begin with {' or '.join(f'{s}://' for s in schemes)}")
        if not _has_host(address):
            raise ValueError(
                f"has no host that could be read; write it like {example}, with special characters "
                "of the password percent-encoded (@ is %40, / is %2F, # is %23), or give "
                "`username` and `password` as keys of their own"
            )
        return address

    return check


def _has_host(address: Address) -> bool:
    url = address.get_secret_value()
    try:
        return bool(address.host) and address.port != 0 and not re.search(r"\s", url)
    except ValueError:  # its text would quote a part of the password
        return False
