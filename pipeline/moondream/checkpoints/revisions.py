"""Which release some files are: what a revision says, what a commit or a folder gives away.

All releases have the same tensors, so weights read as another release answer fluently and wrongly.
A release is therefore never assumed: it is said, known by the commit, or the files are refused.
Knows nothing of torch or of the network, so that a file can be checked without either.
"""

import difflib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pipeline.moondream.checkpoints.releases import (
    LATEST_RELEASE,
    RELEASES,
    is_early_config,
    release_named,
)
from pipeline.moondream.dims import config_groups
from pipeline.moondream.errors import CheckpointError

OFFICIAL = "vikhyatk/moondream2"
FOUR_BIT = "moondream/moondream-2b-2025-04-14-4bit"

# Commits of the official repository whose release is public knowledge.
KNOWN_COMMITS = MappingProxyType(
    {
        "9a7d4024050840e001defacec2b00727e89149e6": "2025-06-21",
        "5d6c926f44e26b07957b0dd315bbedcb4c17a5fe": "2025-06-21",  # code for transformers 5
        "6b714b26eea5cbd9f31e4edb2541c170afa935ba": "2025-06-21",
        "adcbcd1a6d27fc19974b18dc128eb51ef6837879": "2025-01-09",
    }
)
# Repositories that hold a single release, whatever the commit.
_RELEASE_OF = MappingProxyType({FOUR_BIT: "2025-04-14"})
# What can be said of these repositories can be checked without any file.
KNOWN_REPOSITORIES = frozenset({OFFICIAL, FOUR_BIT})
_NO_WEIGHTS = frozenset({"onnx", "client"})

