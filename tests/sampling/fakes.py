"""Pictures made of numbers, and a source that plays a script, for the tests of sampling."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import cv2
import numpy as np

from connectors.queues.memory import MemoryConfig
from pipeline.core.answers import Failed
from pipeline.core.clock import Clock
from pipeline.core.frames import Grey, Picture, Pixels
from pipeline.core.jobs import Job, Result
from pipeline.core.measures import Health
from pipeline.core.queues import Queues
from pipeline.core.sources import Need
from pipeline.core.tasks import Ask, Detect
from pipeline.sampling.camera import Camera, SamplerContext
from pipeline.sampling.config import SampleConfig
from pipeline.sampling.health import CameraHealth
from pipeline.sampling.loop import CameraLoop
from pipeline.sampling.sampler import Sampler
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock, patience

PEOPLE = Detect("people", "fast", "person")
DOOR = Ask("door", "slow", "Is the door open?", answers="yes/no")
START = 1_700_000_000.0
Step = Picture | Exception | Callable[[], object]
Script = Sequence[Step]


@dataclass(frozen=True)
class PaintedPicture:
    """A picture of given pixels; counts how often they were converted."""

    pixels: Pixels
    captured_at: float = START
    conversions: list[tuple[int, int] | None] = field(default_factory=list)

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height."""
        return self.pixels.shape[1], self.pixels.shape[0]

    def rgb(self, size_wh: tuple[int, int] | None = None) -> Pixels:
        """A fresh copy, scaled like a camera's would be."""
        self.conversions.append(size_wh)
        if size_wh is None:
            return self.pixels.copy()
        return np.asarray(cv2.resize(self.pixels, size_wh, interpolation=cv2.INTER_AREA), np.uint8)

    def grey(self, size_wh: tuple[int, int]) -> Grey:
        """The luminance, averaged over what a pixel covers."""
        grey = cv2.cvtColor(self.pixels, cv2.COLOR_RGB2GRAY)
        return np.asarray(cv2.resize(grey, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def painted(at: float = 0.0, level: int = 128, size_wh: tuple[int, int] = (64, 48)) -> Picture:
    """A picture of one level, `at` seconds after the start."""
    pixels = np.full((size_wh[1], size_wh[0], 3), level, np.uint8)
    return PaintedPicture(pixels, START + at)


def every(seconds: float, count: int, first: float = 0.0) -> list[Picture]:
    """Pictures of changing level at a steady rate."""
    return [painted(first + n * seconds, level=60 + n % 100) for n in range(count)]


class ScriptedSource:
    """Plays one script for each time it is opened, and the last one again after that.

    A script holds pictures, errors to raise (as its first entry: on opening), and functions to
    call. A live source waits for ever at the end of a script, as a camera does that says nothing.
    """

    def __init__(
        self,
        *scripts: Script,
        live: bool = False,
        losses: Mapping[str, int] | None = None,
        deaf: bool = False,
    ) -> None:
        self.live = live
        self.opened = 0
        self.closed = 0
        self.need: Need | None = None
        self._scripts = scripts
        self._losses = losses or {}
        self._deaf = deaf
        self._closing = threading.Event()

    @property
    def run(self) -> str:
        """New at each opening of a live one."""
        return f"live-{self.opened}" if self.live else "file"

    def open(self, need: Need) -> None:
        """Start the next script."""
        self.need = need
        self.opened += 1
        self._closing.clear()
        first = next(iter(self._script()), None)
        if isinstance(first, Exception):
            raise first

    def pictures(self) -> Iterator[Picture]:
        """What the script holds."""
        for entry in self._script():
            if isinstance(entry, Exception):
                raise entry
            if callable(entry):
                entry()
            else:
                yield entry
        if self.live:
            self._closing.wait(patience(60))

    def counters(self) -> Mapping[str, int]:
        """What it is told to have lost, the same each time it is opened."""
        return self._losses

    def close(self) -> None:
        """End a wait."""
        self.closed += 1
        if not self._deaf:
            self._closing.set()

    def _script(self) -> Script:
        return self._scripts[min(self.opened, len(self._scripts)) - 1]


@dataclass(frozen=True)
class Reconnect:
    """An operator's wishes."""

    first: timedelta
    most: timedelta


@dataclass
class Bench:
    """Everything around a camera under test."""

    clock: Clock = field(default_factory=lambda: ManualClock(START))
    metrics: Metrics = field(default_factory=Metrics)
    said: list[Health] = field(default_factory=list)
    config: MemoryConfig = field(default_factory=lambda: MemoryConfig(file_room=10_000))

    def __post_init__(self) -> None:
        """Build the queue."""
        self.queues: Queues = self.config.build(self.clock)
        self.front = self.queues

    @property
    def outside(self) -> SamplerContext:
        """What the parts under test are given."""
        return SamplerContext(self.front, self.said.append, self.metrics, self.clock)

    def jobs(self, engine: str = "fast") -> list[Job]:
        """The jobs that wait for an engine, taken."""
        claims = self.queues.jobs.claim(engine, 10_000, 0)
        return [claim.job for claim in claims]

    def results(self) -> list[Result]:
        """The results that wait, taken."""
        return [delivered.result for delivered in self.queues.results.take(10_000, 0)]

    def times(self, engine: str = "fast") -> list[float]:
        """Seconds after the start of an engine's jobs, taken."""
        return [round(job.frame.captured_at - START, 3) for job in self.jobs(engine)]

    def dropped(self, reason: str, camera: str = "door") -> float:
        """How many frames were dropped for a reason."""
        return self.metrics.value("moonwatch_frames_dropped_total", camera=camera, reason=reason)

    def states(self) -> list[str]:
        """The camera's comings and goings, in order."""
        return [health.state for health in self.comings()]

    def comings(self) -> list[Health]:
        """What was said of the camera, but for what its picture looks like."""
        return [health for health in self.said if health.state in ("online", "offline")]


def camera(
    source: ScriptedSource, name: str = "door", max_side: int | None = None, **sample: object
) -> Camera:
    """A camera asked for people in every frame."""
    config = SampleConfig.model_validate({"every": "500ms"} | sample)
    return Camera(name, source, config, ((PEOPLE, None),), max_side)


def sampled(bench: Bench, file_camera: Camera, stop: threading.Event | None = None) -> None:
    """Play a file's camera to its end, in this thread."""
    CameraLoop(file_camera, bench.outside, stop or threading.Event()).run()


def offered(bench: Bench, live_camera: Camera, pictures: Iterable[Picture]) -> Sampler:
    """Offer pictures to a camera's sampler, in this thread."""
    health = CameraHealth(live_camera.name, bench.outside.on_health, bench.metrics)
    sampler = Sampler(live_camera, bench.outside, health, threading.Event())
    sampler.begin("run-1")
    for picture in pictures:
        sampler.offer(picture)
    return sampler


def reasons(results: Sequence[Result]) -> set[str]:
    """Why results failed."""
    answers = [answer for result in results for answer in result.answers.values()]
    return {answer.reason for answer in answers if isinstance(answer, Failed)}
