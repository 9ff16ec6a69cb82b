"""The model as users see it: load it, give it pictures and requests, get results.

It chooses a device and a precision; the engine does the work.
"""

import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

import numpy as np
import torch

from pipeline.moondream.checkpoint import open_checkpoint
from pipeline.moondream.engine import EngineOptions, MoondreamBatcher
from pipeline.moondream.errors import MoondreamError, RequestError
from pipeline.moondream.graphs import GraphCounts
from pipeline.moondream.models import DEFAULT_MODEL
from pipeline.moondream.network import Network
from pipeline.moondream.skills.base import Language
from pipeline.moondream.strands import RequestTicket
from pipeline.moondream.types import (
    MAX_OBJECTS,
    CaptionRequest,
    CountRequest,
    CountResult,
    DetectRequest,
    DetectResult,
    FailedResult,
    PointRequest,
    PointResult,
    QueryRequest,
    Request,
    Result,
    TextResult,
)
from pipeline.moondream.variant import read_variant

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    OnePicture = NDArray[np.uint8] | Image

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

_ResultT = TypeVar("_ResultT", DetectResult, PointResult, CountResult, TextResult)


class Moondream:
    """Moondream 2 with its engine; threads may share it, and their requests then run together.

    Pictures are uint8 RGB arrays (H, W, 3) or PIL images. The convenience methods take one
    picture and return one result, or a list and return a list; they raise MoondreamError where a
    request fails, while `answer` returns a `FailedResult` in the place of each failure.
    """

    def __init__(
        self, network: Network, language: Language, options: EngineOptions | None = None
    ) -> None:
        self.language = language
        self.dims = network.dims
        self.device, self.dtype = network.device, network.dtype
        self.engine = MoondreamBatcher(network, language, options)
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls,
        model: str | Path = DEFAULT_MODEL,
        revision: str | None = None,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "auto",
        variant: str | Path | None = None,
        **options: Any,
    ) -> Self:
        """Load a Hugging Face repository or a local folder.

        Args:
            model: a repository name, or a folder with model.safetensors and tokenizer.json.
            revision: a release such as "2025-06-21" (the default), or a commit.
            device: "auto" uses CUDA, else Apple's mps, else the CPU.
            dtype: "auto" keeps the file's precision on an accelerator, float32 on a CPU.
            variant: a LoRA file to apply.
            options: the fields of EngineOptions, such as `max_batch`.

        Raises:
            CheckpointError: with a sentence about what does not fit.
        """
        place = choose_device(device)
        checkpoint = open_checkpoint(model, revision)
        precision = choose_dtype(dtype, place, checkpoint.stored_dtype)
        state = checkpoint.read(place, precision)
        extra = None
        if variant is not None:
            if not checkpoint.release.extras:
                raise RequestError(f"release {checkpoint.release.name} takes no variant")
            extra = read_variant(Path(variant), checkpoint.dims.text, place, precision)
        with torch.inference_mode():
            network = Network.from_state(state, checkpoint.dims, checkpoint.release, extra)
        language = Language(checkpoint.release, checkpoint.tokenizer, checkpoint.dims)
        return cls(network, language, EngineOptions(**options))

    def answer(
        self,
        work: "Sequence[tuple[OnePicture | None, Sequence[Request]]]",
        max_crops: int | None = None,
    ) -> list[list[Result]]:
        """Answer many requests about many pictures in one batch, each picture encoded once.

        Results are in the order of the requests. `max_crops` limits the local crops of each
        picture; 1 uses only the global view, which is fastest and coarsest.
        """
        with self._lock:
            receipts = [
                self.engine.submit(picture, requests, max_crops) for picture, requests in work
            ]
        try:
            self._finish([ticket for tickets in receipts for ticket in tickets])
        except BaseException:
            for tickets in receipts:
                for ticket in tickets:
                    ticket.cancel()
            raise
        return [[_result_of(ticket) for ticket in tickets] for tickets in receipts]

    def graph_counts(self) -> GraphCounts:
        """Return how many cycles ran as captured CUDA graphs since loading, and the rest."""
        return self.engine.graph_counts()

    def stream(
        self,
        image: "OnePicture | None",
        request: QueryRequest | CaptionRequest,
        max_crops: int | None = None,
    ) -> Generator[str, None, None]:
        """Yield the text of an answer or a caption in pieces, as it becomes certain."""
        with self._lock:
            (ticket,) = self.engine.submit(image, [request], max_crops)
        given = 0
        try:
            while True:
                is_done = ticket.is_done
                for piece in ticket.pieces[given:]:
                    given += 1
                    yield piece
                if is_done:
                    break
                with self._lock:
                    if not ticket.is_done:
                        self.engine.step()
        finally:
            ticket.cancel()
        if isinstance(ticket.result, FailedResult):
            raise MoondreamError(ticket.result.reason)

    @overload
    def detect(
        self, images: "OnePicture", label: str, max_objects: int = ..., raw: bool = ...
    ) -> DetectResult: ...
    @overload
    def detect(
        self, images: "Sequence[OnePicture]", label: str, max_objects: int = ..., raw: bool = ...
    ) -> list[DetectResult]: ...
    def detect(
        self, images: Any, label: str, max_objects: int = MAX_OBJECTS, raw: bool = False
    ) -> DetectResult | list[DetectResult]:
        """Return boxes around everything `label` names."""
        return self._each(images, DetectRequest(label, max_objects, raw), DetectResult)

    @overload
    def point(self, images: "OnePicture", label: str, max_objects: int = ...) -> PointResult: ...
    @overload
    def point(
        self, images: "Sequence[OnePicture]", label: str, max_objects: int = ...
    ) -> list[PointResult]: ...
    def point(
        self, images: Any, label: str, max_objects: int = MAX_OBJECTS
    ) -> PointResult | list[PointResult]:
        """Return one point on everything `label` names."""
        return self._each(images, PointRequest(label, max_objects), PointResult)

    @overload
    def count(self, images: "OnePicture", label: str, **how: Any) -> CountResult: ...
    @overload
    def count(
        self, images: "Sequence[OnePicture]", label: str, **how: Any
    ) -> list[CountResult]: ...
    def count(self, images: Any, label: str, **how: Any) -> CountResult | list[CountResult]:
        """Return how many of `label` there are; `how` are the other fields of `CountRequest`."""
        return self._each(images, CountRequest(label, **how), CountResult)

    @overload
    def query(self, images: "OnePicture | None", question: str, **how: Any) -> TextResult: ...
    @overload
    def query(
        self, images: "Sequence[OnePicture]", question: str, **how: Any
    ) -> list[TextResult]: ...
    def query(self, images: Any, question: str, **how: Any) -> TextResult | list[TextResult]:
        """Return the answer to a question about a picture, or without one (None).

        `how` are the other fields of `QueryRequest`, such as `reasoning` and `choices`.
        """
        return self._each(images, QueryRequest(question, **how), TextResult)

    @overload
    def caption(self, images: "OnePicture", length: str = ..., **how: Any) -> TextResult: ...
    @overload
    def caption(
        self, images: "Sequence[OnePicture]", length: str = ..., **how: Any
    ) -> list[TextResult]: ...
    def caption(
        self, images: Any, length: Any = "normal", **how: Any
    ) -> TextResult | list[TextResult]:
        """Return a description; `how` are the other fields of `CaptionRequest`."""
        return self._each(images, CaptionRequest(length, **how), TextResult)

    def _each(
        self, images: Any, request: Request, kind: type[_ResultT]
    ) -> _ResultT | list[_ResultT]:
        is_list = isinstance(images, list | tuple)
        pictures = list(images) if is_list else [images]
        results = [
            _expect(kind, found[0]) for found in self.answer([(p, [request]) for p in pictures])
        ]
        return results if is_list else results[0]

    def _finish(self, tickets: Sequence[RequestTicket]) -> None:
        """Step until the tickets are done; threads take turns, and each step serves all of them."""
        while not all(ticket.is_done for ticket in tickets):
            with self._lock:
                if not all(ticket.is_done for ticket in tickets):
                    self.engine.step()


def choose_device(device: str | torch.device) -> torch.device:
    """Return the device; "auto" is the fastest one available."""
    if str(device) != "auto":
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def choose_dtype(
    dtype: str | torch.dtype, device: torch.device, stored: torch.dtype
) -> torch.dtype:
    """Return the precision; "auto" is the file's on an accelerator, float32 on a CPU."""
    if isinstance(dtype, torch.dtype):
        chosen = dtype
    elif dtype == "auto":
        chosen = torch.float32 if device.type == "cpu" else stored
    elif dtype in DTYPES:
        chosen = DTYPES[dtype]
    else:
        raise MoondreamError(f"dtype {dtype!r} is not known; use auto, {', '.join(DTYPES)}")
    if chosen is torch.float16 and device.type == "cpu":
        raise MoondreamError("float16 needs an accelerator; use bfloat16 or float32 on the CPU")
    return chosen


def _result_of(ticket: RequestTicket) -> Result:
    assert ticket.result is not None
    return ticket.result


def _expect(kind: type[_ResultT], result: Result) -> _ResultT:
    if isinstance(result, FailedResult):
        raise MoondreamError(result.reason)
    assert isinstance(result, kind)
    return result
