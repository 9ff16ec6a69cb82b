"""Network sizes of Moondream 2: value objects read from a config, with the published defaults."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self, TypeVar

from pipeline.moondream.errors import CheckpointError


@dataclass(frozen=True, slots=True)
class TextDims:
    """The language model: `n_layers` parallel blocks, grouped key and value heads."""

    dim: int = 2048
    ff_dim: int = 8192
    n_layers: int = 24
    vocab_size: int = 51200
    max_context: int = 2048
    n_heads: int = 32
    n_kv_heads: int = 32

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.dim // self.n_heads

    @property
    def rotary_dim(self) -> int:
        """How many leading dimensions of a head are rotated: half of them (32 of 64)."""
        return self.head_dim // 2

    @property
    def qkv_dim(self) -> int:
        """Rows of the fused query, key and value projection."""
        return self.head_dim * (self.n_heads + 2 * self.n_kv_heads)


@dataclass(frozen=True, slots=True)
class VisionDims:
    """The picture encoder and its projection; lengths of a crop in pixels, margin in patches."""

    enc_dim: int = 1152
    enc_patch_size: int = 14
    enc_n_layers: int = 27
    enc_ff_dim: int = 4304
    enc_n_heads: int = 16
    proj_out_dim: int = 2048
    crop_size: int = 378
    in_channels: int = 3
    max_crops: int = 12
    overlap_margin: int = 4
    proj_inner_dim: int = 8192

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.enc_dim // self.enc_n_heads

    @property
    def grid(self) -> int:
        """Patches along one side of a crop (27)."""
        return self.crop_size // self.enc_patch_size

    @property
    def n_patches(self) -> int:
        """Patches of a crop, and picture tokens of any picture (729)."""
        return self.grid**2

    @property
    def patch_dim(self) -> int:
        """Values of a flattened patch (588)."""
        return self.in_channels * self.enc_patch_size**2

    @property
    def window_patches(self) -> int:
        """Patches from one local crop to the next (19)."""
        return self.grid - 2 * self.overlap_margin


@dataclass(frozen=True, slots=True)
class RegionDims:
    """The coordinate and size coders; `size_out_dim` holds the width bins, then the height bins."""

    dim: int = 2048
    coord_feat_dim: int = 256
    coord_out_dim: int = 1024
    size_feat_dim: int = 512
    size_out_dim: int = 2048
    inner_dim: int = 8192

    @property
    def coord_bins(self) -> int:
        """Bins of a coordinate (1024)."""
        return self.coord_out_dim

    @property
    def size_bins(self) -> int:
        """Bins of a width or a height (1024)."""
        return self.size_out_dim // 2


@dataclass(frozen=True, slots=True)
class Dims:
    """All sizes of one network; the default is the published 2B model."""

    text: TextDims = TextDims()
    vision: VisionDims = VisionDims()
    region: RegionDims = RegionDims()

    def __post_init__(self) -> None:
        """Reject sizes that cannot belong to one network."""
        _check_text(self.text, self.prefix_len)
        _check_vision(self.vision)
        _check_region(self.region)
        _same("vision.proj_out_dim", self.vision.proj_out_dim, "text.dim", self.text.dim)
        _same("region.dim", self.region.dim, "text.dim", self.text.dim)

    @property
    def prefix_len(self) -> int:
        """Positions before the prompt: one start token and the picture tokens (730)."""
        return 1 + self.vision.n_patches

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Read the groups `text`, `vision` and `region`; what is left out has the 2B value.

        Published configs wrap the groups in a key `config`, which may be empty. Raises
        CheckpointError with a sentence for an unknown field or an impossible size.
        """
        groups = config_groups(config)
        text = dict(groups.get("text", {}))
        if "n_kv_heads" not in text and "n_heads" in text:
            # The published 0.5B config leaves it out and means one key head per query head.
            text["n_kv_heads"] = text["n_heads"]
        vision, region = groups.get("vision", {}), groups.get("region", {})
        return cls(
            text=_group(TextDims, "text", text, ignored=("prefix_attn", "group_size")),
            vision=_group(VisionDims, "vision", vision),
            region=_group(RegionDims, "region", region, ignored=("group_size",)),
        )


