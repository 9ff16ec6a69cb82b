"""What each Lua script says that it uses is what it uses."""

import re
from pathlib import Path

import pytest

from connectors.queues.redis.client import scripts
from connectors.queues.redis.client.scripts import SCRIPTS, Definition, definitions, linked

FOLDER = Path("connectors/queues/redis/lua")
KNOWN = definitions((FOLDER / "common.lua").read_text(encoding="utf-8"))


def words(lua: str) -> set[str]:
    """The names in a piece of Lua, without those in comments and strings, and without fields."""
    code = re.sub(r"'[^'\n]*'", "''", re.sub(r"--.*", "", lua))
    return set(re.findall(r"(?<![\w.:])[A-Za-z_]\w*", re.sub(r"\.\.", " ", code)))


def said(lua: str) -> set[str]:
    """The names in the `-- uses:` lines of a piece of Lua."""
    return {name for line in re.findall(r"^-- uses: (.*)$", lua, re.M) for name in line.split(", ")}


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_a_script_names_exactly_what_it_uses(name: str) -> None:
    """A name that is missing would fail at run time, one too many costs time at each call."""
    lua = (FOLDER / f"{name}.lua").read_text(encoding="utf-8")
    used = words(lua) & KNOWN.keys()
    assert said(lua) == used, (
        f"{name}.lua: write `-- uses: {', '.join(k for k in KNOWN if k in used)}`"
    )


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_a_definition_names_exactly_what_it_uses(name: str) -> None:
    """What it needs is put in front of it, by the same header; and it defines what it is named."""
    lua = KNOWN[name].text
    used = (words(lua) & KNOWN.keys()) - {name}
    assert set(KNOWN[name].uses) == used, f"common.lua: {name}: uses {sorted(used)}"
    assert re.findall(r"^local (?:function )?(\w+)", lua, re.M) == [name]


def test_every_definition_is_used() -> None:
    """What no script names, not even through another definition, would be dead."""
    every = "\n".join(source for _, source in SCRIPTS.values())
    assert {name for name in KNOWN if f"-- define: {name}\n" not in every} == set()


def test_a_script_gets_what_it_uses_and_no_more() -> None:
    """With what that uses itself, in the order of common.lua."""
    known = definitions(
        "\n-- define: a\nlocal a = 1\n"
        "\n-- define: b\nlocal b = 2\n"
        "\n-- define: c\n-- uses: a\nlocal c = a\n"
    )
    assert linked("one", "-- uses: c\nreturn c\n", known) == (
        "-- define: a\nlocal a = 1\n\n"
        "-- define: c\n-- uses: a\nlocal c = a\n\n"
        "-- uses: c\nreturn c\n"
    )


@pytest.mark.parametrize(
    ("uses", "sentence"),
    [
        ("rign", "put.lua uses 'rign', which is not defined in common.lua; define it there"),
        ("a, a", "put.lua names 'a' twice among what it uses; once is enough"),
    ],
)
def test_a_wrong_name_is_an_error_that_names_the_script(uses: str, sentence: str) -> None:
    """It is found when the script is loaded, not when Redis runs it."""
    known = {"a": Definition("a", (), "local a = 1\n")}
    with pytest.raises(ValueError, match=re.escape(sentence)):
        linked("put", f"-- uses: {uses}\nreturn 1\n", known)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("\n-- define: a\n-- uses: b\n\n-- define: b\n", "common.lua: a uses 'b', which is not"),
        ("\n-- define: a\n\n-- define: a\n", "common.lua: a is defined twice"),
    ],
)
def test_definitions_stand_below_what_they_use(text: str, sentence: str) -> None:
    """Lua knows a local name only below its definition, and takes the later of two."""
    with pytest.raises(ValueError, match=re.escape(sentence)):
        scripts.definitions(text)
