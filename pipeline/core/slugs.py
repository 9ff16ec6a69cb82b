"""Names of sites, cameras and rules in topics and addresses: small letters, digits, `_` and `-`."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping

# What no accent explains: letters that do not come apart, and what they are written as.
_LETTERS = str.maketrans({"æ": "ae", "ø": "o", "ł": "l", "đ": "d", "þ": "th", "œ": "oe"})


def slug(name: str) -> str:
    """A name as part of a topic: `Grüner Markt 12` is `gruner_markt_12`.

    Letters of other scripts become their numbers, so that a name always has a slug and different
    names of such letters have different ones.
    """
    plain = unicodedata.normalize("NFKD", name.casefold().translate(_LETTERS))
    letters = "".join(letter for letter in plain if not unicodedata.combining(letter))
    known = "".join(
        letter if letter.isascii() or not letter.isalnum() else f"u{ord(letter):x}"
        for letter in letters
    )
    return re.sub(r"[^a-z0-9_-]+", "_", known).strip("_") or "_"


def alike(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each name whose slug an earlier one has, after that earlier one."""
    seen: dict[str, str] = {}
    for name in names:
        earlier = seen.setdefault(slug(name), name)
        if earlier != name:
            yield earlier, name


def alike_rules(rules: Mapping[str, Iterable[str]]) -> Iterator[tuple[str, str, str, str]]:
    """Rules of two cameras (camera, rule, other camera, its rule) that join to the same id.

    A camera `door` with a rule `left_queue` does so with a camera `door_left` and a rule `queue`.
    """
    seen: dict[str, tuple[str, str]] = {}
    for camera, of_it in rules.items():
        for rule in of_it:
            earlier = seen.setdefault(f"{slug(camera)}_{slug(rule)}", (camera, rule))
            if earlier != (camera, rule):
                yield (*earlier, camera, rule)
