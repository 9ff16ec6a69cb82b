"""Standard output gets lines a person reads, or lines of JSON."""

import io
import json
import sys
from dataclasses import replace
from typing import Literal

import pytest

from connectors.sinks._text import readable
from connectors.sinks.stdout import StdoutConfig
from pipeline.core.errors import SinkError
from pipeline.core.events import Event, Subject
from pipeline.core.sinks import Sink, SinkContext
from tests.contracts.event_tools import an_event, odd_events
from tests.contracts.sinks import SITE, SinkContract


class TestJson(SinkContract):
    """One CloudEvent a line."""

    @pytest.fixture(autouse=True)
    def _standard_output(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.monkeypatch = monkeypatch
        self.capsys = capsys
        self.printed = ""

    def built(self) -> Sink:
        """A sink that prints JSON."""
        return StdoutConfig(format="json").build(SinkContext(SITE))

    def received(self) -> list[str]:
        """The ids on the lines."""
        self.printed += self.capsys.readouterr().out
        return [json.loads(line)["id"] for line in self.printed.split("\n") if line]

    def fail(self) -> None:
        """Let standard output be closed, as when a pipe's reader went away."""
        closed = io.StringIO()
        closed.close()
        self.monkeypatch.setattr(sys, "stdout", closed)

    def heal(self) -> None:
        """Let it be there again."""
        self.monkeypatch.undo()


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (an_event(1), "2023-11-14T22:13:21.000Z door footfall single"),
        (
            replace(
                an_event(1),
                subject=Subject("person", 7),
                data={"direction": "in", "totals": {"in": 3}, "seconds": 1 / 3, "known": None},
            ),
            "2023-11-14T22:13:21.000Z door footfall single person #7 "
            'direction=in totals={"in":3} seconds=0.333333 known=null',
        ),
        # Words from outside can neither break the line nor command the terminal.
        (
            replace(an_event(1), data={"text": "\x1b[2Jgone\nfake line", "c1": "\x9bm", "e": ""}),
            "2023-11-14T22:13:21.000Z door footfall single "
            'text="\\u001b[2Jgone\\nfake line" c1=\\x9bm e=""',
        ),
    ],
)
def test_a_line_to_read(event: Event, line: str) -> None:
    """When, where, what, who, and the rule's own words."""
    assert readable(event) == line


@pytest.mark.parametrize("kind", ["text", "json"])
def test_a_terminal_of_few_letters_is_no_trouble(
    monkeypatch: pytest.MonkeyPatch, kind: Literal["text", "json"]
) -> None:
    """What its encoding lacks is shown escaped."""
    raw = io.BytesIO()
    output = io.TextIOWrapper(raw, encoding="ascii")
    monkeypatch.setattr(sys, "stdout", output)
    StdoutConfig(format=kind).build(SinkContext(SITE)).send(odd_events())
    assert raw.getvalue().count(b"\n") == len(odd_events())
    assert b"\x1b" not in raw.getvalue()


def test_a_broken_pipe_is_a_sink_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be tried again, and says what happened."""

    class Broken(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(sys, "stdout", Broken())
    with pytest.raises(SinkError, match=r"standard output cannot be written: .*Broken pipe"):
        StdoutConfig().build(SinkContext(SITE)).send([an_event(1)])
