"""The formats of detectors in ONNX files: how each is fed, and how its outputs are recognised.

A file is recognised by the shapes of its outputs, their names and its metadata. Where two formats
fit, none is chosen: what is taken for another would find nothing, or nonsense.
"""

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pipeline.inference.engines._onnx.classes import COCO_80, COCO_91, TABLES, in_metadata
from pipeline.inference.engines._onnx.file import Shape, Surface, Tensor

Classes = str | Sequence[str] | Mapping[int, str] | None
"""What the settings say of the classes: a table's name, a list, names by number, or nothing."""
Three = tuple[float, float, float]
_IMAGENET_MEAN: Three = (0.485, 0.456, 0.406)
_IMAGENET_STD: Three = (0.229, 0.224, 0.225)

STRIDES = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32))
"""The grids of YOLO nets: the usual one, the one for large pictures, the one for small objects."""
DEFAULT_SIDE = 640
_MOST_QUERIES = 1000
"""Nets that give a fixed list of objects give at most this many; grids have more places."""
_MASKS = 32
"""Numbers beside each box for its outline, in nets that segment."""


@dataclass(frozen=True, slots=True)
class Format:
    """How a format's nets are fed."""

    outputs: str
    """What it gives, in words."""
    fit: Literal["letterbox", "letterbox at the corner", "stretch"] = "letterbox"
    colour: Literal["rgb", "bgr"] = "rgb"
    pixel_range: Literal["0..1", "0..255"] = "0..1"
    mean: Three | None = None
    std: Three | None = None


_TRAINED_LIKE_DETR = Format("", "stretch", mean=_IMAGENET_MEAN, std=_IMAGENET_STD)
FORMATS: Mapping[str, Format] = {
    "yolov5": Format("[batch, boxes, 5 + classes]: centre, size, objectness, scores"),
    "yolov6": Format("[batch, boxes, 5 + classes]: centre, size, objectness, scores"),
    "yolov8": Format("[batch, 4 + classes, boxes] or transposed: centre, size, scores"),
    "yolov10": Format("[batch, boxes, 6]: corners, score, class"),
    "yolox": Format(
        "[batch, boxes, 5 + classes], not decoded", "letterbox at the corner", "bgr", "0..255"
    ),
    "yolox-decoded": Format(
        "[batch, boxes, 5 + classes], decoded", "letterbox at the corner", "bgr", "0..255"
    ),
    "end2end": Format("[boxes, 7]: picture, corners, class, score"),
    "efficient-nms": Format("number, boxes, scores and classes in four outputs"),
    "rt-detr": Format(
        "[batch, boxes, 4 + classes], or logits and boxes, or labels, boxes and scores, or "
        "Paddle's rows with their number",
        "stretch",
    ),
    "rf-detr": replace(_TRAINED_LIKE_DETR, outputs="boxes [batch, boxes, 4] and class logits"),
    "d-fine": Format("labels, boxes and scores, with an input of picture sizes", "stretch"),
    "detr": replace(
        _TRAINED_LIKE_DETR, outputs="boxes [batch, boxes, 4] and class logits, the last for nothing"
    ),
}
ALIASES: Mapping[str, str] = {
    **dict.fromkeys(("yolov7", "yolo5", "yolo7"), "yolov5"),
    "yolo6": "yolov6",
    **dict.fromkeys(
        ("yolov9", "yolov11", "yolov12", "yolo8", "yolo9", "yolo11", "yolo12"), "yolov8"
    ),
    **dict.fromkeys(("yolo10", "yolo26", "yolov26"), "yolov10"),
    **dict.fromkeys(("rtdetr", "rt-detrv2", "rtdetrv2"), "rt-detr"),
    "rfdetr": "rf-detr",
    **dict.fromkeys(("dfine", "deim", "deimv2"), "d-fine"),
}
"""Other names of the same."""


