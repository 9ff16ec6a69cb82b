"""What an ONNX file says of itself, read without loading it: inputs, outputs, metadata.

An ONNX file is one protobuf message. Only the fields that are needed are looked at; weights are
skipped by their length, so that a file of any size is read in milliseconds.
"""

import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Shape = tuple[int | None, ...]
"""A size that is not fixed is None; nothing at all where the file does not say."""
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output of a net."""

    name: str
    shape: Shape
    type: str
    """As ONNX Runtime names it, such as `float`, `float16` or `uint8`."""

    def __str__(self) -> str:
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name} [{sizes}]"


@dataclass(frozen=True, slots=True)
class Surface:
    """What is seen of a net from outside."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)
    data_files: tuple[str, ...] = ()
    """Files beside this one that hold its weights."""


class NotOnnxError(ValueError):
    """The file is not an ONNX model, or only the beginning of one."""


_TYPES = {
    1: "float",
    2: "uint8",
    3: "int8",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "double",
    16: "bfloat16",
}
# Field numbers of onnx.proto.
_MODEL_GRAPH, _MODEL_METADATA = 7, 14
_GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 5, 11, 12
_TENSOR_NAME, _TENSOR_EXTERNAL = 8, 13
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
_CUT_OFF = "it is not an ONNX model, or not all of one: its end is missing; copy it again"
_OTHERS = {
    b"version https://git-lfs": "it is only a pointer of Git LFS; `git lfs pull` fetches the model",
    b"PK": "it is an archive, such as a model that PyTorch saved; export that as ONNX",
    b"\x89HDF": "it is an HDF5 file, such as a model that Keras saved; convert that to ONNX",
    b"<": "it is a web page or XML and no ONNX model; download the model again",
}
"""How files that people take for an ONNX model begin, and what to do."""


def surface_of(path: Path) -> Surface:
    """Read a file's surface; raises OSError, or NotOnnxError with what is wrong."""
    with path.open("rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise NotOnnxError("it is empty; copy or export it again") from None
        with data:
            for beginning, problem in _OTHERS.items():
                if data[: len(beginning)] == beginning:
                    raise NotOnnxError(problem)
            return _surface(data)


def _surface(data: mmap.mmap) -> Surface:
    graph: Span | None = None
    metadata: dict[str, str] = {}
    for number, value in _fields(data, (0, len(data))):
        if number == _MODEL_GRAPH and isinstance(value, tuple):
            graph = value
        elif number == _MODEL_METADATA and isinstance(value, tuple):
            pair = dict(_fields(data, value))
            metadata[_text(data, pair.get(1))] = _text(data, pair.get(2))
    if graph is None:
        raise NotOnnxError("it is not an ONNX model: it holds no net; export the model as ONNX")
    inputs, outputs, weights = [], [], set()
    data_files: dict[str, None] = {}
    for number, value in _fields(data, graph):
        if not isinstance(value, tuple):
            continue
        if number == _GRAPH_INPUT:
            inputs.append(_tensor(data, value))
        elif number == _GRAPH_OUTPUT:
            outputs.append(_tensor(data, value))
        elif number == _GRAPH_INITIALIZER:
            name, location = _weight(data, value)
            weights.add(name)
            if location:
                data_files[location] = None
    # Old files list their weights as inputs too.
    fed = tuple(tensor for tensor in inputs if tensor.name not in weights)
    if not fed or not outputs:
        raise NotOnnxError("its net has no input or no output")
    return Surface(fed, tuple(outputs), metadata, tuple(data_files))


def _weight(data: mmap.mmap, span: Span) -> tuple[str, str]:
    """The name of a weight, and the file that holds it; empty where this one does."""
    name, location = "", ""
    for number, value in _fields(data, span):
        if number == _TENSOR_NAME:
            name = _text(data, value)
        elif number == _TENSOR_EXTERNAL and isinstance(value, tuple):
            pair = dict(_fields(data, value))
            if _text(data, pair.get(1)) == "location":
                location = _text(data, pair.get(2))
    return name, location


def _tensor(data: mmap.mmap, span: Span) -> Tensor:
    name, kind = "", ""
    shape: Shape = ()
    for number, value in _fields(data, span):
        if number == 1:
            name = _text(data, value)
        elif number == 2 and isinstance(value, tuple):
            tensor = dict(_fields(data, value)).get(1)
            if isinstance(tensor, tuple):
                kind, shape = _type(data, tensor)
    return Tensor(name, shape, kind)


def _type(data: mmap.mmap, span: Span) -> tuple[str, Shape]:
    kind, shape = "", []
    for number, value in _fields(data, span):
        if number == 1 and isinstance(value, int):
            kind = _TYPES.get(value, f"type {value}")
        elif number == 2 and isinstance(value, tuple):
            for _, dimension in _fields(data, value):
                size = dict(_fields(data, dimension)).get(1) if isinstance(dimension, tuple) else 0
                shape.append(size if isinstance(size, int) and size > 0 else None)
    return kind, tuple(shape)


def _fields(data: mmap.mmap, span: Span) -> Iterator[tuple[int, int | Span]]:
    """The fields of a message: numbers, and where bytes start and end."""
    at, end = span
    while at < end:
        key, at = _varint(data, at, end)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(data, at, end)
            yield number, value
            continue
        if wire == _BYTES:
            length, at = _varint(data, at, end)
        elif wire in (_FIXED_32, _FIXED_64):
            length = 4 if wire == _FIXED_32 else 8
        else:
            raise NotOnnxError("it is not an ONNX model; export the model as ONNX")
        if at + length > end:
            raise NotOnnxError(_CUT_OFF)
        yield number, (at, at + length)
        at += length


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise NotOnnxError(_CUT_OFF)
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise NotOnnxError("it is not an ONNX model; export the model as ONNX")


def _text(data: mmap.mmap, value: int | Span | None) -> str:
    return data[slice(*value)].decode("utf-8", "replace") if isinstance(value, tuple) else ""
