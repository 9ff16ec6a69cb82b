"""Changes values in a YAML text, and leaves every other character as it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.core.events import JsonValue
from pipeline.web.editing import spelling
from pipeline.web.editing.written import Entry, Written, read_written

_DEFAULT_STEP = 2


class CannotSplice(Exception):  # noqa: N818 - it is caught beside its caller
    """A change has no place of its own in the text; says why."""


def same(one: JsonValue, other: JsonValue) -> bool:
    """Whether two values mean the same in a file: 1 and 1.0 do, 1 and `true` do not."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return one == other


def spliced(
    text: str, path: Sequence[str], old: Mapping[str, JsonValue], new: Mapping[str, JsonValue]
) -> str:
    """The text in which the map at `path`, which says `old`, says `new`; raises CannotSplice."""
    node = read_written(text)
    if node is None:
        raise CannotSplice("the file is empty")
    splicer = _Splicer(text)
    holder: Written = node
    for name in path:
        found = holder.entry(name) if holder.kind == "map" else None
        if found is None:
            raise CannotSplice(f"`{name}` comes from elsewhere, by an alias or `<<`")
        if found.key is not None and found.value.kind == "map" and not found.value.flow:
            splicer.step = max(1, found.value.column - found.key.column)
        holder = found.value
    splicer.change(holder, dict(old), dict(new))
    return splicer.done()


