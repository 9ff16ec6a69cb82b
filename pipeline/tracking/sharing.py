"""States of trackers for one kind of things and for several, made into each other."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.core.events import JsonValue


def adapted(states: Mapping[str, JsonValue], labels: Sequence[str]) -> JsonValue:
    """One state out of those of several tasks, by label, for a tracker of `labels`.

    `labels` is empty for a tracker of one kind, which gets what is of that kind. Things keep their
    ids, except where two trackers have used the same ones: then those of the second get new ones,
    and rules see them vanish and appear. Doubts about the last look are not carried over. Raises
    ValueError for what is no state of a tracker.
    """
    if len(labels) == 0:
        ((label, state),) = states.items()
        kept = _mapping(state)
        things = [
            _of_one_kind(t) for t in _things(kept) if _mapping(t).get("label", label) == label
        ]
        return {**kept, "things": things, "doubts": []}
    distinct: list[tuple[str, Mapping[str, Any]]] = []
    for label, state in states.items():
        kept = _mapping(state)
        if all(kept != other for _, other in distinct) or not _is_shared(kept):
            distinct.append((label, kept))
    next_id = max(_number(kept.get("next_id")) for _, kept in distinct)
    (label, first), *more = distinct
    joined = [_labelled(thing, label) for thing in _things(first)]
    for label, kept in more:
        for thing in _things(kept):
            labelled = _labelled(thing, label)
            if labelled.get("id") is not None:
                labelled["id"], next_id = next_id, next_id + 1
            joined.append(labelled)
    known = [thing for thing in joined if thing["label"] in labels]
    return {**first, "next_id": next_id, "things": known, "doubts": []}


def _is_shared(kept: Mapping[str, Any]) -> bool:
    return any("label" in _mapping(thing) for thing in _things(kept))


def _labelled(thing: Any, label: str) -> dict[str, Any]:
    kept = dict(_mapping(thing))
    if "label" not in kept:
        kept["label"] = label
        kept["votes"] = {label: kept.get("last_score", 1.0)}
    return kept


def _of_one_kind(thing: Any) -> dict[str, Any]:
    return {
        name: value for name, value in _mapping(thing).items() if name not in ("label", "votes")
    }


def _things(kept: Mapping[str, Any]) -> list[Any]:
    things = kept.get("things")
    if not isinstance(things, list):
        raise ValueError("it has no list of things")  # noqa: TRY004 - all invalid states raise alike
    return things


def _number(value: Any) -> int:
    if not isinstance(value, int):
        raise ValueError("its next id is not a number")  # noqa: TRY004 - as above
    return value


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a mapping, got {type(value).__name__}")  # noqa: TRY004 - as above
    return value
