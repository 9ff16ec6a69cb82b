"""A deployment of real parts whose every part can stop, and time that only moves when told."""

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from connectors.stores import StoreConfig
from pipeline.core.answers import Answer, Failed, Text
from pipeline.core.events import Event
from pipeline.core.frames import Picture, Pixels
from pipeline.core.measures import Health
from pipeline.core.sources import CameraClockState, Need
from pipeline.core.tasks import Task
from pipeline.deployment.loader import load
from pipeline.inference.engines.batching import BatchingEngine
from pipeline.inference.engines.scripted import Scripted
from pipeline.inference.worker import EngineLane, Worker
from pipeline.processing.processor import Processor, ProcessorContext
from pipeline.processing.snapshots import Snapshots
from pipeline.runtime.assembly import camera_of, plans_of
from pipeline.runtime.reports import Report
from pipeline.runtime.stages.processing import judging_facts
from pipeline.runtime.stages.sampling import HealthPost
from pipeline.runtime.watching import CameraWatches, Elsewhere, elsewhere_of
from pipeline.sampling.camera import SamplerContext
from pipeline.sampling.loop import CameraLoop
from pipeline.telemetry.figures import figures_of
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock, patience
from tests.runtime.clips import written
from tests.sampling.fakes import START, painted

STEP_S = 0.5


class FedSource:
    """A live camera that gives what it is fed, picture by picture."""

    live = True

    def __init__(self) -> None:
        self._fed: queue.Queue[Picture | None] = queue.Queue()
        self._open = threading.Event()
        self.opened = 0
        self.camera_clock: CameraClockState | None = None

    @property
    def run(self) -> str:
        """New at each opening."""
        return f"live-{self.opened}"

    def open(self, need: Need) -> None:
        """Begin."""
        self.opened += 1
        self._open.set()

    def pictures(self) -> Iterator[Picture]:
        """What it is fed until it is closed."""
        while (picture := self._fed.get()) is not None:
            yield picture
            self._fed.task_done()
        self._fed.task_done()

    def counters(self) -> Mapping[str, int]:
        """Nothing is ever lost."""
        return {}

    def close(self) -> None:
        """End the wait for the next picture."""
        self._fed.put(None)

    def feed(self, picture: Picture) -> None:
        """Give one picture, and return once it was dealt with."""
        assert self._open.wait(patience(10))
        self._fed.put(picture)
        self._fed.join()


