"""Answers Detect, Count and Point with a detector in an ONNX file: YOLO, RT-DETR, RF-DETR, D-FINE
and their kin.
"""

import difflib
import importlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    PositiveFloat,
    WithJsonSchema,
    model_validator,
)

from pipeline.core.machine import Lack, missing_gpu, own_command, unreadable_file
from pipeline.core.tasks import Task, subject_label
from pipeline.inference.engines._onnx.classes import TABLES, plain
from pipeline.inference.engines._onnx.file import NotOnnxError, Surface, surface_of
from pipeline.inference.engines._onnx.formats import (
    ALIASES,
    FORMATS,
    FormatError,
    class_names,
    recognised,
)
from pipeline.inference.engines.base import EngineConfigBase

if TYPE_CHECKING:
    from pipeline.core.clock import Clock
    from pipeline.inference.engines.batching import BatchingEngine

Provider = Literal["cpu", "cuda", "tensorrt", "openvino", "coreml"]
_LARGEST_SIDE = 8192
_FEEDING = frozenset(("fit", "colour", "pixel_range", "mean", "std"))
"""Keys that say how a picture is given to the net."""


def _listed(value: Any) -> Any:
    names = [value] if isinstance(value, str) else value
    if isinstance(names, list | tuple):
        for name in names:
            if isinstance(name, str) and name.casefold() in ("gpu", "nvidia"):
                raise ValueError(f"{name!r} is not a provider; write cuda for a GPU of NVIDIA")
    return names


