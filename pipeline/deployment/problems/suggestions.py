"""`did you mean`: the known name closest to a mistyped one."""

import difflib
from collections.abc import Iterable

# Below this similarity a guess is more often confusing than helpful.
_CLOSE_ENOUGH = 0.6


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, ignoring case, or None when none is similar."""
    by_folded = {word.casefold(): word for word in known}
    found = difflib.get_close_matches(name.casefold(), by_folded, 1, _CLOSE_ENOUGH)
    return by_folded[found[0]] if found else None


def hint(name: str, known: Iterable[str], what: str = "there are") -> str:
    """`; did you mean X?` where a name is close, else `; there are: ...`."""
    words = list(known)
    guess = nearest(name, words)
    if guess is not None:
        return f"; did you mean {guess!r}?"
    return f"; {what}: {', '.join(words)}" if words else f"; {what} none"