class Scene:
    """One live camera, its engines, a processor and a store, moved on half a second at a time."""

    def __init__(self, folder: Path, tasks: dict[str, Any] | None = None, **sample: Any) -> None:
        """`tasks` are asked of engines `fast` and `slow`."""
        tasks = tasks or {"door": {"ask": "Is it open?", "engine": "fast"}}
        engines = {task["engine"] for task in tasks.values()}
        answers = {task: ["no"] for task in tasks}
        content = {
            "version": 1,
            "store": {"url": f"sqlite:///{folder}/events.db"},
            "engines": {
                name: {"type": "scripted", "answers": answers, "max_batch": 4, "max_wait": "0s"}
                for name in sorted(engines)
            },
            "cameras": {
                "door": {
                    "source": {"type": "rtsp", "url": "rtsp://127.0.0.1:9/door"},
                    "sample": {"every": "500ms", "offline_after": "10s", **sample},
                    "tasks": tasks,
                }
            },
        }
        self.deployment = load(written(folder, content))
        self.clock = ManualClock(START)
        self.metrics = Metrics()
        self.queues: Any = self.deployment.queue.build(self.clock)
        self.source = FedSource()
        self._post = HealthPost(self.queues.results)
        camera = replace(camera_of(self.deployment, "door", self.clock, {}), source=self.source)
        outside = SamplerContext(self.queues, self._post.send, self.metrics, self.clock)
        self._loop = CameraLoop(camera, outside)
        self._thread = threading.Thread(target=self._loop.run, daemon=True)
        self.failing: dict[str, str] = {}
        """Why each task fails now."""
        self._workers = {name: self._worker(name) for name in sorted(engines)}
        self.dead_engines: set[str] = set()
        self.engine_does = 100
        """How many frames an engine answers in half a second."""
        self.store = StoreConfig(url=f"sqlite:///{folder}/events.db").build(self.clock)
        self._folder = folder
        self.processor: Processor | None = self._new_processor()
        self.queue_trouble: str | None = None
        self.reads_reports = True
        self.watches = CameraWatches(
            self.metrics, self.clock, self._beyond, lambda: self.queue_trouble
        )
        self._pictures = 0
        self._looked_at = 0.0

    def __enter__(self) -> "Scene":
        """Open the camera."""
        self._thread.start()
        return self

    def __exit__(self, *_exit: object) -> None:
        """Close everything."""
        self._loop.tell_to_stop()
        while self._thread.is_alive():
            self._loop.interrupt()
            self._thread.join(0.05)
        for _, model in self._workers.values():
            model.close()
        self.store.close()

    @property
    def numbered(self) -> tuple[str, Mapping[str, int]]:
        """As the camera's loop has it."""
        return self._loop.numbered

    @property
    def reported(self) -> Sequence[Health]:
        """What the camera's own thread says of it."""
        return self._post.troubles

    @property
    def is_read(self) -> bool:
        """It is live."""
        return False

    def note(self, health: Health) -> None:
        """Pass on what its watch found."""
        self._post.send(health, 0.0)

    def pass_time(
        self, seconds: float, picture: Callable[[int], Picture | None] | None = None
    ) -> None:
        """Let everything that is alive work for so long; `picture` makes the n-th picture."""
        for _ in range(round(seconds / STEP_S)):
            self.clock.advance(STEP_S)
            self._pictures += 1
            shown = (picture or self.lively)(self._pictures)
            if shown is not None:
                self.source.feed(shown)
            self._work()
            self._loop.look_for_quiet()
            if self.clock.monotonic() - self._looked_at >= 1.0:
                self._looked_at = self.clock.monotonic()
                self.watches.look({"door": self}, self.deployment)

    def lively(self, number: int) -> Picture:
        """A picture of this moment, unlike the one before."""
        return painted(self.clock.now() - START, level=60 + number % 100)

    def kill_processor(self) -> None:
        """Nobody judges from now on."""
        self.processor = None

    def start_processor(self) -> None:
        """Somebody judges again, from where the last one was."""
        self.processor = self._new_processor()
        self.processor.resume()

    def states(self) -> list[str]:
        """What is wrong with the camera, as reports say it."""
        return [str(trouble["state"]) for trouble in self.watches.wellness.get("door", ())]

    def sentence(self) -> str:
        """The same in words."""
        return self.watches.unwell().get("door", "")

    def is_well(self) -> bool:
        """What the metric says."""
        return self.metrics.value("moonwatch_camera_well", camera="door") == 1

    def events(self) -> list[tuple[str, str]]:
        """Type and phase of every event about the camera, in order."""
        return [(one.type, one.phase) for one in self.kept()]

    def kept(self) -> list[Event]:
        """Every event about the camera."""
        return [one.event for one in self.store.events_after(0, 1000) if one.event.rule == "camera"]

    def _work(self) -> None:
        for name, (worker, _) in self._workers.items():
            if name in self.dead_engines:
                continue
            for _ in range(self.engine_does):
                fed = worker.feed(0.0)
                if not fed:
                    break
                while fed:
                    fed -= worker.hand_on(patience(10))
        if self.processor is not None:
            while self.processor.step(0.0):
                pass

    def _beyond(self) -> Elsewhere | None:
        if not self.reads_reports:
            return None
        alive = [name for name in self._workers if name not in self.dead_engines]
        worker = Report(
            "inference", "", 1, 0.0, engines=alive, figures=figures_of(self.metrics, ["door"])
        )
        reports = {"worker": worker}
        if self.processor is not None:
            facts = judging_facts(self.processor)
            reports["processor"] = Report("processing", "", 2, 0.0, **facts)
        return elsewhere_of(reports)

    def _worker(self, name: str) -> tuple[Worker, BatchingEngine]:
        def script(pixels: Pixels, task: Task) -> Answer:
            reason = self.failing.get(task.id)
            return Failed(task.engine, reason) if reason else Text(task.engine, "no", 0.0)

        engine = BatchingEngine(Scripted(script), 1, 0.0, self.clock)
        lane = EngineLane(name, engine, 1, 60.0)
        return Worker(lane, self.queues.jobs, self.metrics, self.clock), engine

    def _new_processor(self) -> Processor:
        media = self.deployment.store.build_media()
        snapshots = Snapshots(self.queues.shelf, media)
        context = ProcessorContext(
            self.queues.results, self.store, snapshots, self.metrics, self.clock
        )
        return Processor(plans_of(self.deployment), context)
