"""Links that show one picture or clip to whoever has them, without signing in."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class SharedKind(StrEnum):
    """What a link shows."""

    PICTURE = "picture"
    CLIP = "clip"


@dataclass(frozen=True, slots=True)
class SharedLink:
    """One link, as it is kept: without the secret that opens it.

    The secret is random, and only its hash is kept: to end a link is to forget its row, nothing
    has to be rotated for it, and whoever reads the store can open none.
    """

    id: str
    """Names it in lists; opens nothing."""
    digest: str
    """SHA-256 of the secret, in hexadecimal digits."""
    happening: str
    """What happened, by its id."""
    kind: SharedKind
    nth: int
    """Which of its pictures, or which part of its clip; from 1."""
    camera: str
    made_by: str
    made_at: float
    """UTC seconds, as the other times."""
    until: float
    """It opens before this."""
    opened: int = 0
    """How often its page was opened."""
    opened_at: float | None = None


class SharedLinks(Protocol):
    """Keeps links. All methods raise StoreError."""

    def add_link(self, link: SharedLink, most: int) -> bool:
        """Keep a link, and forget those that are over; False where its maker has `most` already."""
        ...

    def links(self, now: float, who: str | None = None) -> Sequence[SharedLink]:
        """The links that still open, of one maker or of all; the newest first."""
        ...

    def link(self, digest: str, now: float) -> SharedLink | None:
        """The link of a secret, if it still opens."""
        ...

    def opened_link(self, link_id: str, at: float) -> None:
        """Its page was opened."""
        ...

    def end_link(self, link_id: str, who: str | None = None) -> SharedLink | None:
        """Forget a link, if it is this person's; None where there is none."""
        ...
