"""YAML text as it is written: every value with the piece of the text that it stands in.

Aliases are not followed, so that a text is never larger than itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml

_loader: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
_MERGE = "<<"

Kind = Literal["scalar", "map", "list", "alias"]


@dataclass(slots=True)
class Written:
    """A value and where in the text it stands, in characters."""

    kind: Kind
    start: int
    column: int
    stop: int = 0
    """Its end; of a map or list that is not in brackets, that of what is last in it."""
    flow: bool = False
    """In brackets or braces."""
    style: str = ""
    """The quote around a text, or `|` and `>`; empty for a plain one."""
    text: str = ""
    """What a scalar says."""
    entries: "list[Entry]" = field(default_factory=list)

    def entry(self, name: str) -> "Entry | None":
        """The entry of a map under a name."""
        return next((one for one in self.entries if one.key is not None and one.name == name), None)


@dataclass(slots=True)
class Entry:
    """A key with its value, or an item of a list."""

    key: Written | None
    value: Written

    @property
    def name(self) -> str:
        """What the key says; empty for an item of a list and for `<<`."""
        if self.key is None or (self.key.text == _MERGE and not self.key.style):
            return ""
        return self.key.text

    @property
    def start(self) -> int:
        """Where it begins; that of an item is after its dash."""
        return self.value.start if self.key is None else self.key.start


def read_written(text: str) -> Written | None:
    """The tree of a text that can be read, see `read_yaml`; None where it is empty."""
    events = iter(yaml.parse(text, Loader=_loader))
    for event in events:
        if isinstance(event, yaml.NodeEvent):
            return _value(event, events)
    return None


def _value(event: Any, events: Iterator[Any]) -> Written:
    begin: Any = event.start_mark
    end: Any = event.end_mark
    start, column = begin.index, begin.column
    if isinstance(event, yaml.AliasEvent):
        return Written("alias", start, column, end.index, text=str(event.anchor))
    if isinstance(event, yaml.ScalarEvent):
        style = event.style or ""
        return Written("scalar", start, column, end.index, style=style, text=str(event.value))
    is_map = isinstance(event, yaml.MappingStartEvent)
    found = Written("map" if is_map else "list", start, column, flow=bool(event.flow_style))
    ending = yaml.MappingEndEvent if is_map else yaml.SequenceEndEvent
    while not isinstance(following := next(events), ending):
        key = _value(following, events) if is_map else None
        value = _value(next(events) if is_map else following, events)
        found.entries.append(Entry(key, value))
    if found.flow or not found.entries:
        ending_mark: Any = following.end_mark
        found.stop = ending_mark.index
    else:
        found.stop = found.entries[-1].value.stop
    return found
