"""The Lua scripts that Redis runs for us, each in one indivisible step."""

import hashlib
from pathlib import Path

_FOLDER = Path(__file__).with_name("lua")


def _loaded() -> dict[str, tuple[str, str]]:
    common = (_FOLDER / "common.lua").read_text(encoding="utf-8")
    found = {}
    for path in sorted(_FOLDER.glob("*.lua")):
        if path.stem != "common":
            source = f"{common}\n{path.read_text(encoding='utf-8')}"
            # Redis names a script by this hash; it guards nothing.
            digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
            found[path.stem] = (digest, source)
    return found


SCRIPTS = _loaded()
"""Hash and text of each script, by its name."""
