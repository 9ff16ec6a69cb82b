"""The port of keys and accounts: who may ask the model, what was asked, and what it cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from pipeline.core.store import EVER, Span

DAY_S: Final = 86_400
"""Days of limits and accounts are days of UTC, which all have the same length."""


class KeyScope(StrEnum):
    """What a key opens. `admin` opens everything."""

    SERVE = "serve"
    METRICS = "read:metrics"
    ADMIN = "admin"


class RequestOutcome(StrEnum):
    """How a request ended."""

    DONE = "done"
    CANCELLED = "cancelled"
    """The caller went away; what was done until then counts."""
    FAILED = "failed"
    """Costs nothing."""


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What a key may use; None is no limit."""

    requests_per_second: float | None = None
    burst: int | None = None
    """Requests at once after a pause; by default what a second allows, at least one."""
    pictures_per_day: int | None = None
    tokens_per_day: int | None = None
    """Tokens of prompts and answers."""
    at_once: int | None = None


NO_LIMITS: Final = KeyLimits()


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as it is kept: the secret itself is nowhere."""

    id: str
    """Public: it is in the key, and finds it."""
    name: str
    """Whose it is, in accounts and metrics; keys that replace each other share it."""
    digest: str
    """SHA-256 of the whole key, in hexadecimal digits."""
    scopes: tuple[KeyScope, ...] = (KeyScope.SERVE,)
    limits: KeyLimits = NO_LIMITS
    made_at: float = 0.0
    expires_at: float | None = None
    revoked_at: float | None = None
    last_used_at: float | None = None

    def is_valid(self, now: float) -> bool:
        """Whether it opens anything at this time."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One request: what it took, how it ended and what it costs."""

    id: str
    """Unique, so that an entry that is written twice is there once."""
    at: float
    """UTC seconds at which it was let in."""
    request_id: str
    key_id: str
    key_name: str
    skill: str
    model: str
    outcome: RequestOutcome
    status: int
    """Of HTTP; 499 for a caller that went away."""
    error: str = ""
    """The code of the error, such as `invalid_image_url`."""
    pictures: int = 0
    crops: int = 0
    image_tokens: int = 0
    prompt_tokens: int = 0
    """All tokens of the prompt, those of the picture included."""
    completion_tokens: int = 0
    """All tokens of the answer, reasoning included."""
    reasoning_tokens: int = 0
    bytes_in: int = 0
    queued_ms: float = 0.0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0
    seconds: float = 0.0
    cost: int = 0
    """Billionths of the currency, by the prices of the time."""
    currency: str = ""

    @property
    def day(self) -> int:
        """The day of UTC it belongs to, counted from 1970."""
        return day_of(self.at)


@dataclass(frozen=True, slots=True)
class DaySpent:
    """What the requests of a key took of its limits in one day."""

    pictures: int = 0
    tokens: int = 0

    def plus(self, other: "DaySpent") -> "DaySpent":
        """Both together."""
        return DaySpent(self.pictures + other.pictures, self.tokens + other.tokens)


Spending = Mapping[tuple[str, int], DaySpent]
"""By the key's name and the day."""


class UsageBy(StrEnum):
    """What accounts are added up by."""

    KEY = "key"
    DAY = "day"
    MODEL = "model"
    SKILL = "skill"


@dataclass(frozen=True, slots=True)
class UsageSum:
    """Accounts added up; of the four, what was not asked for is None."""

    key: str | None
    day: int | None
    model: str | None
    skill: str | None
    currency: str
    requests: int = 0
    failed: int = 0
    cancelled: int = 0
    pictures: int = 0
    """Pictures, crops and tokens of requests that did not fail."""
    crops: int = 0
    image_tokens: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    bytes_in: int = 0
    """Of all requests, as are the milliseconds."""
    queued_ms: int = 0
    prefill_ms: int = 0
    decode_ms: int = 0
    request_ms: int = 0
    cost: int = 0
    """Billionths of the currency."""


@dataclass(frozen=True, slots=True)
class UsageQuestion:
    """Which accounts, and by what they are added up."""

    by: tuple[UsageBy, ...] = (UsageBy.KEY,)
    span: Span = EVER
    key: str | None = None
    """Of this key alone."""


class AccountStore(Protocol):
    """Keys and accounts in the store, shared by all its servers. All methods raise StoreError."""

    def keys(self) -> Sequence[KeyRecord]:
        """Every key that was ever made, the oldest first."""
        ...

    def keys_version(self) -> int:
        """Another number whenever a key was made or changed."""
        ...

    def add_key(self, key: KeyRecord, replaced_expire_at: float | None = None) -> bool:
        """Keep a new key; False, and nothing is kept, where its name is or was another's.

        With `replaced_expire_at` it takes the place of the valid keys of its name, which expire
        then at the latest; False where there is none.
        """
        ...

    def revoke(self, name: str, at: float) -> int:
        """End every key of this name; how many there were that had not ended."""
        ...

    def used(self, last_used_at: Mapping[str, float]) -> None:
        """When keys were used last, by their ids; an earlier time than is known changes nothing."""
        ...

    def spend(self, spent: Spending, since_day: int) -> Spending:
        """Add to what was spent, and say what all servers spent since the start of a day."""
        ...

    def keep(self, entries: Sequence[LedgerEntry]) -> int:
        """Keep entries and add them to the totals of their days; one that is there is left alone.

        Returns how many were new.
        """
        ...

    def usage(self, question: UsageQuestion) -> Sequence[UsageSum]:
        """Accounts added up, in the order of what they are added up by."""
        ...

    def oldest_entry(self) -> float | None:
        """When the oldest entry that is still there was let in; totals go further back."""
        ...

    def forget_entries(self, before: float, limit: int) -> int:
        """Delete at most `limit` entries from before `before`; totals stay. How many it were."""
        ...


def day_of(at: float) -> int:
    """The day of UTC, counted from 1970."""
    return int(at // DAY_S)
