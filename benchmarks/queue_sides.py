"""The two sides of the queue benchmark: moonwatch's queue, and the same commands by hand.

Both move the same bytes: a JPEG, a job and a result. The JPEG is ready-made and read by nobody, or
both compress and read it; by hand, job and result are always ready-made and never read.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Protocol

import numpy as np
import redis

from connectors.queues.redis import RedisConfig
from connectors.queues.redis.pictures import Codec
from pipeline.core.answers import Boxes
from pipeline.core.clock import SystemClock
from pipeline.core.frames import Frame, Pixels
from pipeline.core.jobs import Job, Result, result_of
from pipeline.core.queues import Claim, Delivered, ResultQueue
from pipeline.core.tasks import Detect
from pipeline.core.wire import encode_job, encode_result

ENGINE = "fast"
PICTURE_BYTES = 60_000
CAMERAS_ROOM = 16
PREFIX = "bench"
SIZE_WH = (1280, 720)
_PICTURE = np.random.default_rng(0).integers(0, 256, PICTURE_BYTES, np.uint8).tobytes()
_NO_PIXELS = np.zeros((0, 0, 3), np.uint8)
_BOXES = tuple((0.1 * n, 0.2, 0.1 * n + 0.05, 0.9) for n in range(5))
_WAIT_S = 1.0
_LEASE = timedelta(hours=1)


class ReadyMade(Codec):
    """Hands out the same bytes for every picture, and no pixels for any bytes."""

    def __init__(self) -> None:
        super().__init__(90, None, lossless=False)

    def encode(self, pixels: Pixels) -> bytes:
        """The one picture there is."""
        return _PICTURE

    def decode(self, data: bytes | None) -> Pixels:
        """Nothing, at no cost."""
        return _NO_PIXELS


def a_picture() -> Pixels:
    """Blurred noise of 1280×720, which makes a JPEG of about the size of the ready-made one."""
    import cv2

    coarse = np.random.default_rng(0).integers(0, 256, (90, 160, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, SIZE_WH, interpolation=cv2.INTER_CUBIC), np.uint8)


def a_job(
    camera: str, ordinal: int, at: float, *, live: bool = False, pixels: Pixels = _NO_PIXELS
) -> Job:
    """A job of one detection."""
    # A view of its own, as every frame has pixels of its own.
    frame = Frame(camera, "run", ordinal, at, pixels.view(), SIZE_WH)
    return Job(frame, ENGINE, ordinal, (Detect("people", ENGINE, "person"),), live)


def a_result(job: Job) -> Result:
    """Five boxes."""
    return result_of(job, {"people": Boxes(ENGINE, _BOXES, (0.9,) * len(_BOXES))})


class Side(Protocol):
    """What both sides can do; `claim` and `take` return times of capture to measure latency by."""

    def put(self, camera: str, ordinal: int, at: float) -> None:
        """Put one job, waiting for room."""
        ...

    def work(self, limit: int) -> int:
        """Claim a batch, answer it at once, publish and acknowledge."""
        ...

    def finish(self, limit: int) -> list[float]:
        """Take results and acknowledge them; their times of capture."""
        ...


class Ours:
    """The queue as the stages use it."""

    def __init__(self, url: str, *, compress: bool = False, **keys: Any) -> None:
        self._pixels = a_picture() if compress else _NO_PIXELS
        codec = None if compress else ReadyMade()
        given = {"url": url, "prefix": PREFIX, "file_room": CAMERAS_ROOM} | keys
        self.queues = RedisConfig.model_validate(given).build(SystemClock(), codec)
        self._owned: ResultQueue | None = None

    def put(self, camera: str, ordinal: int, at: float) -> None:
        """Put one job, waiting for room."""
        job = a_job(camera, ordinal, at, pixels=self._pixels)
        while not self.queues.jobs.put(job, _WAIT_S).accepted:
            pass

    def work(self, limit: int) -> int:
        """Claim a batch, answer it at once, publish and acknowledge."""
        claims: Sequence[Claim] = self.queues.jobs.claim(ENGINE, limit, _WAIT_S)
        if claims:
            results = [a_result(claim.job) for claim in claims]
            while not self.queues.jobs.answer(claims, results, _WAIT_S):
                pass
        return len(claims)

    def finish(self, limit: int) -> list[float]:
        """Take results and acknowledge them; their times of capture."""
        if self._owned is None:
            self._owned = self._acquired()
        taken: Sequence[Delivered] = self._owned.take(limit, _WAIT_S)
        self._owned.acknowledge(taken)
        return [one.result.captured_at for one in taken]

    def _acquired(self) -> ResultQueue:
        """All partitions, as a processor owns them: with fencing tokens that Redis looks at."""
        results, leases = self.queues.results, self.queues.leases
        tokens = {n: leases.acquire(n, "benchmark", _LEASE) for n in range(results.partitions)}
        return results.partition({n: token for n, token in tokens.items() if token is not None})


class ByHand:
    """One stream of jobs and one of results, first in, first out; a picture in a key of its own.

    Fewer promises: no turns of cameras, no bounds but a length that is looked at, nothing kept
    together, no dead letters, no counting of who needs a picture.
    """

    def __init__(self, url: str, *, compress: bool = False, room: int = 8 * CAMERAS_ROOM) -> None:
        self._pixels = a_picture() if compress else _NO_PIXELS
        self._codec = Codec(90, None, lossless=False) if compress else ReadyMade()
        self._client: Any = redis.Redis.from_url(url, protocol=2)
        self._room = room
        self._job = encode_job(a_job("camera-0", 1, 1_700_000_000.5))
        self._result = encode_result(a_result(a_job("camera-0", 1, 1_700_000_000.5)))
        for stream, group in (("hand:jobs", "workers"), ("hand:results", "processors")):
            try:
                self._client.xgroup_create(stream, group, id="0", mkstream=True)
            except redis.ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    def put(self, camera: str, ordinal: int, at: float) -> None:
        """Put one job, waiting for room."""
        name = f"hand:picture:{camera}:{ordinal}"
        pipe = self._client.pipeline(transaction=False)
        pipe.set(name, self._codec.encode(self._pixels), px=600_000)
        pipe.xadd("hand:jobs", {"j": self._job, "x": name, "t": repr(at)})
        pipe.xlen("hand:jobs")
        length = pipe.execute()[-1]
        while length > self._room:
            SystemClock().wait(0.001)
            length = self._client.xlen("hand:jobs")

    def work(self, limit: int) -> int:
        """Claim a batch, answer it at once, publish and acknowledge."""
        read = self._client.xreadgroup(
            *("workers", "worker", {"hand:jobs": ">"}), count=limit, block=int(_WAIT_S * 1000)
        )
        if not read:
            return 0
        entries = read[0][1]
        names = [fields[b"x"] for _, fields in entries]
        for data in self._client.mget(names):
            self._codec.decode(data)
        publish = self._client.pipeline(transaction=False)
        for _, fields in entries:
            publish.xadd("hand:results", {"r": self._result, "t": fields[b"t"]})
        publish.execute()
        done = self._client.pipeline(transaction=False)
        ids = [entry for entry, _ in entries]
        done.xack("hand:jobs", "workers", *ids)
        done.xdel("hand:jobs", *ids)
        done.unlink(*names)
        done.execute()
        return len(entries)

    def finish(self, limit: int) -> list[float]:
        """Take results and acknowledge them; their times of capture."""
        read = self._client.xreadgroup(
            *("processors", "one", {"hand:results": ">"}), count=limit, block=int(_WAIT_S * 1000)
        )
        if not read:
            return []
        entries = read[0][1]
        ids = [entry for entry, _ in entries]
        done = self._client.pipeline(transaction=False)
        done.xack("hand:results", "processors", *ids)
        done.xdel("hand:results", *ids)
        done.execute()
        return [float(fields[b"t"]) for _, fields in entries]


def side(name: str, url: str, *, compress: bool) -> Side:
    """One of the two, by its name."""
    return (Ours if name == "moonwatch" else ByHand)(url, compress=compress)
