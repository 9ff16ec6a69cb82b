"""What every sink's config has: which events it gets, and how long they are tried for."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from connectors.sinks._templates import TemplateUse, TextTemplate
from pipeline.core.config import Config, PositiveDuration, parse_duration
from pipeline.core.errors import SinkError, StoreError
from pipeline.core.events import PHASES, Event, Phase
from pipeline.core.sinks import ReadsFile, SinkContext
from pipeline.core.verifying import Outcome


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Listed = BeforeValidator(_listed)
"""One alone needs no list."""

Names = Annotated[tuple[str, ...], Listed]
"""Names of rules, cameras or event types, `*` and `?` allowed; one alone needs no list."""

Outcomes = Annotated[tuple[Outcome, ...], BeforeValidator(_listed), Field(min_length=1)]
"""Outcomes of second looks; one alone needs no list."""

Phases = Annotated[tuple[Phase, ...], Listed, Field(min_length=1)]
"""Phases of happenings; one alone needs no list."""


def report_file(event: Event, read: ReadsFile) -> bytes:
    """The file of a report; SinkError where it is gone, or cannot be read now."""
    reference = event.media[0] if event.media else ""
    try:
        content = read(reference)
    except StoreError as error:
        raise SinkError(f"the report's file cannot be read: {error}") from error
    if content is None:
        raise SinkError(
            f"the report's file {reference} is gone from the media folder; make it again with "
            "`moonwatch report`",
            retryable=False,
        )
    return content


class BaseSinkConfig(Config):
    """Fields that all sinks share."""

    only: Names = ()
    """Rules, cameras or types whose events are wanted; all unless given."""
    without: Names = Field((), alias="not")
    """Rules, cameras or types whose events are not wanted; written `not:`."""
    phases: Phases = PHASES
    """Which phases of happenings are wanted, such as `[start, single]` for what begins; by default
    all. Reports are not concerned."""
    verified: Outcomes = ("confirmed", "unverified")
    """Which events of rules with `verify` are wanted, by the outcome: by default all that are not
    rejected. Other events have none, and are not concerned."""
    give_up_after: PositiveDuration = Field(default_factory=lambda: parse_duration("7d"))
    """How long delivery of an event is retried while the sink does not answer."""
    deliver_within: PositiveDuration | None = None
    """How long a `run` whose recordings have all ended stays for this sink to accept what is left;
    as long as it accepts events unless given."""
    from_: Literal["now", "beginning"] = Field("now", alias="from")
    """Where a sink begins that is new to the store: with what happens from now on, or with the
    oldest event that is kept. A sink under another name is a new one."""

    @property
    def from_beginning(self) -> bool:
        """Whether a new sink gets what was kept before it came."""
        return self.from_ == "beginning"

    @property
    def health_phases(self) -> tuple[Phase, ...] | None:
        """Which phases of trouble with cameras are wanted, where those are not `phases`."""
        return None

    @property
    def words_trouble_itself(self) -> bool:
        """Whether trouble with cameras is told without the file's templates."""
        return False

    @property
    def at_once(self) -> int:
        """How many events are sent together, at most."""
        return 100

    def template_uses(self) -> Iterator[TemplateUse]:
        """Its templates, which are tried on sample events when the file is checked."""
        for name, info in type(self).model_fields.items():
            value = getattr(self, name)
            if isinstance(value, TextTemplate):
                yield TemplateUse((info.alias or name,), value)

    @property
    def skipped_after(self) -> timedelta | None:
        """How old an event may be when its turn comes; older ones are skipped. None for any age."""
        return None

    def trouble_with_names(
        self, site: str, rules: Mapping[str, Sequence[str]], sequences: Sequence[str]
    ) -> Iterator[str]:
        """Names of cameras (each with those of its rules) and sequences that cannot go together."""
        yield from ()

    @property
    def needs_links(self) -> bool:
        """Whether the file asks for links to pictures, so that something has to serve them."""
        return False

    def resource(self) -> str | None:
        """What no other sink may use too, such as a file's absolute path."""
        return None

    def probe(self, context: SinkContext) -> str | None:
        """Try whether events would be taken, without sending one.

        What was found, as the end of a sentence; None where that cannot be tried. Raises SinkError.
        """
        return None

    @property
    def is_file(self) -> bool:
        """Whether events go to files of this machine, or its output: nothing else is sent there."""
        return False
