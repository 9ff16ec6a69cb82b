"""What persons say of happenings: that they have seen them, and what of them was wrong."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, get_args

from pipeline.core.store import EVER, Span

Wrong = Literal["missed", "double", "false"]
WRONGS: Final[tuple[Wrong, ...]] = get_args(Wrong)
"""Something happened and was not reported; it was reported twice; it did not happen."""


@dataclass(frozen=True, slots=True)
class Remark:
    """What somebody said was wrong, for the measuring of a rule."""

    kind: Wrong
    camera: str
    rule: str
    at: float
    """UTC seconds of capture time."""
    by: str
    happening: str = ""
    """The one that it is about; empty for what was missed."""
    place: str = ""
    """The line or zone, where there is one."""
    direction: str = ""
    """Of a line: what the rule would have called it, `in` or `out`."""
    remark: str = ""
    kept_at: float = 0.0
    """UTC seconds of the moment at which it was said."""
    id: int = 0
    """The store fills it in."""


class Reviews(Protocol):
    """Keeps what persons say. All methods raise StoreError."""

    def mark(self, visitor: str, happenings: Collection[str], at: float) -> int:
        """Note that somebody has seen these; returns how many of them were new to him."""
        ...

    def unmark(self, visitor: str, happenings: Collection[str]) -> int:
        """Take that back; returns how many were marked."""
        ...

    def seen(self, visitor: str, happenings: Collection[str]) -> Mapping[str, float]:
        """Those that somebody has seen, with when he said so."""
        ...

    def seen_by_any(self, happenings: Collection[str]) -> set[str]:
        """Those that anybody has seen."""
        ...

    def say(self, remark: Remark) -> Remark:
        """Keep a remark; one of the same person about the same happening replaces the earlier."""
        ...

    def remarks_on(self, happenings: Collection[str]) -> Sequence[Remark]:
        """What was said of these, the first first."""
        ...

    def remarks(
        self, cameras: Collection[str] | None = None, span: Span = EVER, limit: int = 10_000
    ) -> Sequence[Remark]:
        """Everything that was said of these cameras or all, in order of capture time."""
        ...

    def remark(self, remark_id: int) -> Remark | None:
        """One of them."""
        ...

    def withdraw(self, remark_id: int) -> bool:
        """Delete one; whether it was there."""
        ...