class FormatError(Exception):
    """Why a file cannot be used, as a sentence that follows its name, and the key it is about."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


@dataclass(frozen=True, slots=True)
class Layout:
    """A format with the place of everything in the outputs."""

    format: str
    reader: str
    """The function of `heads` that reads it."""
    outputs: tuple[int, ...]
    """The numbers of the outputs that the reader takes, in its order."""
    width: int | None = None
    """How many classes there are; None where the outputs name them by number alone."""
    strides: tuple[int, ...] = ()
    """The grid that boxes are relative to."""


@dataclass(frozen=True, slots=True)
class ImageInput:
    """The input that takes pictures."""

    name: str
    type: str
    channels_first: bool
    batch: int | None
    size_wh: tuple[int, int] | None
    """None where the file leaves it open."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What there is to recognise a file by."""

    outputs: tuple[Tensor, ...]
    extra_inputs: frozenset[str]
    size_wh: tuple[int, int]
    known: int | None
    """How many classes the settings or the metadata name."""
    is_stated: bool
    task: str
    maker: str
    """In small letters, without hyphens: RT-DETR is spelt with one and without."""

    def grid(self, boxes: int | None, anchors: int = 1) -> tuple[int, ...]:
        """The strides of the grid that has so many places; empty if none has."""
        width, height = self.size_wh
        for strides in STRIDES:
            if boxes == anchors * sum(-(-width // s) * -(-height // s) for s in strides):
                return strides
        return ()

    def is_grid(self, boxes: int | None) -> bool:
        """Whether so many boxes are the places of a grid."""
        return bool(self.grid(boxes) or self.grid(boxes, 3))


_LARGEST_SIDE = 8192
IMAGE_TYPES = ("float", "float16", "uint8", "double")
"""What pictures can be given as."""
SIZES = ("orig_target_sizes", "orig_target_size", "orig_sizes", "orig_size", "target_sizes")
PADDLE_SIZES = ("im_shape", "scale_factor")
MASK = "pixel_mask"


def image_input(surface: Surface) -> ImageInput:
    """The input for pictures; raises FormatError where there is none, or one it cannot feed."""
    pictures = [tensor for tensor in surface.inputs if len(tensor.shape) == 4]
    if len(pictures) != 1:
        several = f"{len(pictures)} pictures at once" if pictures else "no picture"
        raise FormatError(
            "model",
            f"takes {several}: its inputs are {_listed(surface.inputs)}, and one of "
            "[batch, 3, height, width] is needed",
        )
    (tensor,) = pictures
    if tensor.type not in IMAGE_TYPES:
        raise FormatError(
            "model",
            f"takes pictures as {tensor.type}, which they cannot be given as; export it with an "
            "input of float32, float16 or uint8",
        )
    batch, *others = tensor.shape
    if others[0] != 3 and others[2] == 3:
        sides, channels_first = (others[1], others[0]), False
    elif others[0] in (3, None):
        sides, channels_first = (others[2], others[1]), True
    else:
        raise FormatError("model", f"takes pictures that are not in colour: its input is {tensor}")
    width, height = sides
    unknown = [
        other
        for other in surface.inputs
        if other is not tensor and other.name not in (*SIZES, *PADDLE_SIZES, MASK)
    ]
    if unknown:
        raise FormatError(
            "model", f"wants more than a picture: nobody knows what {_listed(unknown)} should be"
        )
    size_wh = None if width is None or height is None else (width, height)
    return ImageInput(tensor.name, tensor.type, channels_first, batch, size_wh)


def net_size(surface: Surface, wanted: tuple[int, int] | None) -> tuple[int, int]:
    """Width and height of what the net is given; raises FormatError where they do not agree."""
    fixed = image_input(surface).size_wh
    if fixed is not None:
        if wanted is not None and wanted != fixed:
            raise FormatError(
                "size",
                f"takes pictures of {fixed[0]}x{fixed[1]} only, not {wanted[0]}x{wanted[1]}; "
                "leave `size` out",
            )
        return fixed
    if wanted is not None:
        return wanted
    try:
        said = ast.literal_eval(surface.metadata.get("imgsz", ""))
        height, width = (said, said) if isinstance(said, int) else said
        if 1 <= int(width) <= _LARGEST_SIDE and 1 <= int(height) <= _LARGEST_SIDE:
            return int(width), int(height)
    except (ValueError, SyntaxError, TypeError):
        pass  # written by whoever made the file, and only a hint
    return DEFAULT_SIDE, DEFAULT_SIDE


def recognised(
    surface: Surface, stated: str, classes: Classes, wanted: tuple[int, int] | None
) -> Layout | None:
    """The layout of a file's outputs; None where their shapes are not known yet.

    Raises FormatError where it is none of a detector's, or may be more than one.
    """
    pictures = image_input(surface)
    task = surface.metadata.get("task", "").lower() or _task_by_shapes(surface)
    if task in ("classify", "semantic", "obb"):
        raise FormatError("model", f"is not a detector: its metadata says `task: {task}`")
    maker = f"{surface.metadata.get('author', '')} {surface.metadata.get('description', '')}"
    seen = _Seen(
        surface.outputs,
        frozenset(tensor.name for tensor in surface.inputs if tensor.name != pictures.name),
        net_size(surface, wanted),
        _known(surface, classes),
        stated != "auto",
        task,
        maker.lower().replace("-", ""),
    )
    wanted_format = ALIASES.get(stated, stated)
    formats = list(_RECOGNISERS) if stated == "auto" else [wanted_format]
    found = [layout for name in formats for layout in _RECOGNISERS[name](seen)]
    if not found and stated == "auto" and seen.known is not None:
        # Perhaps it is only the names that do not fit: that is said when they are looked at.
        unnamed = replace(seen, known=None)
        found = [layout for name in formats for layout in _RECOGNISERS[name](unnamed)]
    if len(found) == 1:
        return found[0]
    is_open = any(size is None for tensor in surface.outputs for size in tensor.shape[1:])
    if is_open or not all(tensor.shape for tensor in surface.outputs):
        return None
    raise _not_recognised(seen, wanted_format, found)


def _task_by_shapes(surface: Surface) -> str:
    """What a net does besides, of which nothing is said: YOLOv5 writes only names and stride."""
    outlines = [t for t in surface.outputs if len(t.shape) == 4 and t.shape[1] == _MASKS]
    return "segment" if len(outlines) == 1 and len(surface.outputs) == 2 else ""


def _not_recognised(seen: _Seen, stated: str, found: Sequence[Layout]) -> FormatError:
    outputs = f"its output{'s are' if len(seen.outputs) > 1 else ' is'} {_listed(seen.outputs)}"
    if found and stated == "auto":
        choices = " or ".join(
            f"{layout.format}" + (f" with {counted(layout.width)}" if layout.width else "")
            for layout in found
        )
        return FormatError("format", f"may be {choices}: {outputs}; say which with `format`")
    if all(len(tensor.shape) == 2 and tensor.shape[1] != 7 for tensor in seen.outputs):
        return FormatError(
            "model",
            f"is not a detector: {outputs}, which looks like a net that classifies whole pictures",
        )
    if stated != "auto":
        return FormatError(
            "format", f"is not {stated}, which gives {FORMATS[stated].outputs}: {outputs}"
        )
    return FormatError(
        "format",
        f"is not recognised: {outputs}; say what they mean with `format` "
        f"({', '.join(FORMATS)}), or export it with its detection head",
    )


def class_names(surface: Surface, layout: Layout, classes: Classes) -> Mapping[int, str]:
    """The names by class number; raises FormatError where they do not fit or are not known."""
    width = layout.width
    if classes is not None:
        names = _stated_names(classes)
        problem = _misfit(names, width, classes)
        if problem is not None:
            raise FormatError("classes", problem)
        return names
    said = in_metadata(surface.metadata)
    if said is not None:
        if width is not None and (len(said) > width or _is_short(layout, len(said), width)):
            raise FormatError(
                "classes",
                f"names {counted(len(said))} in its metadata, but its net has {width}; "
                "list them in the net's order with `classes`",
            )
        if min(said) < 0 or (width is not None and max(said) >= width):
            number = min(said) if min(said) < 0 else max(said)
            last = "" if width is None else f" and the last {width - 1}"
            raise FormatError(
                "classes",
                f"names class number {number} in its metadata, but the first is 0{last}; "
                "list them in the net's order with `classes`",
            )
        return said
    if width == len(COCO_80):
        return COCO_80
    if width == 91:
        return COCO_91
    if width is None:
        raise FormatError(
            "classes",
            "does not name its classes; list them in the net's order with `classes`, or write "
            "`classes: coco` for COCO's 80",
        )
    raise FormatError(
        "classes",
        f"does not name its {counted(width)}; list "
        f"{'them in the net' + chr(39) + 's order' if width > 1 else 'it'} with `classes`",
    )


def counted(classes: int) -> str:
    """So many classes, in words."""
    return "1 class" if classes == 1 else f"{classes} classes"


def _is_short(layout: Layout, named: int, width: int) -> bool:
    # These have a class more than were trained.
    return named < width and not (layout.format in ("rf-detr", "detr") and named == width - 1)


def _stated_names(classes: str | Sequence[str] | Mapping[int, str]) -> Mapping[int, str]:
    if isinstance(classes, str):
        return TABLES[classes]
    return classes if isinstance(classes, Mapping) else dict(enumerate(classes))


def _misfit(names: Mapping[int, str], width: int | None, classes: Classes) -> str | None:
    if width is None:
        return None
    if max(names) >= width or min(names) < 0:
        return f"has {counted(width)}, but `classes` names number {max(names)}; the first is 0"
    if isinstance(classes, Mapping) or len(names) == width or max(names) == width - 1:
        return None
    return (
        f"has {counted(width)}, but `classes` names {len(names)}; list all of them in the net's "
        f"order, or those that matter by number, such as {{1: {next(iter(names.values()))}}}"
    )


def _known(surface: Surface, classes: Classes) -> int | None:
    if classes is None:
        said = in_metadata(surface.metadata)
        return len(said) if said else None
    if isinstance(classes, Mapping):
        return None
    return max(_stated_names(classes)) + 1


# Recognisers: the layouts of one format that fit. Where the format is stated, shapes are enough;
# otherwise there has to be a reason to think so.

_Found = Iterator[Layout]


def _one_table(seen: _Seen) -> tuple[int, int | None, int | None] | None:
    """The number of the output with a table of boxes, and its two sizes."""
    tables = [(n, t.shape) for n, t in enumerate(seen.outputs) if len(t.shape) == 3]
    masks = sum(len(tensor.shape) == 4 for tensor in seen.outputs)
    # YOLOv5 and YOLOv7 may list what the table was made of as well, grid by grid.
    grids = sum(len(tensor.shape) == 5 for tensor in seen.outputs)
    if len(tables) != 1 or len(seen.outputs) - masks - grids != 1:
        return None
    if masks and seen.task != "segment":
        return None
    (number, shape) = tables[0]
    return number, shape[1], shape[2]


def _columns(seen: _Seen, columns: int | None, before: int) -> int | None:
    """How many classes a table has whose first columns are others; None if it cannot be."""
    if columns is None or columns <= before:
        return None
    more = _more_columns(seen)
    if more and seen.known is not None:
        return seen.known if columns >= before + seen.known + more else None
    if seen.task == "segment":
        return columns - before - _MASKS if columns > before + _MASKS else None
    return columns - before


def _more_columns(seen: _Seen) -> int:
    """The least that follows the classes in nets that do more than finding things."""
    if seen.task == "segment":
        return _MASKS
    return 2 if seen.task == "pose" else 0


def _agrees(seen: _Seen, width: int, usual: int = 80) -> bool:
    """Whether so many classes are those that are named, if any are."""
    return width == seen.known if seen.known is not None else width == usual


def _yolov5(seen: _Seen) -> _Found:
    table = _one_table(seen)
    width = _columns(seen, table[2], 5) if table else None
    if table is None or width is None:
        return
    if seen.is_stated or (seen.grid(table[1], 3) and seen.known in (None, width)):
        yield Layout("yolov5", "objectness_rows", (table[0],), width)


def _yolov6(seen: _Seen) -> _Found:
    for layout in _grid_rows(seen, "yolov6", "objectness_rows"):
        if seen.is_stated or seen.outputs[layout.outputs[0]].name == "outputs":
            yield layout


def _yolox(seen: _Seen) -> _Found:
    for layout in _grid_rows(seen, "yolox", "yolox"):
        if seen.is_stated or seen.outputs[layout.outputs[0]].name != "outputs":
            yield layout


def _yolox_decoded(seen: _Seen) -> _Found:
    if seen.is_stated:  # not told apart by its shapes: the reader of `yolox` sees it
        yield from _grid_rows(seen, "yolox-decoded", "objectness_rows")


def _grid_rows(seen: _Seen, name: str, reader: str) -> _Found:
    table = _one_table(seen)
    width = _columns(seen, table[2], 5) if table else None
    if table is None or width is None:
        return
    strides = seen.grid(table[1])
    if reader == "yolox" and not strides:
        return
    # With a column less it could be the other format of such rows: the number of names decides.
    if seen.is_stated or (strides and (seen.known is None or seen.known == width)):
        if not seen.is_stated and seen.known is None and width + 1 == len(COCO_80):
            return
        yield Layout(name, reader, (table[0],), width, strides)


def _yolov8(seen: _Seen) -> _Found:
    table = _one_table(seen)
    if table is None:
        return
    number, first, second = table
    across = _columns(seen, first, 4)
    down = _columns(seen, second, 4)
    if seen.is_stated:
        is_down = bool(seen.grid(first)) or (first or 0) > (second or 0) > 0
        width = down if is_down else across
        if width is not None:
            yield Layout("yolov8", "score_rows" if is_down else "score_columns", (number,), width)
        return
    fits_second = seen.grid(second) or (second is None and across and _agrees(seen, across))
    if across is not None and seen.known in (None, across) and fits_second:
        yield Layout("yolov8", "score_columns", (number,), across)
    # With 81 and no names it is YOLOX's 80 and their objectness.
    fits_down = seen.known == down or (seen.known is None and down != len(COCO_80) + 1)
    if down is not None and seen.grid(first) and fits_down:
        yield Layout("yolov8", "score_rows", (number,), down)


def _yolov10(seen: _Seen) -> _Found:
    table = _one_table(seen)
    if table is None:
        return
    number, boxes, columns = table
    if columns is None:
        return
    is_more = not seen.is_grid(columns) and (
        (seen.task == "segment" and columns == 6 + _MASKS)
        or (seen.task == "pose" and columns > 6 and 0 in ((columns - 6) % 2, (columns - 6) % 3))
    )
    if columns != 6 and not is_more:
        return
    if seen.is_stated or not (seen.is_grid(boxes) or boxes is None or "rtdetr" in seen.maker):
        yield Layout("yolov10", "corner_rows", (number,))


def _end2end(seen: _Seen) -> _Found:
    (shape, *others) = [tensor.shape for tensor in seen.outputs]
    if not others and len(shape) == 2 and shape[1] == 7:
        yield Layout("end2end", "batched_rows", (0,))


def _efficient_nms(seen: _Seen) -> _Found:
    roles = _roles(seen.outputs, ("num", "box", "score", "class|label"))
    if roles is not None and len(seen.outputs) == 4:
        yield Layout("efficient-nms", "counted_boxes", roles)


def _rt_detr(seen: _Seen) -> _Found:
    yield from _paddle(seen)
    yield from _logits_and_boxes(seen, "rt-detr", ("logit",))
    if seen.is_stated:
        yield from _sized(seen, "rt-detr")
    table = _one_table(seen)
    width = table[2] - 4 if table and table[2] is not None else 0
    if table is None or width < 1:
        return
    few = table[1] is not None and table[1] <= _MOST_QUERIES and not seen.is_grid(table[1])
    is_other = "ultralytics" in seen.maker and "rtdetr" not in seen.maker
    if seen.is_stated or (few and not is_other and _agrees(seen, width)):
        yield Layout("rt-detr", "queries", (table[0],), width)


def _paddle(seen: _Seen) -> _Found:
    if len(seen.outputs) != 2 or not {"im_shape"} <= seen.extra_inputs:
        return
    for rows, number in ((0, 1), (1, 0)):
        shape = seen.outputs[rows].shape
        if len(shape) == 2 and shape[1] == 6 and len(seen.outputs[number].shape) == 1:
            yield Layout("rt-detr", "paddle_rows", (rows, number))


def _rf_detr(seen: _Seen) -> _Found:
    yield from _logits_and_boxes(seen, "rf-detr", ("labels",), ("dets",))


def _detr(seen: _Seen) -> _Found:
    if seen.is_stated:
        yield from _logits_and_boxes(seen, "detr", ("logit",))


def _logits_and_boxes(
    seen: _Seen, name: str, logits: Sequence[str], boxes: Sequence[str] = ("box",)
) -> _Found:
    """Two outputs with a row for each query, among others for outlines or inner layers."""
    tables = [(n, t) for n, t in enumerate(seen.outputs) if len(t.shape) == 3]
    scores = [(n, t) for n, t in tables if any(word in t.name.lower() for word in logits)]
    corners = [
        (n, t)
        for n, t in tables
        if t.shape[2] == 4 and any(word in t.name.lower() for word in boxes)
    ]
    if (len(scores), len(corners)) != (1, 1) and seen.is_stated and len(tables) == 2:
        # By other names: the one with four columns, if it is only one, has the boxes.
        corners = [(n, t) for n, t in tables if t.shape[2] == 4]
        scores = [(n, t) for n, t in tables if t.shape[2] != 4]
    if (len(scores), len(corners)) != (1, 1):
        return
    ((one, table),), ((other, _),) = scores, corners
    width = table.shape[2]
    if width is None:
        return
    # The first DETR has one column more than COCO has numbers.
    if name == "detr" or (name == "rt-detr" and not seen.is_stated and width == 92):
        yield Layout("detr", "no_object_queries", (one, other), width - 1)
    else:
        yield Layout(name, "logit_queries", (one, other), width)


def _d_fine(seen: _Seen) -> _Found:
    yield from _sized(seen, "d-fine")


def _sized(seen: _Seen, name: str) -> _Found:
    roles = _roles(seen.outputs, ("label|class", "box", "score"))
    if roles is not None and len(seen.outputs) == 3 and seen.extra_inputs & set(SIZES):
        yield Layout(name, "sized_boxes", roles)


def _roles(outputs: Sequence[Tensor], wanted: Sequence[str]) -> tuple[int, ...] | None:
    """Which output is which, by a word in its name (`a|b` is either); None if not each is one."""
    found: list[int] = []
    for words in wanted:
        fitting = [
            number
            for number, tensor in enumerate(outputs)
            if any(word in tensor.name.lower() for word in words.split("|"))
            and (words != "box" or (len(tensor.shape) == 3 and tensor.shape[2] in (4, None)))
            and (words == "box" or len(tensor.shape) <= 2)
        ]
        if len(fitting) != 1:
            return None
        found += fitting
    return tuple(found) if len(set(found)) == len(wanted) else None


_RECOGNISERS: Mapping[str, Callable[[_Seen], _Found]] = {
    "yolov5": _yolov5,
    "yolov6": _yolov6,
    "yolov8": _yolov8,
    "yolov10": _yolov10,
    "yolox": _yolox,
    "yolox-decoded": _yolox_decoded,
    "end2end": _end2end,
    "efficient-nms": _efficient_nms,
    "rt-detr": _rt_detr,
    "rf-detr": _rf_detr,
    "d-fine": _d_fine,
    "detr": _detr,
}


def _listed(tensors: Sequence[Tensor]) -> str:
    return ", ".join(map(str, tensors))


def with_shapes(surface: Surface, shapes: Sequence[Shape]) -> Surface:
    """The surface with the outputs' shapes as a pass has given them."""
    outputs = tuple(
        Tensor(tensor.name, tuple(shape), tensor.type)
        for tensor, shape in zip(surface.outputs, shapes, strict=True)
    )
    return Surface(surface.inputs, outputs, surface.metadata)
