"""The Lua scripts that Redis runs for us, each in one indivisible step.

`common.lua` is a list of definitions. A script names those it needs in a line `-- uses: name, name`
(or several), and they are put in front of it with what they need themselves: Lua makes a function
anew at every call of a script that has it, so a script has no more of them than it uses.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "lua"
_DEFINE, _USES = "-- define: ", "-- uses: "


@dataclass(frozen=True, slots=True)
class Definition:
    """A part of `common.lua`."""

    name: str
    uses: tuple[str, ...]
    text: str


def definitions(text: str) -> dict[str, Definition]:
    """The definitions of `common.lua`, in their order; raises ValueError about a bad header."""
    found: dict[str, Definition] = {}
    for part in text.split(f"\n{_DEFINE}")[1:]:
        name = part.partition("\n")[0].strip()
        place = f"common.lua: {name}"
        if name in found:
            raise ValueError(f"{place} is defined twice; give one of the two another name")
        uses = _names(part)
        _check(place, uses, found, "defined above it; move it up, or correct the name")
        found[name] = Definition(name, uses, _DEFINE + part.rstrip() + "\n")
    return found


def linked(name: str, text: str, known: Mapping[str, Definition]) -> str:
    """A script behind the definitions that it names; raises ValueError about a bad header."""
    uses = _names(text)
    _check(f"{name}.lua", uses, known, "defined in common.lua; define it there")
    needed = set(uses)
    # What a definition uses stands above it.
    for one in reversed(list(known.values())):
        if one.name in needed:
            needed.update(one.uses)
    return "\n".join([*(one.text for one in known.values() if one.name in needed), text])


def _names(text: str) -> tuple[str, ...]:
    lines = [line.removeprefix(_USES) for line in text.splitlines() if line.startswith(_USES)]
    return tuple(name.strip() for line in lines for name in line.split(","))


def _check(place: str, uses: tuple[str, ...], known: Mapping[str, Definition], way: str) -> None:
    for name in uses:
        if name not in known:
            raise ValueError(f"{place} uses {name!r}, which is not {way}")
        if uses.count(name) > 1:
            raise ValueError(f"{place} names {name!r} twice among what it uses; once is enough")


def _loaded() -> dict[str, tuple[str, str]]:
    known = definitions((_FOLDER / "common.lua").read_text(encoding="utf-8"))
    found = {}
    for path in sorted(_FOLDER.glob("*.lua")):
        if path.stem != "common":
            source = linked(path.stem, path.read_text(encoding="utf-8"), known)
            # Redis names a script by this hash; it guards nothing.
            digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
            found[path.stem] = (digest, source)
    return found


SCRIPTS = _loaded()
"""Hash and text of each script, by its name."""
