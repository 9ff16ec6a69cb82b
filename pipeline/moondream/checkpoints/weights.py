"""Reads weights from a safetensors file straight to a device, whatever the file's layout.

To check a file, only its header is read. 4-bit layers become ordinary ones while they are read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from pipeline.moondream.checkpoints.tensors import Shape, canonical_name, is_buffer
from pipeline.moondream.errors import CheckpointError

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
_DTYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}
_PACKED_PARTS = ("packed", "scale", "zero_point")
# The file is mapped again after this many bytes, so that pages already copied are released.
_WINDOW_BYTES = 128 * 1024 * 1024
_NAMED = 3


@dataclass(frozen=True, slots=True)
class _TensorEntry:
    """One tensor of the file; `part` names a piece of a 4-bit weight."""

    stored_as: str
    shape: Shape
    dtype: str
    transposed: bool = False
    part: str = ""


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A checked safetensors file; `stored_dtype` is the dtype of most of its weights."""

    path: Path
    stored_dtype: torch.dtype
    _tensors: Mapping[str, Sequence[_TensorEntry]] = field(repr=False)
    _shapes: Mapping[str, Shape] = field(repr=False)

    @property
    def is_packed(self) -> bool:
        """Whether the file has 4-bit layers."""
        return any(entries[0].part for entries in self._tensors.values())

    def read(
        self, device: torch.device | str, dtype: torch.dtype | None = None
    ) -> dict[str, torch.Tensor]:
        """Return every tensor of the network by its usual name, on `device`.

        With `dtype` None they keep the file's. On the CPU in the file's own dtype the tensors are
        views of the mapped file, private to this process, and cost no memory until they are used.
        """
        weights: dict[str, torch.Tensor] = {}
        for names in self._windows():
            with safe_open(self.path, framework="pt") as file:
                for name in names:
                    entries = self._tensors[name]
                    parts = [file.get_tensor(entry.stored_as) for entry in entries]
                    weights[name] = _placed(entries, parts, self._shapes[name], device, dtype)
        return weights

    def _windows(self) -> Iterator[list[str]]:
        """Yield the names in groups of a bounded size, in no particular order."""
        window: list[str] = []
        size = 0
        for name, entries in self._tensors.items():
            window.append(name)
            size += sum(4 * torch.Size(entry.shape).numel() for entry in entries)
            if size > _WINDOW_BYTES:
                yield window
                window, size = [], 0
        yield window


def _placed(
    entries: Sequence[_TensorEntry],
    parts: list[torch.Tensor],
    shape: Shape,
    device: torch.device | str,
    dtype: torch.dtype | None,
) -> torch.Tensor:
    if entries[0].part:
        packed, scale, zero = (part.to(device) for part in parts)
        return _unpacked(packed, scale, zero).reshape(shape).to(dtype or torch.bfloat16)
    tensor = parts[0].to(device=device, dtype=dtype or parts[0].dtype)
    return tensor.t().contiguous() if entries[0].transposed else tensor


def _unpacked(packed: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor) -> torch.Tensor:
    """Return the bfloat16 weights of a 4-bit layer, one group a row.

    The high halves of the bytes hold the first half of the groups, the low halves the second.
    """
    groups = torch.cat([packed >> 4, packed & 15]).to(torch.bfloat16)
    return groups.sub_(zero).mul_(scale)


def open_weights(path: Path, table: Mapping[str, Shape]) -> WeightFile:
    """Check a file against the tensors a network has; no weight is read yet.

    Raises CheckpointError with the first tensors that are missing, unexpected or misshapen.
    """
    tensors = _grouped(_header(path))
    _check_names(path, tensors, table)
    _check_shapes(path, tensors, table)
    sizes: dict[str, int] = {}
    for entries in tensors.values():
        if not entries[0].part:
            dtype = entries[0].dtype
            sizes[dtype] = sizes.get(dtype, 0) + torch.Size(entries[0].shape).numel()
    stored = max(sizes, key=lambda dtype: sizes[dtype])
    return WeightFile(path, _DTYPES[stored], tensors, dict(table))


def _header(path: Path) -> list[tuple[str, Shape, str]]:
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; the model needs its model.safetensors")
    try:
        with safe_open(path, framework="pt") as file:
            return [
                (name, tuple(part.get_shape()), part.get_dtype())
                for name in file.keys()  # noqa: SIM118 - not a mapping
                for part in [file.get_slice(name)]
            ]
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}") from error


def _grouped(header: list[tuple[str, Shape, str]]) -> dict[str, list[_TensorEntry]]:
    """Return the tensors by usual name; a 4-bit weight has three entries, in a fixed order."""
    tensors: dict[str, list[_TensorEntry]] = {}
    for stored_as, shape, dtype in header:
        name, transposed = canonical_name(stored_as)
        if is_buffer(name):
            continue
        base, _, part = name.rpartition(".")
        if part in _PACKED_PARTS and base.endswith(".weight"):
            tensors.setdefault(base, []).append(_TensorEntry(stored_as, shape, dtype, part=part))
        else:
            tensors.setdefault(name, []).append(_TensorEntry(stored_as, shape, dtype, transposed))
    for entries in tensors.values():
        entries.sort(key=lambda entry: (*_PACKED_PARTS, "").index(entry.part))
    return tensors


def _check_names(
    path: Path, tensors: Mapping[str, Sequence[_TensorEntry]], table: Mapping[str, Shape]
) -> None:
    missing = [name for name in table if name not in tensors]
    unexpected = [
        entry.stored_as for name in tensors if name not in table for entry in tensors[name]
    ]
    doubled = [
        name
        for name, entries in tensors.items()
        if name in table and tuple(entry.part for entry in entries) not in (("",), _PACKED_PARTS)
    ]
    said = [
        f"{what} {_listed(names)}"
        for what, names in (
            ("it lacks", missing),
            ("it has unexpected", unexpected),
            ("it has in part or twice", doubled),
        )
        if names
    ]
    if said:
        raise CheckpointError(
            f"{path} does not hold this model: {'; '.join(said)}; give the checkpoint's own "
            "config.json, or a Moondream 2 checkpoint"
        )


def _check_shapes(
    path: Path, tensors: Mapping[str, Sequence[_TensorEntry]], table: Mapping[str, Shape]
) -> None:
    wrong = []
    for name, shape in table.items():
        entries = tensors[name]
        for entry, expected in zip(entries, _expected(entries, shape), strict=True):
            if entry.shape != expected:
                wrong.append(
                    f"{entry.stored_as} is {list(entry.shape)} and should be {list(expected)}"
                )
            if entry.part != "packed" and entry.dtype not in _DTYPES:
                wrong.append(f"{entry.stored_as} is {entry.dtype} and should be BF16, F16 or F32")
    if wrong:
        raise CheckpointError(
            f"{path} does not fit these sizes: {_listed(wrong)}; config.json must describe "
            "this file"
        )


def _expected(entries: Sequence[_TensorEntry], shape: Shape) -> list[Shape]:
    if not entries[0].part:
        return [shape[::-1] if entries[0].transposed else shape]
    size = torch.Size(shape).numel()
    group = entries[0].shape[-1] if entries[0].shape else 0
    if group == 0 or size % (2 * group):
        return [(0, 0)] * 3
    return [(size // (2 * group), group), (size // group, 1), (size // group, 1)]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"
