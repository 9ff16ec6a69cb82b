"""What models are called over HTTP: the model, its release as a tag, and a skill.

moondream2                        what is served
vikhyatk/moondream2@2025-06-21    the same, only while it is this release
moondream2:2025-06-21@COMMIT      and this commit, as answers call it
moondream2:detect                 boxes as JSON: the user's text is the name of an object
"""

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from pipeline.inference.callers import ModelFacts
from pipeline.server.errors import ApiError

SHORT_NAME = "moondream2"
ServedSkill: TypeAlias = Literal["query", "caption", "detect", "point"]
SKILLS: tuple[ServedSkill, ...] = get_args(ServedSkill)
LEAST_COMMIT = 7
_PLAIN = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True, slots=True)
class AskedModel:
    """A model that is served, and the skill that its name asked for (query where none)."""

    id: str
    """As it was written."""
    skill: ServedSkill | None


def names_of(facts: ModelFacts) -> list[str]:
    """Return what the model is called, the shortest name first; skills are added to these."""
    names = [SHORT_NAME]
    # A folder's path is nobody's business.
    if _PLAIN.fullmatch(facts.name) and facts.name != SHORT_NAME:
        names.append(facts.name)
    return names


def listed_models(facts: ModelFacts) -> list[str]:
    """Return every id that is worth listing."""
    short, *others = names_of(facts)
    return [
        short,
        f"{short}:{facts.release}",
        *(f"{short}:{skill}" for skill in SKILLS if skill != "query"),
        *others,
        *(f"{name}@{facts.release}" for name in others),
    ]


def exact_name(facts: ModelFacts) -> str:
    """Return what answers, release and commit, which may also be asked for."""
    commit = f"@{facts.commit}" if facts.commit else ""
    return f"{SHORT_NAME}:{facts.release}{commit}"


def fingerprint(facts: ModelFacts) -> str:
    """Return what changes whenever answers may: the commit, the engine and its numbers."""
    commit = facts.commit[:12] or facts.release
    return f"fp_{commit}_{facts.engine_version}_{facts.dtype}"


def asked_model(name: str, facts: ModelFacts, *, param: str = "model") -> AskedModel:
    """Return what a name asks for; raises ApiError where it is not served."""
    rest = name.strip()
    skill: ServedSkill | None = None
    for known in SKILLS:
        if rest.endswith(f":{known}"):
            skill, rest = known, rest.removesuffix(f":{known}")
            break
    for base in sorted(names_of(facts), key=len, reverse=True):
        tag = rest.removeprefix(base)
        if tag != rest and _is_this(tag, facts):
            return AskedModel(name, skill)
    shown = name if len(name) <= 80 else name[:80] + "…"
    raise ApiError(
        404,
        f"the model {shown!r} is not served here; use {SHORT_NAME} ({exact_name(facts)})",
        param=param,
        code="model_not_found",
    )


def _is_this(tag: str, facts: ModelFacts) -> bool:
    """Whether `:RELEASE`, `@RELEASE` or either with `@COMMIT` is what is served."""
    if not tag:
        return True
    if tag[0] not in ":@":
        return False
    release, at, commit = tag[1:].partition("@")
    if release != facts.release:
        # Before the first release tag, models of the hub are asked for by commit alone.
        return not at and _is_commit(release, facts)
    return not at or _is_commit(commit, facts)


def _is_commit(text: str, facts: ModelFacts) -> bool:
    return len(text) >= LEAST_COMMIT and facts.commit.startswith(text)