def _each_once(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise ValueError("name at least one, such as cpu")
    return tuple(dict.fromkeys(value))


def _known_format(value: str) -> str:
    if value == "auto" or value in FORMATS or value in ALIASES:
        return value
    near = difflib.get_close_matches(value, FORMATS, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ValueError(f"{value!r} is not a known format; {hint}There are: {', '.join(FORMATS)}")


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _net_size(value: str) -> str:
    sides = _sides(value)
    if sides is None or not all(1 <= side <= _LARGEST_SIDE for side in sides):
        raise ValueError(f"{value!r} is not valid; write 640, or width x height like 640x384")
    return value


def _sides(size: str) -> tuple[int, int] | None:
    match = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", size)
    return (int(match[1]), int(match[2] or match[1])) if match else None


def _class_list(value: Any) -> Any:
    if value is None or (isinstance(value, str) and value in TABLES):
        return value
    if not isinstance(value, list | tuple | dict):
        raise ValueError(  # noqa: TRY004 - pydantic passes on ValueErrors alone
            f"{value!r} is not valid; list the names in the net's order, or write coco or coco91"
        )
    names = list(value.values()) if isinstance(value, dict) else value
    if not names:
        raise ValueError("a net has at least one class")
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"{name!r} is not a name; put names in quotes, such as 'person'")
    if not isinstance(value, dict):
        return tuple(names)
    for number in value:
        if isinstance(number, bool) or not re.fullmatch(r"\d{1,5}", str(number)):
            raise ValueError(f"{number!r} is not a class's number; the first class is 0")
    return {int(number): name for number, name in value.items()}


class OnnxConfig(EngineConfigBase):
    """A detector in an ONNX file: YOLO (v5 to v12, YOLOX), RT-DETR, RF-DETR, D-FINE, DEIM."""

    type: Literal["onnx"] = "onnx"
    model: Path = Field(description="The ONNX file.")
    format: Annotated[str, AfterValidator(_known_format)] = Field(
        "auto",
        description="What the net's outputs mean; `auto` recognises it from the file. One of "
        + ", ".join(FORMATS)
        + ".",
    )
    classes: Annotated[
        Literal["coco", "coco91"] | tuple[str, ...] | dict[int, str] | None,
        BeforeValidator(_class_list),
    ] = Field(
        None,
        validation_alias=AliasChoices("classes", "labels"),
        description="The names of the net's classes in its order, or by number; `coco` and "
        "`coco91` are COCO's tables. By default those of the file's metadata, or COCO's where the "
        "net has 80 or 91 classes.",
    )
    providers: Annotated[
        tuple[Provider, ...],
        BeforeValidator(_listed),
        AfterValidator(_each_once),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "string", "enum": list(get_args(Provider))},
                    {
                        "type": "array",
                        "items": {"type": "string", "enum": list(get_args(Provider))},
                    },
                ]
            }
        ),
    ] = Field(
        ("cpu",),
        validation_alias=AliasChoices("providers", "provider"),
        description="What runs the net, in order of preference: cpu, cuda, tensorrt, openvino or "
        "coreml. Where one cannot, the next one does, and the log and the metrics say so.",
    )
    threads: int | None = Field(
        None,
        ge=1,
        le=256,
        description="How many processor cores it may use, each for other pictures; by default all "
        "that the process may use.",
    )
    size: Annotated[
        str | None,
        BeforeValidator(_as_text),
        AfterValidator(lambda value: value if value is None else _net_size(value)),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer"}]}),
    ] = Field(
        None,
        description="Pixels that the net looks at, such as 640 or 640x384 (width x height), where "
        "the file leaves it open; by default what the file's metadata says, or 640. Cameras whose "
        "pictures are larger than twice this send smaller ones.",
    )
    fit: Literal["letterbox", "stretch"] | None = Field(
        None,
        description="Whether a picture keeps its shape, filled up with grey, or is stretched to "
        "the net's; by default as the format was trained.",
    )
    colour: Literal["rgb", "bgr"] | None = Field(
        None, description="The order of the colours; by default the format's."
    )
    pixel_range: Literal["0..1", "0..255"] | None = Field(
        None, description="What black to white is for the net; by default the format's."
    )
    mean: tuple[float, float, float] | None = Field(
        None, description="Subtracted from the three colours, in `pixel_range`."
    )
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = Field(
        None, description="The three colours are divided by it after that."
    )
    min_score: float = Field(
        0.3, gt=0.0, lt=1.0, description="Boxes below this score are not reported."
    )
    nms_iou: float = Field(
        0.6,
        gt=0.0,
        le=1.0,
        description="Boxes of one class that overlap more than this (intersection over union) are "
        "one thing, where the net leaves that to its user.",
    )
    max_detections: int = Field(
        300, ge=1, le=10_000, description="The most things of all classes in a picture."
    )

    operating: ClassVar[frozenset[str]] = EngineConfigBase.operating | {"providers", "threads"}

    @model_validator(mode="before")
    @classmethod
    def _says_each_once(cls, data: Any) -> Any:
        for other, name in (("labels", "classes"), ("provider", "providers")):
            if isinstance(data, dict) and other in data and name in data:
                raise ValueError(f"`{other}` and `{name}` are the same; give one of them")
        return data

    @property
    def max_side(self) -> int | None:
        """Twice the net's longer side where the settings give it."""
        sides = _sides(self.size) if self.size else None
        return 2 * max(sides) if sides else None

    @property
    def cut_side(self) -> int:
        """The net's longer side where the settings give it, and else what most nets have."""
        sides = _sides(self.size) if self.size else None
        return max(sides) if sides else super().cut_side

    @property
    def sides(self) -> tuple[int, int] | None:
        """Width and height of the net's input where the settings give it."""
        return _sides(self.size) if self.size else None

    def problem_with(self, task: Task) -> str | None:
        """Why this engine cannot answer a task, with the way out; None when it can.

        Names that only the file knows are looked up by `problem_here`.
        """
        label = subject_label(task)
        if label is None:
            kind = type(task).__name__.lower()
            return (
                f"the onnx engine finds things and cannot answer {kind!r}; "
                "use an engine that answers in words, such as moondream"
            )
        names = TABLES[self.classes] if isinstance(self.classes, str) else self.classes
        if names is None:
            return None
        given = names.values() if isinstance(names, Mapping) else names
        return unknown_label(label, list(given), "`classes`")

    def lacks(self) -> Iterator[Lack]:
        """Whether the file is here and is a detector, and what runs it; nothing is loaded."""
        for place, provider in enumerate(self.providers, 1):
            if provider in ("cuda", "tensorrt") and list(missing_gpu("cuda")):
                after = self.providers[place:]
                way_out = (
                    f"{after[0]} is tried after it"
                    if after
                    else "install the driver, pass the GPU to the container, or add cpu"
                )
                message = "no GPU driver was found on this machine, so"
                yield Lack(
                    "providers", f"{message} {provider} cannot be used; {way_out}", not after
                )
        missing = list(unreadable_file("model", self.model))
        yield from missing
        if missing:
            return
        try:
            surface = surface_of(self.model)
        except OSError as error:
            yield Lack("model", f"{self.model} cannot be read: {error.strerror}")
            return
        except NotOnnxError as error:
            yield Lack("model", f"{self.model} cannot be loaded: {error}")
            return
        for name in surface.data_files:
            if not (self.model.parent / name).is_file():
                yield Lack(
                    "model",
                    f"{self.model} keeps its weights in {name}, which is not beside it; copy "
                    "that file there too, or export the model as one file",
                )
        try:
            self._check(surface)
            layout = recognised(surface, self.format, self.classes, self.sides)
        except FormatError as problem:
            yield Lack(problem.key, f"{self.model.name} {problem}")
            return
        # Other nets have this output too. Shown pictures as YOLO wants them they find nothing,
        # and that looks like an empty scene.
        is_told = self.format != "auto" or surface.metadata or self.model_fields_set & _FEEDING
        if layout is not None and layout.format == "yolov10" and not is_told:
            yield Lack(
                "format",
                f"{self.model.name} is taken for yolov10 by the shape of its output alone, which "
                "other nets have too; see whether it finds what a picture shows, with "
                f"{own_command()} ask PICTURE --engine onnx --option model={self.model} --detect "
                "WHAT; then write `format: yolov10`, or how pictures are given to it: `colour`, "
                "`pixel_range`, `mean`, `std`",
                is_fatal=False,
            )

    def lacks_for(self, task: Task) -> Iterator[Lack]:
        """Whether the file that is here knows what a task looks for."""
        label = subject_label(task)
        if label is None or self.problem_with(task) is not None:
            return
        try:
            surface = surface_of(self.model)
            names = self._check(surface)
        except (OSError, NotOnnxError, FormatError):
            return
        problem = unknown_label(label, list(names.values()), self.model.name) if names else None
        if problem is not None:
            yield Lack(type(task).__name__.lower(), problem)

    def build(self, clock: "Clock | None" = None) -> "BatchingEngine":
        """Load the net; raises EngineError with what is wrong."""
        # Imported by name, so that a check of a file need not wait for what it takes to answer.
        detector = importlib.import_module("pipeline.inference.engines._onnx.detector")
        built: BatchingEngine = detector.build(self, clock)
        return built

    def _check(self, surface: Surface) -> Mapping[int, str] | None:
        """The names by what the file says; raises FormatError where it is certainly unusable."""
        layout = recognised(surface, self.format, self.classes, self.sides)
        return class_names(surface, layout, self.classes) if layout is not None else None


def unknown_label(label: str, names: list[str], where: str) -> str | None:
    """Why a label is none of the names, with the nearest ones; None if it is one of them."""
    known = {plain(name): name for name in names}
    word = plain(label)
    if word in known:
        return None
    near = [known[word.removesuffix("s")]] if word.removesuffix("s") in known else []
    near = near or [known[one] for one in difflib.get_close_matches(word, known, n=3, cutoff=0.6)]
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    else:
        shown = list(known.values())
        hint = f"there are: {', '.join(shown[:20])}{', ...' if len(shown) > 20 else ''}"
    if len(known) == 1:
        return f"{label!r} is not the only class of {where}, which is {names[0]}"
    return f"{label!r} is not one of the {len(known)} classes of {where}; {hint}"