def config_groups(config: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the groups of a config file, looking inside its key `config` where it has one."""
    inner = config.get("config", config)
    if not isinstance(inner, Mapping):
        raise CheckpointError(f"config.json: 'config' must be a mapping, not {inner!r}")
    groups = {}
    for name in ("text", "vision", "region", "tokenizer"):
        group = inner.get(name, {})
        if not isinstance(group, Mapping):
            raise CheckpointError(f"config.json: {name!r} must be a mapping, not {group!r}")
        if group:
            groups[name] = group
    return groups


_SizesT = TypeVar("_SizesT", TextDims, VisionDims, RegionDims)


def _group(
    kind: type[_SizesT], name: str, values: Mapping[str, Any], ignored: tuple[str, ...] = ()
) -> _SizesT:
    known = [field.name for field in fields(kind)]
    sizes: dict[str, int] = {}
    for key, value in values.items():
        if key in ignored:
            continue
        if key not in known:
            raise CheckpointError(_unknown(f"{name}.{key}", name, known))
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise CheckpointError(
                f"config.json: {name}.{key} must be a whole number of at least 0, not {value!r}"
            )
        sizes[key] = value
    return kind(**sizes)


def _unknown(place: str, group: str, known: list[str]) -> str:
    if place == "text.moe":
        return (
            "config.json: text.moe belongs to Moondream 3, which this engine cannot run; "
            "give a Moondream 2 checkpoint"
        )
    close = difflib.get_close_matches(place.partition(".")[2], known, n=1)
    hint = f"did you mean {group}.{close[0]}?" if close else f"known are {', '.join(known)}"
    return f"config.json: {place} is not a size of Moondream 2; {hint}"


def _check_text(text: TextDims, prefix_len: int) -> None:
    for name in ("dim", "ff_dim", "n_layers", "vocab_size", "n_heads", "n_kv_heads"):
        _positive(f"text.{name}", getattr(text, name))
    _divides("text.n_heads", text.n_heads, "text.dim", text.dim)
    _divides("text.n_kv_heads", text.n_kv_heads, "text.n_heads", text.n_heads)
    if text.head_dim % 4:
        raise CheckpointError(
            f"text.dim / text.n_heads is {text.head_dim}, but half a head is rotated in pairs: "
            "it must be a multiple of 4"
        )
    if text.max_context <= prefix_len:
        raise CheckpointError(
            f"text.max_context is {text.max_context}, which leaves no room for a prompt after "
            f"the {prefix_len} positions of a picture"
        )


def _check_vision(vision: VisionDims) -> None:
    for field in fields(VisionDims):
        if field.name != "overlap_margin":
            _positive(f"vision.{field.name}", getattr(vision, field.name))
    _divides("vision.enc_n_heads", vision.enc_n_heads, "vision.enc_dim", vision.enc_dim)
    _divides("vision.enc_patch_size", vision.enc_patch_size, "vision.crop_size", vision.crop_size)
    if vision.in_channels != 3:
        raise CheckpointError(f"vision.in_channels is {vision.in_channels}; pictures have 3 (RGB)")
    if vision.window_patches < 1:
        raise CheckpointError(
            f"vision.overlap_margin is {vision.overlap_margin}, which leaves nothing of a crop's "
            f"{vision.grid} patches; it must be below {vision.grid / 2:g}"
        )


def _check_region(region: RegionDims) -> None:
    for field in fields(RegionDims):
        _positive(f"region.{field.name}", getattr(region, field.name))
    for name in ("coord_feat_dim", "size_feat_dim", "size_out_dim"):
        _divides("2", 2, f"region.{name}", getattr(region, name))
    if region.coord_bins < 2 or region.size_bins < 2:
        raise CheckpointError("region.coord_out_dim needs 2 bins, region.size_out_dim 4, at least")


def _positive(name: str, value: int) -> None:
    if value < 1:
        raise CheckpointError(f"{name} is {value}; it must be at least 1")


def _divides(part_name: str, part: int, whole_name: str, whole: int) -> None:
    if whole % part:
        said = part_name if part_name == str(part) else f"{part_name} ({part})"
        raise CheckpointError(f"{whole_name} is {whole}, which {said} does not divide")


def _same(name: str, value: int, other_name: str, other: int) -> None:
    if value != other:
        raise CheckpointError(f"{name} is {value} but {other_name} is {other}; they must be equal")


DIMS_2B = Dims()
DIMS_05B = Dims(
    text=TextDims(dim=1024, ff_dim=4096, n_heads=16, n_kv_heads=16),
    vision=VisionDims(enc_dim=720, enc_ff_dim=2690, enc_n_heads=10, proj_out_dim=1024),
    region=RegionDims(dim=1024),
)
