"""Keys: how they are made, told apart and kept.

A key is `mw_ID_SECRETCHECK`: a public id that finds its record, 256 random bits in 43 letters and
digits, and six that tell a typo from a key that is not known. Of the secret only a SHA-256 is kept.
A slow hash is for passwords, which people choose and others can guess; 256 random bits can only be
tried out one by one, which no number of computers finishes, so a fast hash protects them as well
and does not let strangers keep the server busy.
"""

import hashlib
import hmac
import math
import re
import secrets
import unicodedata
import zlib
from collections.abc import Collection
from datetime import timedelta
from typing import Final

from pipeline.core.accounts import KeyLimits, KeyRecord, KeyScope
from pipeline.core.address import Secret
from pipeline.core.config import format_duration
from pipeline.core.errors import ConfigError, Problem

LOCAL: Final = "local"
"""The name in accounts of whoever asks a server that wants no keys."""
LONGEST_KEY_NAME: Final = 64
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# Without what looks alike when it is read out.
_ID_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
_ID_LENGTH, _SECRET_LENGTH, _CHECK_LENGTH = 10, 43, 6
_KEY = re.compile(
    rf"mw_(?P<id>[{_ID_LETTERS}]{{{_ID_LENGTH}}})_"
    rf"(?P<secret>[0-9A-Za-z]{{{_SECRET_LENGTH}}})(?P<check>[0-9A-Za-z]{{{_CHECK_LENGTH}}})",
    re.ASCII,
)
_MOST_A_SECOND = 1_000_000.0
_LEAST_A_SECOND = 0.000_01
MOST_ALLOWED: Final = 10**12
"""The highest limit: more is not meant."""
_NOBODY = "0" * 64


class KeyFaultError(ValueError):
    """What was sent is not a key; the sentence quotes nothing of it."""


def key_id(text: str) -> str:
    """The public id in a key; raises KeyFaultError for what cannot be one."""
    found = _KEY.fullmatch(text)
    if found is None:
        raise KeyFaultError(
            "this is not a key: keys begin with mw_ and have 63 characters; copy it again, as a "
            "whole"
        )
    if not hmac.compare_digest(found["check"], _check(text[:-_CHECK_LENGTH])):
        raise KeyFaultError("the key was mistyped or cut: its last characters do not fit the rest")
    return found["id"]


def key_digest(text: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(text.encode()).hexdigest()


def fits(text: str, record: KeyRecord | None) -> bool:
    """Whether a key is the one of a record, in the same time whatever the answer."""
    same = hmac.compare_digest(key_digest(text), record.digest if record is not None else _NOBODY)
    return same and record is not None


def make_key(
    name: str,
    now: float,
    *,
    scopes: Collection[KeyScope] = (KeyScope.SERVE,),
    limits: KeyLimits,
    lasts: timedelta | None = None,
) -> tuple[Secret, KeyRecord]:
    """A new key, and what is kept of it. Raises ConfigError."""
    name = checked_key_name(name)
    check_limits(limits)
    public = "".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH))
    begin = f"mw_{public}_{_in_digits(secrets.randbits(256), _SECRET_LENGTH)}"
    text = begin + _check(begin)
    record = KeyRecord(
        id=public,
        name=name,
        digest=key_digest(text),
        scopes=tuple(scope for scope in KeyScope if scope in scopes),
        limits=limits,
        made_at=now,
        expires_at=None if lasts is None else now + lasts.total_seconds(),
    )
    return Secret(text), record


def checked_key_name(name: str) -> str:
    """A name that can be told from others and be printed; raises ConfigError."""
    name = unicodedata.normalize("NFC", name)
    if name.startswith("mw_"):
        fault = "looks like a key; a name is shown to everybody, so give another one"
    elif not name or name != name.strip():
        fault = "is empty or has a blank at an end; give it a name, such as shop-website"
    elif len(name) > LONGEST_KEY_NAME:
        fault = f"has {len(name)} characters; at most {LONGEST_KEY_NAME} are shown in full"
    elif not name.isprintable():
        fault = "has characters that cannot be seen; use letters, digits and signs"
    elif name == LOCAL:
        fault = f"`{LOCAL}` is the name of whoever asks a server without keys; choose another one"
    else:
        return name
    raise ConfigError([Problem("NAME", fault)])


def check_limits(limits: KeyLimits) -> None:
    """Refuse limits that let nothing through or that cannot be meant; raises ConfigError."""
    problems = []
    rate = limits.requests_per_second
    if rate is not None and not (math.isfinite(rate) and _LEAST_A_SECOND <= rate <= _MOST_A_SECOND):
        way_out = _nothing if rate == 0 else f"is not from {_LEAST_A_SECOND:f} to 1000000"
        problems.append(Problem("--requests-per-second", f"{rate:g} {way_out}"))
    whole = {
        "--burst": limits.burst,
        "--pictures-per-day": limits.pictures_per_day,
        "--tokens-per-day": limits.tokens_per_day,
        "--at-once": limits.at_once,
    }
    for option, value in whole.items():
        if value is not None and not 1 <= value <= MOST_ALLOWED:
            way_out = _nothing if value == 0 else f"is not from 1 to {MOST_ALLOWED}"
            problems.append(Problem(option, f"{_short(value)} {way_out}"))
    if limits.burst is not None and rate is None:
        problems.append(Problem("--burst", "means nothing without --requests-per-second"))
    if problems:
        raise ConfigError(problems)


_nothing = (
    "would let nothing through; leave it out for no limit, or revoke the key (`moonwatch token "
    "revoke`)"
)


def check_lasting(lasts: timedelta) -> None:
    """Refuse a key that would have expired before it is used; raises ConfigError."""
    if lasts < timedelta(minutes=1):
        said = format_duration(lasts)
        raise ConfigError(
            [Problem("--expires", f"{said} is over at once; give at least 1m, such as 90d")]
        )


def _short(value: int) -> str:
    if abs(value) < 10**40:
        return str(value)
    return "a number of more than 40 digits"


def _check(begin: str) -> str:
    return _in_digits(zlib.crc32(begin.encode()), _CHECK_LENGTH)


def _in_digits(number: int, length: int) -> str:
    written = ""
    for _ in range(length):
        number, digit = divmod(number, len(_DIGITS))
        written = _DIGITS[digit] + written
    return written
