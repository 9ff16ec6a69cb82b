"""Which entities each type of rule has in Home Assistant; the table in the docs is made of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

LASTING = ("start", "update", "end")
_IN_OUT = ("in", "out")


@dataclass(frozen=True, slots=True)
class RuleEntities:
    """What is shown of a rule."""

    events: tuple[str, ...] = LASTING
    """The kinds of events that it reports; none for one that only counts."""
    alarm: str | None = None
    """The device class of what goes on or is over; None for what takes only a moment."""
    level: str | None = None
    """The measure that says how many there are now."""
    today: tuple[str, ...] = ()
    """The measures that are shown for today; `net` is what entered less what left."""
    called: Mapping[str, str] = field(default_factory=dict)
    """What some of these are called, by measure."""
    has_names: bool = False
    """Whether the file may give its directions other names, which entities then show."""


NO_ENTITIES = RuleEntities(events=())
ENTITIES: Mapping[str, RuleEntities] = {
    "line_crossing": RuleEntities(
        _IN_OUT,
        today=("entered", "left", "net", "groups_in", "groups_out", "staff_in", "staff_out"),
        called={"entered": "in", "left": "out"},
        has_names=True,
    ),
    "occupancy": RuleEntities(alarm="problem", level="mean", today=("maximum",)),
    "dwell": RuleEntities(alarm="problem", today=("entered", "left", "net", "staff_entered")),
    "count": RuleEntities(alarm="problem", level="mean", today=("maximum",)),
    "condition": RuleEntities(alarm="safety"),
    "tailgating": RuleEntities(_IN_OUT, today=("passed", "followed")),
    "absence": RuleEntities(alarm="problem", today=("absences",)),
    "queue": RuleEntities(
        alarm="problem", level="mean", today=("maximum", "joined", "served", "abandoned")
    ),
    "crowding": RuleEntities(alarm="problem", level="mean", today=("maximum",)),
    "wrong_way": RuleEntities(("in", "out", "single"), today=("wrong", "right")),
    "heat_map": RuleEntities((), today=("person_s",)),
    "parking": RuleEntities(alarm="problem", level="mean", today=("parked", "left", "maximum")),
    "speed": RuleEntities(alarm="problem", today=("passed", "over", "fastest")),
    "left_object": RuleEntities(alarm="problem", level="mean", today=("left", "maximum")),
    "removed_object": RuleEntities(("single",), today=("removed",)),
}


def table() -> Iterator[str]:
    """The table of the documentation, line by line."""
    yield "| rule | entities |"
    yield "|---|---|"
    for name, one in sorted(ENTITIES.items()):
        parts = []
        if one.level is not None:
            parts.append("`now` (sensor), `occupied` (binary sensor, occupancy)")
        if one.alarm is not None:
            parts.append(f"`alarm` (binary sensor, {one.alarm})")
        if one.today:
            words = ", ".join(f"`{one.called.get(word, word)}`" for word in one.today)
            parts.append(f"today: {words} (sensors)")
        if one.today or one.level:
            parts.append("`coverage` (sensor)")
        if one.events:
            named = ", or their `names`" if one.has_names else ""
            parts.append(f"`event` ({', '.join(one.events)}{named})")
        yield f"| `{name}` | {'; '.join(parts)} |"
