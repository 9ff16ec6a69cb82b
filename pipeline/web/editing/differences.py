"""The difference that an edit makes to a file, without anything else of the file.

A line of the file can hold a camera's password beside its lines. So only what is written in the
parts that can be edited is shown, and a dot for everything else.
"""

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.web.editing.parts import PLACES
from pipeline.web.editing.written import Entry, Written, read_written

HIDDEN = "…"
_AROUND = 3
_MOST_PAIRS = 1_000_000
_REST = re.compile(r"[ \t]*(#[^\n]*)?(?=\r?\n|$)")


@dataclass(frozen=True, slots=True)
class FileDifference:
    """What changes in a file."""

    text: str
    """As `diff -u` shows it."""
    added: int
    removed: int
    """Lines."""
    hides: bool = False
    """Whether something on the changed lines is not shown, so that it cannot be applied."""


def difference(old: str, new: str, camera: str, name: str) -> FileDifference:
    """What changes in a file called `name`, as far as it is in the editable parts of a camera."""
    before, after = _shown_lines(old, camera), _shown_lines(new, camera)
    old_lines, new_lines = old.splitlines(), new.splitlines()
    rows: list[tuple[str, int, int, str | None]] = []
    added = removed = 0
    hides = False
    for tag, a0, a1, b0, b1 in _changes(old_lines, new_lines):
        if tag == "equal":
            rows += [
                (" ", a0 + i, b0 + i, before[a0 + i] if before[a0 + i] == one else None)
                for i, one in enumerate(old_lines[a0:a1])
            ]
            continue
        rows += [("-", i, b0, before[i]) for i in range(a0, a1)]
        rows += [("+", a1, i, after[i]) for i in range(b0, b1)]
        hides = hides or before[a0:a1] != old_lines[a0:a1] or after[b0:b1] != new_lines[b0:b1]
        removed, added = removed + a1 - a0, added + b1 - b0
    return FileDifference("".join(_hunks(rows, name)), added, removed, hides)


def _changes(old: Sequence[str], new: Sequence[str]) -> Sequence[tuple[str, int, int, int, int]]:
    """What is equal and what is replaced, as difflib has it; coarser where that would take long.

    Its time grows with how many pairs of lines are the same, which in a long file of much the same
    lines is the square of its length.
    """
    if _pairs(old, new) <= _MOST_PAIRS:
        return difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    shorter = min(len(old), len(new))
    head = next((i for i in range(shorter) if old[i] != new[i]), shorter)
    most = shorter - head
    tail = next((i for i in range(most) if old[-1 - i] != new[-1 - i]), most)
    a1, b1 = len(old) - tail, len(new) - tail
    inner_old, inner_new = old[head:a1], new[head:b1]
    if _pairs(inner_old, inner_new) <= _MOST_PAIRS:
        matcher = difflib.SequenceMatcher(None, inner_old, inner_new, autojunk=False)
        inner: list[tuple[str, int, int, int, int]] = [
            (tag, head + a, head + b, head + c, head + d)
            for tag, a, b, c, d in matcher.get_opcodes()
        ]
    else:
        inner = [("replace", head, a1, head, b1)]
    ends = [("equal", 0, head, 0, head), ("equal", a1, len(old), b1, len(new))]
    return [ends[0], *inner, ends[1]]


def _pairs(old: Sequence[str], new: Sequence[str]) -> int:
    there = Counter(new)
    return sum(count * there[line] for line, count in Counter(old).items())


def _hunks(rows: Sequence[tuple[str, int, int, str | None]], name: str) -> list[str]:
    changed = [place for place, row in enumerate(rows) if row[0] != " "]
    if not changed:
        return []
    near = {p for place in changed for p in range(place - _AROUND, place + _AROUND + 1)}
    told = [f"--- {name}\n", f"+++ {name}\n"]
    hunk: list[tuple[str, int, int, str]] = []

    def close() -> None:
        if any(row[0] != " " for row in hunk):
            olds = sum(row[0] != "+" for row in hunk)
            news = sum(row[0] != "-" for row in hunk)
            first_old = hunk[0][1] + (olds > 0)
            first_new = hunk[0][2] + (news > 0)
            told.append(f"@@ -{first_old},{olds} +{first_new},{news} @@\n")
            told.extend(f"{sign}{text}\n" for sign, _, _, text in hunk)
        hunk.clear()

    for place, (sign, a, b, text) in enumerate(rows):
        if place in near and text is not None:
            hunk.append((sign, a, b, text))
        else:
            close()
    close()
    return told


def _shown_lines(text: str, camera: str) -> list[str]:
    """The lines of a text with all that is not in a camera's editable parts hidden."""
    spans = sorted(_spans(text, camera))
    lines, at = [], 0
    for line in text.splitlines(keepends=True):
        end = at + len(line.rstrip("\r\n"))
        lines.append(_shown(text, at, end, spans))
        at += len(line)
    return lines


def _shown(text: str, start: int, end: int, spans: Sequence[tuple[int, int]]) -> str:
    told, at = "", start
    for first, last in spans:
        if last <= at or first >= end:
            continue
        told += _hidden(text[at : max(first, at)]) + text[max(first, at) : min(last, end)]
        at = min(last, end)
    return told + _hidden(text[at:end])


def _hidden(text: str) -> str:
    if not text.strip():
        return text
    return text[: len(text) - len(text.lstrip())] + HIDDEN


def _spans(text: str, camera: str) -> list[tuple[int, int]]:
    node = read_written(text)
    found = _entry(_entry_value(_entry(node, "cameras")), camera)
    if found is None:
        return []
    spans = []
    for place in PLACES.values():
        entry = _entry(found.value, str(place[0]))
        if entry is None:
            continue
        rest = _REST.match(text, entry.value.stop)
        spans.append((entry.start, rest.end() if rest else entry.value.stop))
    return spans


def _entry(node: Written | None, name: str) -> Entry | None:
    return node.entry(name) if node is not None and node.kind == "map" else None


def _entry_value(entry: Entry | None) -> Written | None:
    return None if entry is None else entry.value
