"""The model as users see it: load it, give it pictures and requests, get results.

It chooses a device and a precision; the engine does the work.
"""

import logging
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload

import numpy as np
import torch

from pipeline.moondream.batch.engine import EngineOptions, MoondreamBatcher
from pipeline.moondream.batch.strands import RequestTicket
from pipeline.moondream.checkpoints.checkpoint import open_checkpoint
from pipeline.moondream.checkpoints.models import DEFAULT_MODEL
from pipeline.moondream.checkpoints.variant import read_variant
from pipeline.moondream.checkpoints.weights import DTYPES
from pipeline.moondream.device.graphs import GraphCounts
from pipeline.moondream.device.kernels.loading import StepKernels
from pipeline.moondream.device.pages import PictureCounts
from pipeline.moondream.errors import (
    MaskError,
    MoondreamError,
    PictureError,
    RequestError,
    TooLongError,
)
from pipeline.moondream.network.network import Network
from pipeline.moondream.pictures.vips import has_vips
from pipeline.moondream.skills.base import Language
from pipeline.moondream.templates import Release, Resizer
from pipeline.moondream.types import (
    MAX_OBJECTS,
    CaptionRequest,
    CountRequest,
    CountResult,
    DetectRequest,
    DetectResult,
    FailedResult,
    FailureCode,
    PointRequest,
    PointResult,
    QueryRequest,
    Request,
    Result,
    TextResult,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    OnePicture = NDArray[np.uint8] | Image

_log = logging.getLogger(__name__)

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
        self.resizer = network.resizer
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
        *,
        release: str | None = None,
        resizer: Literal["auto", "pillow", "vips"] = "auto",
        **options: Any,
    ) -> Self:
        """Load a Hugging Face repository or a local folder.

        Args:
            model: a repository name, or a folder with model.safetensors and tokenizer.json.
            revision: a release such as "2025-06-21" (the default), or RELEASE@COMMIT.
            device: "auto" uses CUDA, else Apple's mps, else the CPU.
            dtype: "auto" keeps the file's precision on an accelerator that has it, else takes
                float16 or float32; float32 on a CPU.
            variant: a LoRA file to apply.
            release: the release the files are of, where `revision` does not say it.
            resizer: "auto" is what the release's own code resizes pictures with.
            options: the fields of EngineOptions, such as `max_batch`.

        Raises:
            CheckpointError: with a sentence about what does not fit.
        """
        place = choose_device(device)
        checkpoint = open_checkpoint(model, revision, release=release)
        resized_by = choose_resizer(resizer, checkpoint.release)
        precision = choose_dtype(dtype, place, checkpoint.stored_dtype)
        state = checkpoint.read(place, precision)
        extra = None
        if variant is not None:
            if not checkpoint.release.extras:
                raise RequestError(f"release {checkpoint.release.name} takes no variant")
            extra = read_variant(Path(variant), checkpoint.dims.text, place, precision)
        with torch.inference_mode():
            network = Network.from_state(
                state, checkpoint.dims, checkpoint.release, extra, resized_by
            )
        del state, extra  # the network may lay its weights elsewhere
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

    @property
    def kernels(self) -> StepKernels:
        """Which kernels of our own decode, and why others do not."""
        return self.engine.kernels

    def picture_counts(self) -> PictureCounts:
        """Return how many pictures were encoded since loading, and how many were still there."""
        return self.engine.picture_counts()

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
            raise _error_of(ticket.result)

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
    dtype: str | torch.dtype,
    device: torch.device,
    stored: torch.dtype,
    fast: Callable[[torch.device], frozenset[torch.dtype]] | None = None,
) -> torch.dtype:
    """Return the precision; "auto" is the file's on an accelerator, float32 on a CPU.

    Where the device only emulates the file's precision (`fast` says which half precisions it
    computes in), the other half is taken, else float32, and the log says so.
    """
    if not isinstance(dtype, torch.dtype) and dtype != "auto" and dtype not in DTYPES:
        raise MoondreamError(f"dtype {dtype!r} is not known; use auto, {', '.join(DTYPES)}")
    chosen = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if device.type == "cpu":
        if chosen is torch.float16:
            raise MoondreamError("float16 needs an accelerator; use bfloat16 or float32 on the CPU")
        return chosen or torch.float32
    halves = (fast or fast_halves)(device)
    if chosen is not None:
        if chosen is not torch.float32 and chosen not in halves:
            _log.warning("%s computes slowly in %s; dtype auto avoids it", device, _named(chosen))
        return chosen
    if stored is torch.float32 or stored in halves:
        if stored is torch.float16:
            _log.info(
                "the weights are stored in float16 and run in it, as they were published; if "
                "requests fail because their numbers overflow, use dtype bfloat16 or float32"
            )
        return stored
    if halves:
        other = next(iter(halves))
        risk = "numbers may overflow, in which case a request fails and says so"
        cost = risk if other is torch.float16 else "answers differ a little from the published ones"
        _log.warning(
            "%s does not compute in %s, which the weights are stored in: %s is used, and %s; "
            "dtype float32 is exact, slower and takes twice the memory",
            device, _named(stored), _named(other), cost,
        )  # fmt: skip
        return other
    _log.warning(
        "%s computes slowly in half precision: float32 is used, which takes twice the memory of "
        "the file", device,
    )  # fmt: skip
    return torch.float32


