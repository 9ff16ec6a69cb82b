"""Moondream in this process, answering a benchmark in one running batch.

Imported only when it is used: it needs torch.
"""

import hashlib
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pipeline import moondream
from pipeline.benchmarking.items import (
    Ask,
    BenchmarkError,
    BenchmarkItem,
    FindPoints,
    ItemAnswer,
    Json,
    PictureWork,
    Question,
)
from pipeline.benchmarking.pictures import PictureDataError, decoded
from pipeline.moondream.checkpoints.models import find_model
from pipeline.moondream.skills.objects import distinct

if TYPE_CHECKING:
    from pipeline.moondream.batch.strands import RequestTicket

# Requests beside those that run, so that a row which ends is followed by another at once.
AHEAD = 2


@dataclass(slots=True, eq=False)
class _AskedItem:
    item: BenchmarkItem
    tickets: "list[RequestTicket]"
    asked_at: float


class LocalAnswerer:
    """Answers with the model in this process; `batch` requests run at the same time."""

    gives_raw_boxes = True

    def __init__(
        self,
        model: "moondream.Moondream",
        facts: Mapping[str, Json],
        batch: int,
        max_crops: int | None = None,
    ) -> None:
        self.facts = facts
        self._model = model
        self._most = batch * AHEAD
        self._max_crops = max_crops

    def answer(self, works: Iterable[PictureWork]) -> Iterator[ItemAnswer]:
        """Feed the running batch and give each answer as soon as it is complete."""
        waiting = iter(works)
        running: deque[_AskedItem] = deque()
        asked, is_over = 0, False
        try:
            while True:
                while not is_over and asked < self._most:
                    work = next(waiting, None)
                    if work is None:
                        is_over = True
                        break
                    try:
                        started = self._start(work)
                    except PictureDataError as error:
                        yield from (ItemAnswer(i, {"failed": str(error)}, 0.0) for i in work.items)
                        continue
                    running += started
                    asked += sum(len(one.tickets) for one in started)
                if not running:
                    return
                self._model.engine.step()
                now = time.monotonic()
                for one in [one for one in running if all(t.is_done for t in one.tickets)]:
                    running.remove(one)
                    asked -= len(one.tickets)
                    yield ItemAnswer(one.item, _found(one), 1000 * (now - one.asked_at))
        # torch says RuntimeError for what the device cannot do, too little memory above all.
        except (moondream.MoondreamError, RuntimeError) as error:
            raise BenchmarkError(
                f"the model cannot go on: {error}; with --out the same command goes on from here, "
                "and a smaller --batch takes less memory"
            ) from error
        finally:
            for one in running:
                for ticket in one.tickets:
                    ticket.cancel()

    def _start(self, work: PictureWork) -> list[_AskedItem]:
        requests = [[_request(ask) for ask in item.asks] for item in work.items]
        tickets = iter(
            self._model.engine.submit(
                decoded(work.encoded), [one for each in requests for one in each], self._max_crops
            )
        )
        now = time.monotonic()
        return [_AskedItem(item, [next(tickets) for _ in item.asks], now) for item in work.items]

    def close(self) -> None:
        """End the threads of the model; it answers nothing any more."""
        self._model.engine.close()


def _request(ask: Ask) -> "moondream.Request":
    if isinstance(ask, Question):
        return moondream.QueryRequest(
            ask.prompt,
            reasoning=ask.reasoning,
            max_tokens=ask.max_tokens,
            temperature=ask.temperature,
            seed=ask.seed,
        )
    if isinstance(ask, FindPoints):
        return moondream.PointRequest(ask.label)
    return moondream.DetectRequest(ask.label, raw=True)


def _found(one: _AskedItem) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for ticket in one.tickets:
        result = ticket.result
        if isinstance(result, moondream.TextResult):
            found |= {"text": result.text, "finish": result.finish}
            if result.reasoning is not None:
                found["reasoning"] = result.reasoning.text
        elif isinstance(result, moondream.PointResult):
            rows = np.column_stack([result.points_xy, result.scores])
            found["points"] = rows.round(6).tolist()
        elif isinstance(result, moondream.DetectResult):
            found |= _both_ways(result)
        else:
            reason = getattr(result, "reason", "no answer")
            found["failed"] = f"{found['failed']}; {reason}" if "failed" in found else reason
    return found


def _both_ways(result: "moondream.DetectResult") -> dict[str, Json]:
    """The boxes as the model gave them, and as `detect` gives them without `raw`."""
    clamped = result.boxes_xyxy.clip(0, 1)
    kept = distinct(clamped, result.scores)
    raw = np.column_stack([result.boxes_xyxy, result.scores])
    usual = np.column_stack([clamped[kept], result.scores[kept]])
    return {"raw": raw.round(6).tolist(), "boxes": usual.round(6).tolist()}


def load_local(
    model: str,
    revision: str | None,
    *,
    device: str,
    dtype: str,
    resizer: Literal["auto", "pillow", "vips"],
    max_crops: int | None,
    batch: int,
) -> LocalAnswerer:
    """Load the model; raises BenchmarkError with a sentence."""
    try:
        loaded = moondream.Moondream.load(
            model, revision, device, dtype, resizer=resizer, max_batch=batch
        )
    # torch says RuntimeError or AssertionError for a device it does not have.
    except (moondream.MoondreamError, RuntimeError, AssertionError) as error:
        raise BenchmarkError(f"the model {model} cannot be loaded: {error}") from error
    facts: dict[str, Any] = {
        "engine": "local",
        "model": model,
        "weights": _weights(model, revision, loaded.language.release.name),
        "release": loaded.language.release.name,
        "device": loaded.device.type,
        "dtype": str(loaded.dtype).removeprefix("torch."),
        "resizer": loaded.resizer,
        "max_crops": max_crops,
    }
    return LocalAnswerer(loaded, facts, batch, max_crops)


def _weights(model: str, revision: str | None, release: str) -> str:
    """What identifies the weights: the commit they are of, or the hash of a folder's file."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        with (folder / "model.safetensors").open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    commit = (revision or "").partition("@")[2]
    known = find_model(model, release)
    return commit or (known.weights.revision if known else revision or "unknown")
