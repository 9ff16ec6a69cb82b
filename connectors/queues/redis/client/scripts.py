"""The Lua scripts that Redis runs for us, each in one indivisible step."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "lua"
# A definition of common.lua, with the comment above it: from its first line to the next empty one.
_DEFINES = re.compile(r"^local (?:function )?(\w+)", re.MULTILINE)
_WORD = re.compile(r"\w+")
# Stands before the part of a script that seldom runs; what only that part uses is defined there.
_SELDOM = "-- Seldom:\n"


def _loaded() -> dict[str, tuple[str, str]]:
    shared = (_FOLDER / "common.lua").read_text(encoding="utf-8")
    found = {}
    for path in sorted(_FOLDER.glob("*.lua")):
        if path.stem != "common":
            source = _linked(shared, path.read_text(encoding="utf-8"))
            # Redis names a script by this hash; it guards nothing.
            digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
            found[path.stem] = (digest, source)
    return found


def _linked(shared: str, own: str) -> str:
    """A script with the definitions that it uses; Lua would make all of them anew at every call."""
    linked: list[str] = []
    for part in own.split(_SELDOM):
        linked += [one for one in _needed(shared, part) if one not in linked]
        linked.append(part)
    return "\n".join(linked)


def _needed(shared: str, own: str) -> list[str]:
    used = set(_WORD.findall(_without_comments(own)))
    needed: list[str] = []
    # What a definition uses stands above it.
    for name, part in reversed(list(_defined(shared))):
        if name in used:
            used |= set(_WORD.findall(_without_comments(part)))
            needed.insert(0, part)
    return needed


def _defined(shared: str) -> Iterator[tuple[str, str]]:
    for part in re.split(r"\n{2,}", shared.strip()):
        name = _DEFINES.search(part)
        if name is not None:
            yield name[1], part


def _without_comments(part: str) -> str:
    return "\n".join(line for line in part.splitlines() if not line.startswith("--"))


SCRIPTS = _loaded()
"""Hash and text of each script, by its name."""