def fast_halves(device: torch.device) -> frozenset[torch.dtype]:
    """Return the half precisions a device computes in, rather than emulates."""
    if device.type == "cuda" and torch.cuda.is_available():
        with torch.cuda.device(device):  # the question is about the current one
            has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return halves_of_cuda(torch.cuda.get_device_capability(device), has_bf16=has_bf16)
    # Apple's mps has bfloat16 from macOS 14 on.
    mps = torch.backends.mps
    if device.type == "mps" and mps.is_available() and not mps.is_macos_or_newer(14, 0):
        return frozenset({torch.float16})
    return frozenset({torch.bfloat16, torch.float16})


def halves_of_cuda(capability: tuple[int, int], *, has_bf16: bool) -> frozenset[torch.dtype]:
    """Return the fast half precisions of an NVIDIA GPU: float16 is one from Volta (7.0) on."""
    halves = {torch.float16} if capability >= (7, 0) else set()
    return frozenset(halves | {torch.bfloat16}) if has_bf16 else frozenset(halves)


def choose_resizer(
    resizer: str, release: Release, has_vips: Callable[[], bool] = has_vips
) -> Resizer:
    """Return what resizes pictures; "auto" is what the release's own code does it with.

    Where that is libvips and the library is not here, pictures are resized as Pillow does, and the
    log says so; asked for by name it must be here.
    """
    if resizer not in ("auto", "pillow", "vips"):
        raise MoondreamError(f"resizer {resizer!r} is not known; use auto, pillow or vips")
    if resizer == "pillow" or (resizer == "auto" and release.resizer == "pillow"):
        return "pillow"
    if has_vips():
        return "vips"
    if resizer == "vips":
        raise MoondreamError(
            "resizer vips needs the library pyvips, which is not installed here; install the extra "
            "`vips` (pyvips and pyvips-binary), or use resizer pillow"
        )
    _log.warning(
        "release %s was published with libvips, which is not installed here: pictures are resized "
        "as Pillow does it, whose enlarged pictures differ by 3 to 4 of 255 grey levels on "
        "average; install the extra `vips` (pyvips and pyvips-binary), or write resizer: pillow to "
        "say that this is meant", release.name,
    )  # fmt: skip
    return "pillow"


def _named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _result_of(ticket: RequestTicket) -> Result:
    assert ticket.result is not None
    return ticket.result


def _expect(kind: type[_ResultT], result: Result) -> _ResultT:
    if isinstance(result, FailedResult):
        raise _error_of(result)
    assert isinstance(result, kind)
    return result


def _error_of(failed: FailedResult) -> MoondreamError:
    """Return the error that says the kind of a failure, where one does."""
    return _ERRORS.get(failed.code, MoondreamError)(failed.reason)


_ERRORS: Mapping[FailureCode, Callable[[str], MoondreamError]] = {
    "bad_request": RequestError,
    "too_long": TooLongError,
    "mask": MaskError,
    "bad_picture": PictureError,
}
