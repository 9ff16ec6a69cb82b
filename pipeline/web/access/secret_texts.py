"""Secrets that machines choose: of sessions, tokens and links.

Each has 256 random bits, so that nobody can try them out, and a fast hash of it is enough to tell
it again: what is kept opens nothing.
"""

import hashlib
import re
import secrets
from typing import Final

TOKEN_PREFIX: Final = "mw_"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LENGTH = 43
_TEXT = re.compile(rf"[0-9A-Za-z]{{{_LENGTH}}}", re.ASCII)


def new_text() -> str:
    """43 letters and digits, which are 256 random bits."""
    return "".join(secrets.choice(_DIGITS) for _ in range(_LENGTH))


def new_id() -> str:
    """Names something in lists; opens nothing."""
    return secrets.token_hex(6)


def digest_of(text: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def can_be_text(text: str) -> bool:
    """Whether it has the form of what `new_text` makes."""
    return _TEXT.fullmatch(text) is not None
