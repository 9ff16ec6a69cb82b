"""What an operator can change of a rule at run time, and what to say of what cannot be."""

from annotated_types import Ge, Gt, Le, Lt

from pipeline.core.switching import (
    ENABLED,
    GREATEST_LIMIT,
    MORE_THAN,
    FileLimit,
    SwitchKey,
    SwitchRange,
    SwitchTimes,
    SwitchValue,
)
from pipeline.rules.base import RuleBase


def limit_range(config: RuleBase) -> SwitchRange | None:
    """The limits that a rule can be given; None for one that has no `more_than`.

    A rule with `fewer_than` has none: it compares with one limit.
    """
    field = type(config).model_fields.get(MORE_THAN)
    if field is None or getattr(config, "fewer_than", None) is not None:
        return None
    least, most = 0, GREATEST_LIMIT
    for bound in field.metadata:
        match bound:
            case Ge(ge=int(number)):
                least = max(least, number)
            case Gt(gt=int(number)):
                least = max(least, number + 1)
            case Le(le=int(number)):
                most = min(most, number)
            case Lt(lt=int(number)):
                most = min(most, number - 1)
            case _:
                pass
    return SwitchRange(least, most)


def file_limit(config: RuleBase) -> int | None:
    """The `more_than` of the file; None where it has none."""
    limit: int | None = getattr(config, MORE_THAN, None)
    return limit


def instead_of(config: RuleBase, key: SwitchKey) -> FileLimit | None:
    """What the file says of a rule, for the record of what is said instead."""
    return FileLimit(file_limit(config)) if key == MORE_THAN else None


def why_not(config: RuleBase, key: SwitchKey, value: SwitchValue) -> str | None:
    """Why a rule cannot be switched to this, and what would do; None where it can."""
    if value is None:
        return None
    if key == ENABLED:
        return None if isinstance(value, bool) else "a rule is on or off"
    allowed = limit_range(config)
    kind = getattr(config, "type", "rule")
    if allowed is None:
        if MORE_THAN not in type(config).model_fields:
            return f"a rule of type {kind} has no more_than; it can be switched on and off"
        return "the rule has fewer_than, and takes no more_than beside it; change it in the file"
    if type(value) is int and allowed.least <= value <= allowed.most:
        return None
    return f"more_than is a whole number from {allowed.least} to {allowed.most}, not {value}"


class LimitTimes:
    """The limit of a rule, moment by moment: the file's, or what was given by hand."""

    def __init__(self, config: RuleBase, switches: SwitchTimes) -> None:
        self._switches = switches
        self._file = file_limit(config)
        self._range = limit_range(config)

    def at(self, at: float) -> int | None:
        """The `more_than` that holds at a moment, in UTC seconds; None for no limit."""
        if self._range is None:
            return self._file
        limit = self._switches.more_than(at, self._file)
        if limit is None or self._range.least <= limit <= self._range.most:
            return limit
        return self._file  # a record that no rule of this type can have