_COMMIT = re.compile(r"[0-9a-fA-F]{40}")
_SHORT_COMMIT = re.compile(r"(?=.*\d)[0-9a-fA-F]{6,39}")
_SMALL_MODEL = re.compile(r"0[._-]?5b(?![a-z0-9])", re.IGNORECASE)
_OLD_RELEASE = re.compile(r"2024-\d\d-\d\d")
# Where huggingface_hub keeps a repository, and what it writes beside files put elsewhere.
_SNAPSHOT = re.compile(
    r"models--(?P<owner>[^/]+?)--(?P<name>[^/]+)/snapshots/(?P<commit>[0-9a-f]{40})"
)
_HEADER_NAMES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}
_MOST_HEADER = 100 << 20
# What both tokenizers call their control tokens, such as <|endoftext|>.
CONTROL_TOKEN = re.compile(r"<\|\w+\|>")
_DOWNLOADED = ".cache/huggingface/download/model.safetensors.metadata"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A release and the revision of a repository its files are at; None where neither was said.

    `is_certain` tells that the files are known to be of the release, by their commit or tag.
    """

    release: str | None
    files: str | None
    is_certain: bool = False


def wanted(model: str, revision: str | None = None, release: str | None = None) -> Wanted:
    """Understand a repository's revision: a release, a commit, tag or branch, or both with an @.

    Raises CheckpointError with the way out where the release would have to be guessed.
    """
    if _SMALL_MODEL.search(model.rpartition("/")[2]):
        raise CheckpointError(NO_SMALL_MODEL)
    said, files = check_names(revision, release)
    if model in KNOWN_REPOSITORIES:
        return _of_known_repository(model, said, files)
    if files is None:
        rest = f"{said}@COMMIT" if said else "RELEASE@COMMIT"
        raise CheckpointError(
            f"{model} needs a revision: give a commit, so that its files cannot change unnoticed, "
            f"and the release it was made from, as {rest}"
        )
    return Wanted(said, _whole_commit(model, files))


def wanted_of_folder(folder: Path, revision: str | None, release: str | None) -> Wanted:
    """Understand what is said about a folder, and where it was downloaded from."""
    said, files = check_names(revision, release)
    if files is not None:
        if _parts(revision)[0] is None:
            release_named(files)
        raise CheckpointError(
            f"{folder} is a folder, which has no revisions; give the release alone, as {said}"
        )
    repository, commit = downloaded_from(folder) or (None, "")
    found = _RELEASE_OF.get(repository or "")
    if repository in (None, OFFICIAL):
        found = KNOWN_COMMITS.get(commit)
    if found is None:
        if repository == OFFICIAL and said is None:
            raise CheckpointError(_untold(OFFICIAL, commit))
        return Wanted(said, None)
    if said not in (None, found):
        raise CheckpointError(
            f"{folder} was downloaded from commit {commit}, which is release {found}, not {said}; "
            "leave the release out"
        )
    return Wanted(found, None, is_certain=True)


def check_names(revision: str | None, release: str | None) -> tuple[str | None, str | None]:
    """Return the release and the revision that two settings name, if they agree."""
    if release is not None:
        release_named(release)
    said, files = _parts(revision)
    if said and release and said != release:
        raise CheckpointError(
            f"revision {revision} says release {said}, but release {release} is given too; "
            "leave one of them out"
        )
    return said or release, files


def _parts(revision: str | None) -> tuple[str | None, str | None]:
    """Return the release and the files of `RELEASE`, `FILES` or `RELEASE@FILES`."""
    if revision is None:
        return None, None
    said, at, files = revision.rpartition("@")
    if at and not (said and files):
        raise CheckpointError(
            f"revision {revision!r} is not complete; write RELEASE@COMMIT, such as "
            f"{LATEST_RELEASE}@COMMIT"
        )
    if at:
        return release_named(said).name, files
    return (files, None) if files in RELEASES else (None, files)


def _of_known_repository(model: str, said: str | None, files: str | None) -> Wanted:
    only = _RELEASE_OF.get(model)
    if only is not None:
        if said not in (None, only):
            raise CheckpointError(f"{model} has release {only} alone, not {said}; leave it out")
        return Wanted(only, files and _whole_commit(model, files), is_certain=True)
    if files is None:
        return Wanted(said or LATEST_RELEASE, None, is_certain=True)
    files = _whole_commit(model, files)
    found = KNOWN_COMMITS.get(files) or (files if files in RELEASES else None)
    if found is not None:
        if said not in (None, found):
            raise CheckpointError(
                f"{model} at {files} is release {found}, not {said}; give revision {found}"
            )
        return Wanted(found, None if files == found else files, is_certain=True)
    if _OLD_RELEASE.fullmatch(files):
        raise CheckpointError(
            f"{model} at {files} has the architecture of 2024, which this engine does not run; "
            f"releases it runs: {', '.join(RELEASES)}"
        )
    if files in _NO_WEIGHTS:
        raise CheckpointError(f"{model} at {files} has no safetensors weights: {NO_SMALL_MODEL}")
    if said is None:
        raise CheckpointError(_untold(model, files))
    return Wanted(said, files)


def _untold(model: str, files: str) -> str:
    """Say why a commit, tag or branch of the official repository is not enough."""
    if _COMMIT.fullmatch(files):
        return (
            f"which release {model} is at {files} cannot be told from its files, and read as "
            "another one it gives fluent nonsense; say it as RELEASE@COMMIT, such as "
            f"{LATEST_RELEASE}@{files}, or with `release:`; known releases: {', '.join(RELEASES)}"
        )
    close = difflib.get_close_matches(files, RELEASES, n=1, cutoff=0.8)
    hint = f"did you mean {close[0]}? Known releases" if close else "known releases"
    return (
        f"{files} of {model} is not a release, and a tag or branch may hold any of them; give a "
        f"release, or RELEASE@{files}; {hint}: {', '.join(RELEASES)}"
    )


def _whole_commit(model: str, files: str) -> str:
    """Return a revision whose commit is whole; a short one is completed where it is known."""
    if _COMMIT.fullmatch(files):
        return files.lower()
    if not _SHORT_COMMIT.fullmatch(files) or files in RELEASES:
        return files
    known = [c for c in KNOWN_COMMITS if c.startswith(files.lower())] if model == OFFICIAL else []
    if len(known) == 1:
        return known[0]
    raise CheckpointError(
        f"{files} is a short commit, which the hub does not look up; give all 40 digits, "
        f"as the history of {model} shows them"
    )


NO_SMALL_MODEL = (
    "the 0.5B model was published only as .mf files (ONNX for an older client), never as "
    f"safetensors, so there is nothing to load; use {OFFICIAL}, whose 4-bit file is the smaller "
    f"download: {FOUR_BIT}"
)


def stated_release(config: Mapping[str, Any]) -> str | None:
    """Return the release a config file states, by name or by its special ids; None for neither.

    The three early releases have the same ids; only that of January has no long captions. Raises
    CheckpointError for an early config that could be either.
    """
    named = config.get("release")
    if named is not None:
        return release_named(str(named)).name
    group = config_groups(config).get("tokenizer", {})
    if group.get("answer_id") is not None:
        return LATEST_RELEASE
    if is_early_config(config):
        templates = group.get("templates") or {}
        captions = templates.get("caption") if isinstance(templates, Mapping) else None
        # March and April differ in nothing but how upstream samples by default.
        if isinstance(captions, Mapping) and "long" in captions:
            return "2025-04-14"
        raise CheckpointError(
            "config.json has the special ids of the releases up to April 2025 and does not say "
            "which it is, and they read sizes differently; give the release, with `revision:`, "
            '`release:` or as "release" in config.json: 2025-04-14, 2025-03-27 or 2025-01-09'
        )
    return None


@dataclass(frozen=True, slots=True)
class FolderSigns:
    """What a folder's files show: how weights are stored, in 4 bits, and its control tokens."""

    stored: str
    is_packed: bool
    control: frozenset[int]


