"""What kind of thing a track is, where a detector takes one kind for another in some looks."""

from collections.abc import Mapping, Sequence

from pipeline.core.geometry import Box, iou

SAME_BODY = 0.6
"""Boxes of different kinds that overlap by more than this are of one thing: a detector drops all
but one box of a kind, and two vehicles or animals are hardly ever so close behind each other."""
MOST_VOTES = 50.0
"""The sum of scores that is remembered: as of a minute or so. A track that went over to another
thing should not be of the first one's kind for ever."""
LEAD = 0.3
"""By how much the scores of another kind must exceed those of the present one: a single look more
decides, the last digits of two scores do not."""

Votes = Mapping[str, float]
"""How much speaks for each kind: the sum of its scores."""


def merged(
    boxes: Sequence[Box], scores: Sequence[float], labels: Sequence[str]
) -> tuple[list[Box], list[float], list[dict[str, float]]]:
    """The boxes of things, each with its best score and with the score of every kind.

    A thing that is detected as two kinds at once has two boxes, and is one thing.
    """
    kept: list[Box] = []
    best: list[float] = []
    votes: list[dict[str, float]] = []
    for index in sorted(range(len(boxes)), key=lambda index: (-scores[index], index)):
        box, score, label = boxes[index], scores[index], labels[index]
        for other, votes_of_it in zip(kept, votes, strict=True):
            if label not in votes_of_it and iou(box, other) > SAME_BODY:
                votes_of_it[label] = score
                break
        else:
            kept.append(box)
            best.append(score)
            votes.append({label: score})
    return kept, best, votes


def voted(before: Votes, now: Votes) -> dict[str, float]:
    """The votes after one more look."""
    summed = dict(before)
    for label, score in now.items():
        summed[label] = summed.get(label, 0.0) + score
    total = sum(summed.values())
    scale = min(1.0, MOST_VOTES / total) if total > 0 else 1.0
    return {label: score * scale for label, score in summed.items()}


def kind_of(votes: Votes, present: str) -> str:
    """The kind with the most votes; the `present` one stays while no other clearly has more."""
    first = max(sorted(votes), key=votes.__getitem__, default=present)
    return first if votes.get(first, 0.0) > votes.get(present, 0.0) + LEAD else present
