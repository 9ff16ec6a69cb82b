"""A changed file is taken, refused or put off as a whole; told step by step on a set clock."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.core.errors import StoreError
from pipeline.deployment.loader import read
from pipeline.deployment.model import Deployment
from pipeline.runtime.reload import DeploymentFile, Outcome, Reloader, new_request
from pipeline.testing import ManualClock

TEXT = """
version: 1
engines: {fake: {type: scripted, answers: {people: [[]]}}}
cameras:
  door:
    source: {type: rtsp, url: "rtsp://127.0.0.1:9/door"}
    tasks: {people: {detect: person, engine: fake}}
    rules: {crowd: {type: occupancy, of: people, more_than: 3}}
sinks: {log: {type: jsonl, path: events.jsonl}}
"""


@dataclass
class Bench:
    """A process with a file, and what it was made to work by."""

    path: Path
    clock: ManualClock = field(default_factory=ManualClock)
    applied: list[Deployment] = field(default_factory=list)
    asked: str | None = None
    trouble: StoreError | None = None
    others: list[str] | None = None

    def write(self, text: str) -> None:
        """Put the file in place of the one before, as editors do."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self.path)

    def apply(self, deployment: Deployment) -> None:
        """What the process does with a changed file."""
        if self.trouble is not None:
            raise self.trouble
        self.applied.append(deployment)

    def reloader(
        self,
        *,
        watch: bool = False,
        engines: Callable[[], Collection[str]] = tuple,
    ) -> Reloader:
        """As a process has one after its start."""
        file = DeploymentFile(self.path, (), read(self.path), watch)
        return Reloader(
            file,
            self.apply,
            self.clock,
            engines=engines,
            asked=lambda: self.asked,
            others=None if self.others is None else lambda: self.others or [],
        )

    def poll(self, reloader: Reloader, seconds: float = 1.0) -> Outcome | None:
        """Let a while pass, with polls in it; what became of the last request."""
        for _ in range(round(seconds / 0.1)):
            self.clock.advance(0.1)
            reloader.poll()
        return reloader.last.outcome if reloader.last is not None else None


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A process with the file above."""
    bench = Bench(tmp_path / "shop.yaml")
    bench.write(TEXT)
    return bench


def test_a_changed_file_is_applied_when_asked_for(bench: Bench) -> None:
    """Once for each request, and the version becomes that of the file."""
    reloader = bench.reloader()
    before = reloader.version
    bench.write(TEXT.replace("more_than: 3", "more_than: 5"))
    assert bench.poll(reloader) is None
    bench.asked = new_request()
    assert bench.poll(reloader, 5.0) is Outcome.APPLIED
    (now,) = bench.applied
    assert now.cameras["door"].rules["crowd"].model_dump()["more_than"] == 5
    assert reloader.version == read(bench.path).digest != before
    assert reloader.last is not None
    assert reloader.last.request == bench.asked


def test_a_file_that_says_the_same_changes_nothing(bench: Bench) -> None:
    """Comments and the order of keys are no change."""
    reloader = bench.reloader()
    bench.write(TEXT + "# a remark\n")
    bench.asked = new_request()
    assert bench.poll(reloader) is Outcome.UNCHANGED
    assert bench.applied == []


def test_a_file_with_mistakes_changes_nothing(bench: Bench) -> None:
    """All of them are said, and the next good file is taken."""
    reloader = bench.reloader()
    before = reloader.version
    bench.write(TEXT.replace("more_than: 3", "more_then: 3").replace("jsonl,", "jsonnl,"))
    bench.asked = new_request()
    assert bench.poll(reloader) is Outcome.REFUSED
    assert reloader.last is not None
    assert len(reloader.last.said) >= 2
    assert any("did you mean 'more_than'" in sentence for sentence in reloader.last.said)
    assert (bench.applied, reloader.version) == ([], before)
    bench.write(TEXT.replace("more_than: 3", "more_than: 4"))
    bench.asked = new_request()
    assert bench.poll(reloader) is Outcome.APPLIED


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("version: 1", "version: 1\nstore: {url: 'sqlite:///other.db'}", "store: "),
        ("version: 1", "version: 1\nqueue: {type: memory, file_room: 3}", "queue: "),
        ("type: scripted,", "type: scripted, max_batch: 3,", "engines.fake: "),
    ],
)
def test_what_cannot_change_at_work_is_named(bench: Bench, old: str, new: str, named: str) -> None:
    """And nothing else of the file is applied: a process works by one version as a whole."""
    reloader = bench.reloader(engines=lambda: ["fake"])
    bench.write(TEXT.replace(old, new).replace("more_than: 3", "more_than: 4"))
    bench.asked = new_request()
    assert bench.poll(reloader) is Outcome.NEEDS_RESTART
    assert reloader.last is not None
    (reason,) = reloader.last.said
    assert reason.startswith(named)
    assert "restart" in reason
    assert bench.applied == []


def test_an_engine_that_is_not_loaded_here_may_change(bench: Bench) -> None:
    """Who only samples does not care how large batches are."""
    reloader = bench.reloader()
    bench.write(TEXT.replace("type: scripted,", "type: scripted, max_batch: 3,"))
    bench.asked = new_request()
    assert bench.poll(reloader) is Outcome.APPLIED


def test_what_cannot_be_done_is_said_and_tried_when_asked_again(bench: Bench) -> None:
    """The version stays the old one until it is."""
    reloader = bench.reloader()
    before = reloader.version
    bench.write(TEXT.replace("more_than: 3", "more_than: 4"))
    bench.trouble = StoreError("the disk is full")
    bench.asked = new_request()
    assert bench.poll(reloader) is Outcome.FAILED
    assert reloader.last is not None
    assert reloader.last.said == ("the disk is full",)
    assert reloader.version == before
    bench.trouble = None
    bench.asked = new_request()
    assert bench.poll(reloader) is Outcome.APPLIED


def test_a_signal_asks_for_it(bench: Bench) -> None:
    """SIGHUP, without a request."""
    reloader = bench.reloader()
    bench.write(TEXT.replace("more_than: 3", "more_than: 4"))
    reloader.hang_up()
    assert bench.poll(reloader, 0.1) is Outcome.APPLIED


def test_a_file_is_watched_where_that_is_wanted(bench: Bench) -> None:
    """It is read once it has stayed as it is for a second, and once for each change."""
    reloader = bench.reloader(watch=True)
    bench.write(TEXT.replace("more_than: 3", "more_than: 4"))
    assert bench.poll(reloader, 1.0) is None
    bench.write(TEXT.replace("more_than: 3", "more_than: 44"))
    assert bench.poll(reloader, 1.0) is None
    assert bench.poll(reloader, 1.0) is Outcome.APPLIED
    assert len(bench.applied) == 1
    bench.write("version: 1\n")
    assert bench.poll(reloader, 3.0) is Outcome.REFUSED
    said = reloader.last
    assert bench.poll(reloader, 5.0) is Outcome.REFUSED
    assert reloader.last is said


def test_a_watched_file_may_be_away_for_a_moment(bench: Bench) -> None:
    """Some editors remove it before they write it anew."""
    reloader = bench.reloader(watch=True)
    bench.path.unlink()
    assert bench.poll(reloader, 0.8) is None
    bench.write(TEXT.replace("more_than: 3", "more_than: 4"))
    assert bench.poll(reloader, 3.0) is Outcome.APPLIED


def test_a_sampler_waits_for_those_who_judge(bench: Bench) -> None:
    """A new camera's frames come once everybody knows it, or said that he will not."""
    bench.others = ["old", "old"]
    reloader = bench.reloader()
    bench.write(TEXT.replace("more_than: 3", "more_than: 4"))
    version, bench.asked = read(bench.path).digest, new_request()
    assert bench.poll(reloader, 3.0) is None
    bench.others = [version, "old"]
    assert bench.poll(reloader, 1.0) is None
    bench.others = [version, bench.asked]
    assert bench.poll(reloader, 0.1) is Outcome.APPLIED


def test_a_sampler_does_not_wait_for_ever(bench: Bench) -> None:
    """Who is paused holds nobody up."""
    bench.others = ["old"]
    reloader = bench.reloader()
    bench.write(TEXT.replace("more_than: 3", "more_than: 4"))
    bench.asked = new_request()
    assert bench.poll(reloader, 9.0) is None
    assert bench.poll(reloader, 2.0) is Outcome.APPLIED


def test_a_later_request_takes_the_place_of_one_that_waits(bench: Bench) -> None:
    """The file is read once more, and the newer one is applied."""
    bench.others = ["old"]
    reloader = bench.reloader()
    bench.write(TEXT.replace("more_than: 3", "more_than: 4"))
    bench.asked = new_request()
    assert bench.poll(reloader, 2.0) is None
    bench.write(TEXT.replace("more_than: 3", "more_than: 5"))
    bench.asked = new_request()
    assert bench.poll(reloader) is None
    bench.others = []
    assert bench.poll(reloader) is Outcome.APPLIED
    (now,) = bench.applied
    assert now.cameras["door"].rules["crowd"].model_dump()["more_than"] == 5