def release_of_folder(
    folder: Path, config: Mapping[str, Any], asked: Wanted, signs: FolderSigns
) -> str:
    """Return the release that is said, stated by the config, or the only one the files allow."""
    if asked.release is not None:
        check_config(str(folder), config, asked.release)
        is_marked = config.get("release") is not None or "tokenizer" in config_groups(config)
        is_june = RELEASES[asked.release].stored == "bfloat16" and not signs.is_packed
        if is_june and signs.stored == "float16" and not is_marked:
            raise CheckpointError(
                f"the weights of {folder} are stored in float16, but release {asked.release} was "
                "published in bfloat16, and earlier ones in float16; give the release they are "
                f'of, or, where they were converted, write "release": "{asked.release}" into '
                "config.json there"
            )
        return asked.release
    stated = stated_release(config)
    if stated is not None:
        return stated
    latest = RELEASES[LATEST_RELEASE]
    if signs.is_packed:
        why = "its layers are in 4 bits, as only release 2025-04-14 was published"
    elif signs.stored == "float16":
        why = f"its weights are stored in float16, and those of {latest.name} are in bfloat16"
    elif not signs.control.issuperset(latest.ids.known()):
        why = f"its tokenizer is not that of {latest.name}"
    else:
        return latest.name
    raise CheckpointError(
        f"{folder} does not say which release of Moondream 2 it is: {why}; give the release, with "
        f'`revision:`, `release:` or as "release" in config.json; known releases: '
        f"{', '.join(RELEASES)}"
    )


def check_config(place: str, config: Mapping[str, Any], said: str) -> None:
    """Refuse a release that the config rules out."""
    named = config.get("release")
    if named is not None and named != said:
        raise CheckpointError(
            f"config.json of {place} says release {named}, but release {said} is given; "
            "leave one of them out"
        )
    if said == LATEST_RELEASE and is_early_config(config):
        raise CheckpointError(
            f"config.json of {place} has the special ids of the releases up to April 2025, but "
            f"release {said} is given; give the release it was made from"
        )


def unclear_folder(folder: Path, revision: str | None, release: str | None) -> str | None:
    """Return why a folder's release cannot be told, from its headers alone; None where it can.

    What cannot be read is no reason: it is said when the model is loaded.
    """
    try:
        asked = wanted_of_folder(folder, revision, release)
        path = folder / "config.json"
        config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        release_of_folder(folder, config, asked, _signs(folder))
    except CheckpointError as error:
        return str(error)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return None


def doubt_of_folder(folder: Path, revision: str | None, release: str | None) -> str | None:
    """Return what speaks against the release that is said of a folder; None where nothing does.

    It is read as that release all the same: whoever says it may have made the folder.
    """
    try:
        said = wanted_of_folder(folder, revision, release).release
        path = folder / "config.json"
        config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if said is None or config.get("release") is not None:
            return None
        has_answer_id = config_groups(config).get("tokenizer", {}).get("answer_id") is not None
        if has_answer_id and said != LATEST_RELEASE:
            sign = "its config.json has `answer_id`, a token that"
        else:
            signs = _signs(folder)
            if signs.is_packed or (signs.stored, RELEASES[said].stored) != ("bfloat16", "float16"):
                return None
            sign = "its weights are stored in bfloat16, in which"
    except (CheckpointError, OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    verb = "has" if has_answer_id else "was published"
    return (
        f"{folder} is read as release {said}, but {sign} only {LATEST_RELEASE} {verb}; as the "
        "wrong release it answers fluent nonsense. If it is right, write "
        f'"release": "{said}" into config.json there'
    )


def _signs(folder: Path) -> FolderSigns:
    """Read the header of the weights and the list of added tokens."""
    with (folder / "model.safetensors").open("rb") as file:
        header = json.loads(file.read(min(int.from_bytes(file.read(8), "little"), _MOST_HEADER)))
    stored: dict[str, int] = {}
    for name, tensor in header.items():
        if name != "__metadata__" and "kv_cache" not in name and tensor["dtype"] in _HEADER_NAMES:
            size = math.prod(tensor["shape"])
            stored[tensor["dtype"]] = stored.get(tensor["dtype"], 0) + size
    tokens = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    return FolderSigns(
        _HEADER_NAMES[max(stored, key=lambda dtype: stored[dtype])],
        any(name.endswith(".weight.packed") for name in header),
        frozenset(
            token["id"]
            for token in tokens
            if token["special"] or CONTROL_TOKEN.fullmatch(token["content"])
        ),
    )


def downloaded_from(folder: Path) -> tuple[str | None, str] | None:
    """Return the repository, where it shows, and the commit that a folder was downloaded from."""
    match = _SNAPSHOT.search(folder.resolve().as_posix())
    if match:
        return f"{match['owner']}/{match['name']}", match["commit"]
    note, weights = folder / _DOWNLOADED, folder / "model.safetensors"
    try:
        commit, _, written, *_ = note.read_text(encoding="utf-8").splitlines()
        # As the library does: what was changed after the note is another file.
        is_current = weights.stat().st_mtime - 1 <= float(written)
    except (OSError, ValueError):
        return None
    return (None, commit) if is_current and _COMMIT.fullmatch(commit) else None
