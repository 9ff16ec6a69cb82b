"""Words for kinds of things that exclude each other: what is a truck is not a car."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

_FAMILIES = (
    # Each family is a list of kinds, each kind the words for it. Nothing is of two kinds of one
    # family: "vehicle" is none of the first, because a car is a vehicle, and neither is "taxi".
    "car|automobile, truck|lorry, bus|coach, van, pickup|pickup truck, minibus, tram, tractor",
    "bicycle|bike|cycle, motorcycle|motorbike, scooter, moped",
    "dog, cat, horse, cow, sheep, goat, pig, deer, fox",
    "man|men, woman|women, child|children|kid",
    "man|men, woman|women, boy, girl",
    "adult|grown-up, child|children|kid",
    "boy, girl",
)


def _forms(word: str) -> Iterable[str]:
    yield word
    yield f"{word}s"
    yield f"{word}es"
    if word.endswith("y"):
        yield f"{word[:-1]}ies"


def _read(family: str) -> Mapping[str, int]:
    """Every form of every word of a family, with the number of its kind."""
    return {
        form: number
        for number, kind in enumerate(family.split(", "))
        for word in kind.split("|")
        for form in _forms(word)
    }


FAMILIES: Sequence[Mapping[str, int]] = tuple(
    MappingProxyType(_read(family)) for family in _FAMILIES
)
"""Kinds that exclude each other and that a detector may mistake for each other."""


def siblings(labels: Sequence[str]) -> list[tuple[int, ...]]:
    """The groups, of two labels and more, that name different kinds of one family, by index.

    Only labels that are a kind's plain name belong to a family: "red car" and "car" may be the same
    thing, and so may "person" and "person in a helmet". Of two words for one kind, the first is
    taken.
    """
    words = [_plain(label) for label in labels]
    free = set(range(len(words)))
    groups = []
    for family in FAMILIES:
        kinds: dict[int, int] = {}
        for index in sorted(free):
            if words[index] in family:
                kinds.setdefault(family[words[index]], index)
        if len(kinds) > 1:
            groups.append(tuple(sorted(kinds.values())))
            free -= set(kinds.values())
    return groups


def _plain(label: str) -> str:
    words = label.lower().replace(".", " ").split()
    return " ".join(words[1:] if words[:1] in (["a"], ["an"], ["the"]) else words)
