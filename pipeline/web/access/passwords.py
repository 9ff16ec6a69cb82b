"""Names and passwords: which may be, and how a password is told without being kept.

Hashes are argon2id with a salt of their own and costs that are written beside them. A password may
not be one of those that are tried first; these are told by how they are made, and not by a list.
"""

import functools
import re
import threading
import unicodedata
from typing import TYPE_CHECKING, Final

from pipeline.web.problems import WebError

if TYPE_CHECKING:
    from pwdlib import PasswordHash

SHORTEST_PASSWORD: Final = 12
LONGEST_PASSWORD: Final = 256
LONGEST_NAME: Final = 64
_NAME = re.compile(rf"[a-z0-9][a-z0-9._@+-]{{0,{LONGEST_NAME - 1}}}", re.ASCII)
_RESERVED = frozenset({"guest", "moonwatch"})
# Each takes 64 MiB and a core for a moment: strangers must not be able to ask for many at once.
_AT_ONCE = 2
_WAIT_S = 5.0
_turns = threading.BoundedSemaphore(_AT_ONCE)

_LOOKS_LIKE = str.maketrans("013457@$!|", "oleastasil")
_WORDS = re.findall(
    r"\w+",
    "password passwort passwd pass login welcome willkommen hello hallo letmein secret geheim "
    "iloveyou love admin administrator root user test guest default change changeme please master "
    "monkey dragon football baseball sunshine princess shadow superman batman trustno monday "
    "summer winter spring autumn sommer herbst camera kamera video security moonwatch company "
    "qwerty qwertz asdf yxcv zxcv abc correct horse battery staple",
)
_ROWS = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "qwertzuiop",
    "asdfghjkl",
    "zxcvbnm",
    "yxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
    "1q2w3e4r5t6z7u8i9o0p",
    "1q2w3e4r5t6y7u8i9o0p",
)
_RUN = 3
_LEAST_OF_ITS_OWN = 5


def checked_name(name: str) -> str:
    """A name as it is kept, in small letters; raises ValueError."""
    found = name.strip().lower()
    if found in _RESERVED:
        raise ValueError(f"{found!r} is what the audit log calls somebody else; take another name")
    if not _NAME.fullmatch(found):
        raise ValueError(
            f"a name has up to {LONGEST_NAME} letters (a to z), digits and the signs . _ - + @, "
            "and begins with a letter or digit"
        )
    return found


def checked_password(password: str, name: str = "") -> str:
    """A password as it is hashed; raises ValueError with what is wrong, and never with itself."""
    found = _same(password)
    if len(found) < SHORTEST_PASSWORD:
        raise ValueError(f"a password has at least {SHORTEST_PASSWORD} characters")
    if len(found) > LONGEST_PASSWORD:
        raise ValueError(f"a password has at most {LONGEST_PASSWORD} characters")
    if _of_its_own(found, name) < _LEAST_OF_ITS_OWN:
        raise ValueError(
            "this password is among the first that are tried: it is made of well-known words, of "
            "the name, of neighbouring keys or of repetitions; take four words that have nothing "
            "to do with each other"
        )
    return found


def hash_of(password: str) -> str:
    """What is kept of a password. Raises WebError 503 where too many wait for theirs."""
    with _HashingTurn():
        return _hasher().hash(_same(password))


def fits(password: str, kept: str | None) -> bool:
    """Whether it is the one whose hash is kept; as slow where there is none.

    Raises WebError 503 where too many wait for theirs.
    """
    with _HashingTurn():
        if len(password) > LONGEST_PASSWORD:
            return False
        is_right = _hasher().verify(_same(password), kept or _nobodys())
    return is_right and kept is not None


class _HashingTurn:
    def __enter__(self) -> None:
        if not _turns.acquire(timeout=_WAIT_S):
            why = "too many are signing in at this moment; try again in a few seconds"
            raise WebError(503, why, retry_after_s=_WAIT_S)

    def __exit__(self, *_: object) -> None:
        _turns.release()


def _same(password: str) -> str:
    """What two keyboards send for the same characters."""
    return unicodedata.normalize("NFKC", password)


def _of_its_own(password: str, name: str) -> int:
    """How many different characters are left without all that can be guessed."""
    rest = password.casefold()
    for row in _ROWS:
        for way in (row, row[::-1]):
            rest = _without_runs(rest, way)
    named = [name.casefold(), *re.split(r"[._@+-]", name.casefold())]
    known = sorted((word for word in {*_WORDS, *named} if len(word) >= _RUN), key=len, reverse=True)
    for looks in (rest, rest.translate(_LOOKS_LIKE)):
        for word in known:
            looks = looks.replace(word, " ")
        looks = re.sub(r"(.{1,8}?)\1{2,}", " ", looks)
        rest = min(rest, looks, key=lambda text: len(set(text) - {" "}))
    # A year or a few digits and signs at either end are what everybody adds.
    rest = re.sub(r"^[\d\W_]{1,6}|[\d\W_]{1,6}$", " ", rest)
    return len(set(rest) - {" "})


def _without_runs(text: str, row: str) -> str:
    """The text without all parts of a row of keys; both are short."""
    kept, at = [], 0
    while at < len(text):
        end = at + 1
        while end <= len(text) and text[at:end] in row:
            end += 1
        length = end - 1 - at
        if length >= _RUN:
            kept.append(" ")
            at += length
        else:
            kept.append(text[at])
            at += 1
    return "".join(kept)


@functools.cache
def _hasher() -> "PasswordHash":
    from pwdlib import PasswordHash

    return PasswordHash.recommended()


@functools.cache
def _nobodys() -> str:
    return _hasher().hash("the password of nobody")