@dataclass(slots=True)
class _Splicer:
    text: str
    step: int = _DEFAULT_STEP
    _edits: list[tuple[int, int, str]] = field(default_factory=list)

    @property
    def _line_end(self) -> str:
        return "\r\n" if "\r\n" in self.text else "\n"

    def done(self) -> str:
        """The text with all changes."""
        result, before = [], 0
        for start, stop, new in sorted(self._edits, key=lambda edit: edit[:2]):
            if start < before:
                raise CannotSplice("two changes meet in one place")
            result += [self.text[before:start], new]
            before = stop
        return "".join([*result, self.text[before:]])

    def change(self, node: Written, old: JsonValue, new: JsonValue) -> None:
        """Make a node that says `old` say `new`."""
        if same(old, new):
            return
        if node.kind == "map" and isinstance(old, dict) and isinstance(new, dict) and new:
            self._change_map(node, old, new)
        elif node.kind == "list" and isinstance(old, list) and isinstance(new, list) and new:
            self._change_list(node, old, new)
        else:
            self._replace(node, new)

    def _change_map(
        self, node: Written, old: dict[str, JsonValue], new: dict[str, JsonValue]
    ) -> None:
        gone = [entry for entry in node.entries if entry.name and entry.name not in new]
        self._remove(node, gone)
        kept = [entry for entry in node.entries if entry not in gone]
        added = []
        for name, value in new.items():
            found = node.entry(name)
            if found is not None:
                self.change(found.value, old.get(name), value)
            elif name not in old or not same(old[name], value):
                added.append((name, value))
        if not added:
            return
        if not kept and not node.flow:
            raise CannotSplice("nothing of it would stay; change it in two steps")
        self._add_keys(node, kept, added)

    def _add_keys(
        self, node: Written, kept: list[Entry], added: list[tuple[str, JsonValue]]
    ) -> None:
        if node.flow:
            rows = ", ".join(f"{spelling.key(n)}: {spelling.inline(v)}" for n, v in added)
            self._put_in_brackets(node, kept, rows)
            return
        column = _column(node)
        rows = "".join(
            f"{self._line_end}{' ' * column}"
            + spelling.entry(name, value, column, self.step, self._line_end)
            for name, value in added
        )
        self._insert_rows(kept[-1].value.stop, rows)

    def _put_in_brackets(self, node: Written, kept: list[Entry], rows: str) -> None:
        at = kept[-1].value.stop if kept else node.stop - 1
        self._edits.append((at, at, f", {rows}" if kept else rows))

    def _insert_rows(self, after: int, rows: str) -> None:
        """Put whole lines after the one in which something ends."""
        if after and self.text[after - 1] == "\n":  # a block of text, with its line's end
            at = len(self.text[:after].rstrip("\r\n"))
        else:
            at = self._end_of_line(after)
        self._edits.append((at, at, rows))

    def _end_of_line(self, at: int) -> int:
        end = self.text.find("\n", at)
        end = len(self.text) if end < 0 else end
        return end - 1 if end > at and self.text[end - 1] == "\r" else end

    def _remove(self, node: Written, gone: list[Entry]) -> None:
        for entry in gone:
            place = node.entries.index(entry)
            if not node.flow:
                self._remove_rows(self._begin(node, place), entry.value.stop)
            elif all(later in gone for later in node.entries[place:]):
                kept = [one for one in node.entries[:place] if one not in gone]
                start = kept[-1].value.stop if kept else node.entries[0].start
                if entry is node.entries[-1]:
                    self._edits.append((start, entry.value.stop, ""))
            else:
                self._edits.append((entry.start, node.entries[place + 1].start, ""))

    def _remove_rows(self, start: int, stop: int) -> None:
        first = self.text.rfind("\n", 0, start) + 1
        if self.text[first:start].strip():  # it begins behind a dash, or behind its holder's key
            raise CannotSplice("it shares a line with something else")
        if stop and self.text[stop - 1] == "\n":
            last = stop
        else:
            last = self._end_of_line(stop)
            last += len(self._line_end) if last < len(self.text) else 0
        self._edits.append((first, last, ""))

    def _begin(self, node: Written, place: int) -> int:
        """Where an entry of a block begins; that of a list with its dash."""
        entry = node.entries[place]
        if entry.key is not None:
            return entry.start
        before = node.entries[place - 1].value.stop if place else 0
        dash = self.text.rfind("-", before, entry.start)
        if dash < 0 or self.text[dash + 1 : entry.start].strip():
            raise CannotSplice("an item of the list is not where it is looked for")
        return dash

    def _change_list(self, node: Written, old: list[JsonValue], new: list[JsonValue]) -> None:
        entries = node.entries
        head = 0
        while head < min(len(old), len(new)) and same(old[head], new[head]):
            head += 1
        tail = 0
        most = min(len(old), len(new)) - head
        while tail < most and same(old[-1 - tail], new[-1 - tail]):
            tail += 1
        were, are = old[head : len(old) - tail], new[head : len(new) - tail]
        both = min(len(were), len(are))
        for place in range(both):
            self.change(entries[head + place].value, were[place], are[place])
        self._remove(node, entries[head + both : len(old) - tail])
        if len(are) == both:
            return
        place = head + both
        if node.flow:
            rows = ", ".join(map(spelling.inline, are[both:]))
            if place == 0 and entries:
                self._edits.append((entries[0].start, entries[0].start, f"{rows}, "))
            else:
                self._put_in_brackets(node, entries[:place], rows)
            return
        column = self._begin(node, 0) - (self.text.rfind("\n", 0, self._begin(node, 0)) + 1)
        dashed = [f"- {spelling.inline(one)}" for one in are[both:]]
        if place == 0:
            at = self._begin(node, 0)
            rows = "".join(f"{row}{self._line_end}{' ' * column}" for row in dashed)
            self._edits.append((at, at, rows))
        else:
            rows = "".join(f"{self._line_end}{' ' * column}{row}" for row in dashed)
            self._insert_rows(entries[place - 1].value.stop, rows)

    def _replace(self, node: Written, new: JsonValue) -> None:
        if isinstance(new, dict | list):
            told = spelling.inline(new)
        else:
            told = spelling.scalar(new, node.style)
        if node.start == node.stop:
            told = f" {told}"
        elif node.kind == "scalar" and node.stop and self.text[node.stop - 1] == "\n":
            told += self._line_end
        self._edits.append((node.start, node.stop, told))


def _column(node: Written) -> int:
    first = node.entries[0]
    return first.key.column if first.key is not None else first.value.column
