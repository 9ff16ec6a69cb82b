"""Accounts added up, as commands and the server say them."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from pipeline.core.accounts import DAY_S, UsageBy, UsageQuestion, UsageSum
from pipeline.core.events import JsonValue
from pipeline.core.moments import moment
from pipeline.core.store import Span
from pipeline.server.prices import as_money


def usage_question(
    by: Iterable[str], since: str | None, until: str | None, key: str | None, now: float
) -> UsageQuestion:
    """What was asked for in words; raises ValueError, which names the word."""
    known = {choice.value: choice for choice in UsageBy}
    names = list(by) or [UsageBy.KEY.value]
    for name in names:
        if name not in known:
            raise ValueError(f"by: {name[:64]!r} is not one of {', '.join(known)}")
    ends: list[float | None] = []
    for word, text in (("since", since), ("until", until)):
        try:
            ends.append(None if text is None else moment(text, now))
        except ValueError as error:
            raise ValueError(f"{word}: {error}") from None
    begin, end = ends
    if begin is not None and end is not None and begin >= end:
        raise ValueError("since: is not before until; nothing lies between them")
    return UsageQuestion(tuple(dict.fromkeys(known[name] for name in names)), Span(begin, end), key)


def day_name(day: int) -> str:
    """A day of UTC as `2026-11-26`."""
    return datetime.fromtimestamp(day * DAY_S, UTC).date().isoformat()


def sum_as_json(total: UsageSum, by: Sequence[UsageBy]) -> dict[str, JsonValue]:
    """Accounts for machines. The cost is text: it is exact, which a number in JSON is not."""
    named: dict[UsageBy, JsonValue] = {
        UsageBy.KEY: total.key,
        UsageBy.DAY: None if total.day is None else day_name(total.day),
        UsageBy.MODEL: total.model,
        UsageBy.SKILL: total.skill,
    }
    return {
        **{str(one): named[one] for one in by},
        "requests": total.requests,
        "failed": total.failed,
        "cancelled": total.cancelled,
        "pictures": total.pictures,
        "crops": total.crops,
        "image_tokens": total.image_tokens,
        "prompt_tokens": total.prompt_tokens,
        "completion_tokens": total.completion_tokens,
        "reasoning_tokens": total.reasoning_tokens,
        "bytes_in": total.bytes_in,
        "queued_ms": total.queued_ms,
        "prefill_ms": total.prefill_ms,
        "decode_ms": total.decode_ms,
        "request_ms": total.request_ms,
        "cost": as_money(total.cost),
        "currency": total.currency or None,
    }
