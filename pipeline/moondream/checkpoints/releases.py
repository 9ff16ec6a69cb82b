"""The published releases of Moondream 2, and what a config file changes about one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from pipeline.moondream.dims import config_groups
from pipeline.moondream.errors import CheckpointError
from pipeline.moondream.templates import Ids, Prompts, Release, SpecialIds, Template


def release_named(name: str) -> Release:
    """Return a published release; CheckpointError lists the known names."""
    if name not in RELEASES:
        raise CheckpointError(
            f"release {name!r} is not known; known releases: {', '.join(RELEASES)}"
        )
    return RELEASES[name]


def release_from_config(release: Release, config: Mapping[str, Any]) -> Release:
    """Return `release` with the ids and templates a config file's group `tokenizer` gives."""
    group = config_groups(config).get("tokenizer", {})
    unknown = sorted(set(group) - set(_ID_FIELDS) - {"templates"})
    if unknown:
        raise CheckpointError(
            f"config.json: tokenizer.{unknown[0]} is not known; "
            f"known are {', '.join((*_ID_FIELDS, 'templates'))}"
        )
    changed = {
        field: _id(f"tokenizer.{key}", group[key])
        for key, field in _ID_FIELDS.items()
        if group.get(key) is not None
    }
    ids = replace(release.ids, **changed)
    prompts = _prompts(release.prompts, group.get("templates") or {})
    return replace(release, ids=ids, prompts=prompts)


def is_early_config(config: Mapping[str, Any]) -> bool:
    """Tell whether a config names a start token but no answer token: releases up to April 2025."""
    group = config_groups(config).get("tokenizer", {})
    return "bos_id" in group and group.get("answer_id") is None


_ID_FIELDS = {
    "bos_id": "bos",
    "eos_id": "eos",
    "answer_id": "answer",
    "thinking_id": "thinking",
    "coord_id": "coord",
    "size_id": "size",
    "start_ground_points_id": "start_ground",
    "end_ground_id": "end_ground",
}


def _prompts(known: Prompts, given: Any) -> Prompts:
    if not isinstance(given, Mapping):
        raise CheckpointError(f"config.json: tokenizer.templates must be a mapping, not {given!r}")
    captions = known.captions
    if given.get("caption"):
        captions = MappingProxyType(
            {str(k): _ids(f"caption.{k}", v) for k, v in given["caption"].items()}
        )
    return Prompts(
        captions=captions,
        query=_template("query", given.get("query"), known.query),
        detect=_template("detect", given.get("detect"), known.detect),
        point=_template("point", given.get("point"), known.point),
    )


def _template(name: str, given: Any, known: Template) -> Template:
    if not given:
        return known
    if not isinstance(given, Mapping) or set(given) != {"prefix", "suffix"}:
        raise CheckpointError(
            f"config.json: tokenizer.templates.{name} must have a prefix and a suffix"
        )
    return Template(
        _ids(f"{name}.prefix", given["prefix"]), _ids(f"{name}.suffix", given["suffix"])
    )


def _ids(place: str, given: Any) -> Ids:
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise CheckpointError(
            f"config.json: tokenizer.templates.{place} must be a list of ids, not {given!r}"
        )
    return tuple(_id(f"tokenizer.templates.{place}", value) for value in given)


def _id(place: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise CheckpointError(f"config.json: {place} must be a token id, not {value!r}")
    return value


_JUNE = Release(
    name="2025-06-21",
    ids=SpecialIds(
        bos=0, eos=0, answer=3, thinking=4, coord=5, size=6, start_ground=7, end_ground=9
    ),
    prompts=Prompts(
        captions=MappingProxyType(
            {
                "short": (1, 32708, 2, 12492, 3),
                "normal": (1, 32708, 2, 6382, 3),
                "long": (1, 32708, 2, 4059, 3),
            }
        ),
        query=Template((1, 15381, 2), (3,)),
        detect=Template((1, 7235, 476, 2), (3,)),
        point=Template((1, 2581, 2), (3,)),
    ),
    tokenizer="starmie-v1",
    double_suffix=True,
    extras=True,
)
# In words: "\n\nCaption:", "\n\nQuestion: …\n\nAnswer:", "\n\nDetect: …\n\n".
_APRIL = Release(
    name="2025-04-14",
    ids=SpecialIds(bos=50256, eos=50256),
    prompts=Prompts(
        captions=MappingProxyType(
            {
                "short": (198, 198, 16438, 8305, 25),
                "normal": (198, 198, 24334, 1159, 25),
                "long": (198, 198, 14617, 8305, 25),
            }
        ),
        query=Template((198, 198, 24361, 25), (198, 198, 33706, 25)),
        detect=Template((198, 198, 47504, 25), (628,)),
        point=Template((198, 198, 12727, 25), (628,)),
    ),
    tokenizer="codegen",
    question_space=True,
    # The code of the four early checkpoints, the 4-bit one included, normalises in float16 and
    # cannot do without libvips; that of June uses bfloat16, and libvips only where it finds it.
    stored="float16",
    pixels="float16",
    resizer="vips",
)
_MARCH = replace(_APRIL, name="2025-03-27", temperature=0.0)
_JANUARY = replace(
    _MARCH,
    name="2025-01-09",
    prompts=replace(
        _APRIL.prompts,
        captions=MappingProxyType(
            {length: _APRIL.prompts.captions[length] for length in ("short", "normal")}
        ),
    ),
    size_decoding="linear",
    question_space=False,
    object_space=False,
    max_tokens=512,
    streaming="tokens",
)

RELEASES = MappingProxyType({r.name: r for r in (_JUNE, _APRIL, _MARCH, _JANUARY)})
LATEST_RELEASE = "2025-06-21"
