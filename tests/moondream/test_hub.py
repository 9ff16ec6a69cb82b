"""Files of repositories: fetched once at the revision asked for, checked, and found offline.

The server is a real one on this host; a process of its own is used for each call, because the
library reads where the hub is when it is imported.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pipeline.moondream.checkpoints import first_seen, hub, models
from pipeline.moondream.checkpoints.hub import HubFile
from pipeline.moondream.checkpoints.models import TOKENIZERS, find_model, known_models, pull, verify
from pipeline.moondream.errors import CheckpointError
from pipeline.testing import patience
from tests.moondream.checkpoints import TINY, random_weights, write_folder
from tests.moondream.hub_server import Hub, serving

COMMIT = "0123456789abcdef0123456789abcdef01234567"
STARMIE = TOKENIZERS["starmie-v1"]

_OPEN = """
import sys
from pipeline.moondream.checkpoints.checkpoint import open_checkpoint
from pipeline.moondream.errors import CheckpointError
try:
    checkpoint = open_checkpoint(sys.argv[1], sys.argv[2] or None)
    print(checkpoint.name, checkpoint.release.name, len(checkpoint.read("cpu")))
except CheckpointError as error:
    print("refused:", error)
"""

_OPEN_EACH = """
import sys
from pipeline.moondream.checkpoints.checkpoint import open_checkpoint
from pipeline.moondream.errors import CheckpointError
for revision in sys.argv[2:]:
    try:
        checkpoint = open_checkpoint(sys.argv[1], revision)
        print(checkpoint.name, checkpoint.release.name, len(checkpoint.read("cpu")))
    except CheckpointError as error:
        print("refused:", error)
"""

_FETCH = """
import sys
from pipeline.moondream.errors import CheckpointError
from pipeline.moondream.checkpoints.hub import HubFile, fetch
try:
    print(fetch(HubFile("a/b", sys.argv[1], sys.argv[2], sha256=sys.argv[3] or None)).read_text())
except CheckpointError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def server() -> Iterator[Hub]:
    """A running hub."""
    with serving() as running:
        yield running


def ask(script: str, arguments: list[str], url: str, home: Path, *, offline: bool = False) -> str:
    """Run a script in a process of its own, with its own cache, against a hub."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
    if offline:
        environment["HF_HUB_OFFLINE"] = "1"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=patience(50),
        env=environment,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_pinned_repository_is_fetched_once_and_then_needs_no_net(
    server: Hub, tmp_path: Path
) -> None:
    """The second opening, offline, gives the same; another revision is not made up."""
    folder = write_folder(tmp_path / "model", random_weights())
    server.files["someone/finetune", COMMIT] = contents(folder)
    home, repository = tmp_path / "home", "someone/finetune"
    said = f"someone/finetune at {COMMIT} 2025-06-21 {len(random_weights())}"
    assert ask(_OPEN, [repository, COMMIT], server.url, home) == said
    asked = len(server.asked)
    assert all(COMMIT in request for request in server.asked)
    assert ask(_OPEN, [repository, COMMIT], server.url, home, offline=True) == said
    other = ask(_OPEN, [repository, "f" * 40], server.url, home, offline=True)
    assert other.startswith("refused: someone/finetune/config.json")
    assert "HF_HUB_OFFLINE is set" in other
    assert len(server.asked) == asked


def test_weights_without_a_tokenizer_of_their_own_take_the_pinned_one(
    server: Hub, tmp_path: Path
) -> None:
    """The tokenizer beside published weights is an older one: the release's is fetched."""
    folder = write_folder(tmp_path / "model", random_weights(), config={"config": {}})
    server.files["someone/finetune", COMMIT] = contents(folder)
    server.files[STARMIE.repo, STARMIE.revision] = {"tokenizer.json": b"{}"}
    revision = f"2025-06-21@{COMMIT}"
    said = ask(_OPEN, ["someone/finetune", revision], server.url, tmp_path / "home")
    assert "moondream/starmie-v1/tokenizer.json" in said
    assert "is damaged: it has 2 bytes and should have 3694206" in said


def test_the_default_is_asked_for_at_its_pinned_commit(server: Hub, tmp_path: Path) -> None:
    """Neither a branch nor a tag is trusted with the default."""
    said = ask(_OPEN, [models.DEFAULT_MODEL, ""], server.url, tmp_path)
    assert said.startswith("refused: vikhyatk/moondream2 is not a public repository")
    commit = known_models()[0].weights.revision
    assert server.asked == [f"HEAD /vikhyatk/moondream2/resolve/{commit}/model.safetensors"]


def test_a_release_can_be_said_with_a_commit(server: Hub, tmp_path: Path) -> None:
    """RELEASE@COMMIT fetches the commit and behaves as the release."""
    tokenizer = {**TINY["tokenizer"], "eos_id": 0}
    folder = write_folder(tmp_path / "m", random_weights(), config={**TINY, "tokenizer": tokenizer})
    server.files["someone/finetune", COMMIT] = contents(folder)
    said = ask(_OPEN, ["someone/finetune", f"2025-03-27@{COMMIT}"], server.url, tmp_path / "home")
    assert said.startswith(f"someone/finetune at {COMMIT} 2025-03-27 ")


@pytest.mark.parametrize(
    ("revision", "path", "sha256", "said"),
    [
        ("main", "x", hashlib.sha256(b"hello").hexdigest(), "hello"),
        ("main", "x", "0" * 64, "CheckpointError a/b/x at main is damaged: it is"),
        ("main", "y", "", "MissingFileError there is no a/b/y at main"),
        ("v2", "x", "", "CheckpointError a/b has no revision v2"),
    ],
)
def test_fetching_one_file(
    server: Hub, tmp_path: Path, revision: str, path: str, sha256: str, said: str
) -> None:
    """A file is checked when it comes; what is not there is named."""
    server.files["a/b", "main"] = {"x": b"hello"}
    assert ask(_FETCH, [revision, path, sha256], server.url, tmp_path).startswith(said)


@pytest.mark.slow
def test_a_hub_that_is_down_is_a_sentence(tmp_path: Path) -> None:
    """One sentence says so, at once; nothing is tried again and again."""
    said = ask(_FETCH, ["main", "x", ""], "http://127.0.0.1:9", tmp_path)
    assert said.startswith(
        "NotDownloadedError a/b/x at main is not in the cache and http://127.0.0.1"
    )


OFFICIAL = models.DEFAULT_MODEL
JANUARY = "adcbcd1a6d27fc19974b18dc128eb51ef6837879"
LATER_JUNE = "6b714b26eea5cbd9f31e4edb2541c170afa935ba"


def release_files(folder: Path, dtype: torch.dtype = torch.float16) -> dict[str, bytes]:
    """A repository with tiny sizes and a tokenizer of its own, whose config names no release."""
    tokenizer = {**TINY["tokenizer"], "eos_id": 0}
    return contents(
        write_folder(folder, random_weights(dtype=dtype), {**TINY, "tokenizer": tokenizer})
    )


def test_a_commit_of_an_old_release_is_never_read_as_the_newest(
    server: Hub, tmp_path: Path
) -> None:
    """Recognised by its commit, said with it, or refused; the precision is a second net."""
    early = release_files(tmp_path / "early", torch.float16)
    late = release_files(tmp_path / "late", torch.bfloat16)
    for at, files in ((JANUARY, early), (LATER_JUNE, late), (COMMIT, early), ("main", late)):
        server.files[OFFICIAL, at] = files
    server.files[OFFICIAL, "5" * 40] = late
    untold = "refused: which release vikhyatk/moondream2 is at"
    expected = {
        JANUARY: f"{OFFICIAL} at {JANUARY} 2025-01-09 ",
        JANUARY[:9]: f"{OFFICIAL} at {JANUARY} 2025-01-09 ",
        LATER_JUNE: f"{OFFICIAL} at {LATER_JUNE} 2025-06-21 ",
        f"2025-04-14@{COMMIT}": f"{OFFICIAL} at {COMMIT} 2025-04-14 ",
        f"2025-06-21@{'5' * 40}": f"{OFFICIAL} at {'5' * 40} 2025-06-21 ",
        # Nothing says which release it is.
        COMMIT: f"{untold} {COMMIT} cannot be told",
        "5" * 40: f"{untold} {'5' * 40} cannot be told",
        "main": f"refused: main of {OFFICIAL} is not a release",
        # Something is said that the precision does not bear out.
        f"2025-06-21@{COMMIT}": "refused: the weights of .* stored in float16, but release 2025-06",
        f"2025-04-14@{'5' * 40}": "refused: the weights of .* in bfloat16, but release 2025-04-14",
        "2025-01-09@main": "refused: the weights of .* in bfloat16, but release 2025-01-09",
    }
    answers = ask(_OPEN_EACH, [OFFICIAL, *expected], server.url, tmp_path / "home").splitlines()
    for revision, answer in zip(expected, answers, strict=True):
        assert re.match(expected[revision], answer), (revision, answer)


def test_a_fine_tuned_model_says_what_it_was_made_from(server: Hub, tmp_path: Path) -> None:
    """A config without ids names no release: its commit alone is not enough."""
    folder = write_folder(tmp_path / "m", random_weights(), {"config": {}})
    server.files["someone/finetune", COMMIT] = contents(folder)
    answer = ask(_OPEN, ["someone/finetune", COMMIT], server.url, tmp_path / "home")
    assert answer.startswith(f"refused: someone/finetune at {COMMIT} does not say which release")
    assert f"give revision RELEASE@{COMMIT}, or `release:`" in answer
    assert not any("safetensors" in asked for asked in server.asked)


_PULL = """
import sys
from pipeline.moondream.errors import CheckpointError
from pipeline.moondream.checkpoints.models import pull, verify
try:
    work = verify if sys.argv[1] == "verify" else pull
    how = {"trust_changed": True} if sys.argv[1] == "trust" else {}
    found = work(sys.argv[2], sys.argv[3], **how)
    for file in (found[0] if sys.argv[1] == "verify" else found).files:
        print(file.file.path, file.state, file.detail)
except CheckpointError as error:
    print("refused:", error)
"""


@pytest.mark.slow
def test_a_tag_that_moves_is_noticed(server: Hub, tmp_path: Path) -> None:
    """What was first seen is recorded, outlives the cache, and can be trusted anew."""
    revision, home = "2025-04-14@v1", tmp_path / "home"
    asked = ["someone/finetune", revision]
    server.files["someone/finetune", "v1"] = release_files(tmp_path / "first")
    server.commits["v1"] = COMMIT
    first = ask(_PULL, ["pull", *asked], server.url, home)
    assert re.search(rf"^model\.safetensors first seen on 20.* at commit {COMMIT}$", first, re.M)
    shutil.rmtree(home / "hub")  # what another day, or a full disk, does

    server.commits["v1"] = "b" * 40  # only a page of the repository changed
    assert "first seen" in ask(_PULL, ["pull", *asked], server.url, home)
    shutil.rmtree(home / "hub")

    other = write_folder(tmp_path / "second", random_weights(dtype=torch.float16, seed=1))
    server.files["someone/finetune", "v1"] |= {
        "model.safetensors": (other / "model.safetensors").read_bytes()
    }
    server.commits["v1"] = "c" * 40
    for script in (_OPEN, _PULL):  # fetched, then cached
        before = ["pull"] if script == _PULL else []
        refused = ask(script, [*before, *asked], server.url, home)
        assert refused.startswith("refused: someone/finetune/model.safetensors at v1 has changed")
        assert f"the first was at commit {COMMIT}, which can be given as the revision" in refused
        assert "models pull someone/finetune --revision v1 --trust-changed" in refused
    verified = ask(_PULL, ["verify", *asked], server.url, home, offline=True)
    assert "model.safetensors changed" in verified
    assert "model.safetensors first seen" in ask(_PULL, ["trust", *asked], server.url, home)
    assert ask(_OPEN, asked, server.url, home, offline=True).startswith("someone/finetune at v1 ")


def test_a_cache_that_cannot_be_written_to_is_used_all_the_same(tmp_path: Path) -> None:
    """A file can be read though what it is cannot be recorded."""
    file = HubFile("a/b", COMMIT, "x")
    link = cache(tmp_path, file, b"hello")
    (tmp_path / ".moonwatch").write_text("in the way")
    assert hub.fetch(file, tmp_path) == link


def test_a_broken_record_is_a_sentence(tmp_path: Path) -> None:
    """It names the file that can be deleted."""
    file = HubFile("a/b", COMMIT, "x")
    cache(tmp_path, file, b"hello")
    hub.fetch(file, tmp_path)
    place = first_seen.record(file.repo, file.revision, file.path, tmp_path)
    assert json.loads(place.read_text())["commit"] == COMMIT
    place.write_text("{")
    with pytest.raises(CheckpointError, match=re.escape(str(place)) + ".*delete it to trust"):
        hub.fetch(file, tmp_path)


def cache(folder: Path, file: HubFile, content: bytes, blob: str = "") -> Path:
    """Put a file into a cache as the library lays it out."""
    root = folder / f"models--{file.repo.replace('/', '--')}"
    stored = root / "blobs" / (blob or hashlib.sha256(content).hexdigest())
    stored.parent.mkdir(parents=True, exist_ok=True)
    stored.write_bytes(content)
    link = root / "snapshots" / file.revision / file.path
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(stored)
    return link


def test_a_cached_file_is_found_and_checked(tmp_path: Path) -> None:
    """Its size is measured, and its name in the cache is compared with the pinned hash."""
    good = HubFile("a/b", COMMIT, "x", size=5, sha256=hashlib.sha256(b"hello").hexdigest())
    link = cache(tmp_path, good, b"hello")
    assert hub.fetch(good, tmp_path) == link
    for size, sha256, said in (
        (6, good.sha256, "has 5 bytes and should have 6"),
        (5, "0" * 64, "and should be 0000"),
    ):
        with pytest.raises(CheckpointError, match=said):
            hub.fetch(HubFile("a/b", COMMIT, "x", size=size, sha256=sha256), tmp_path)


@pytest.mark.parametrize("is_pinned", [True, False])
def test_files_in_a_store_that_repositories_share_are_known(
    tmp_path: Path, is_pinned: bool
) -> None:
    """There a blob is a link to a file whose name is a hash of another kind."""
    sha256 = hashlib.sha256(b"hello").hexdigest()
    file = HubFile("a/b", COMMIT, "x", size=5, sha256=sha256 if is_pinned else None)
    link = cache(tmp_path, file, b"hello")
    blob, shared = link.resolve(), tmp_path / "blobs" / "ab" / f"ab{'0' * 62}"
    shared.parent.mkdir(parents=True)
    blob.rename(shared)
    blob.symlink_to(os.path.relpath(shared, blob.parent))
    for _ in range(2):
        assert hub.fetch(file, tmp_path).read_bytes() == b"hello"
    assert hub.damage(link, file, deep=True) is None
    seen = first_seen.recorded("a/b", COMMIT, "x", tmp_path)
    assert seen is None if is_pinned else (seen and seen.sha256) == sha256


def test_a_file_known_to_be_absent_is_not_asked_for_again(tmp_path: Path) -> None:
    """A host without net can still open a repository that has no config.json."""
    (tmp_path / "models--a--b" / ".no_exist" / COMMIT).mkdir(parents=True)
    (tmp_path / "models--a--b" / ".no_exist" / COMMIT / "config.json").touch()
    with pytest.raises(hub.MissingFileError, match=r"there is no a/b/config\.json"):
        hub.fetch(HubFile("a/b", COMMIT, "config.json"), tmp_path)


def test_names_that_are_no_repository_are_refused() -> None:
    """The library's own rules for names become one sentence."""
    with pytest.raises(CheckpointError, match="is not a repository name"):
        hub.fetch(HubFile("a/b/c", COMMIT, "x"))


def test_verify_reads_what_is_there_and_fetches_nothing(tmp_path: Path) -> None:
    """Missing, damaged and unchecked files are told apart."""
    states = {state.model.release: state for state in verify("vikhyatk/moondream2", None, tmp_path)}
    assert [file.state for file in states["2025-06-21"].files] == ["missing", "missing"]
    cache(tmp_path, STARMIE, b"{}", blob=STARMIE.sha256 or "")
    april = find_model(models.DEFAULT_MODEL, "2025-04-14")
    assert april is not None
    cache(tmp_path, april.weights, b"weights")
    june_state = verify(models.DEFAULT_MODEL, "2025-06-21", tmp_path)[0]
    assert [file.state for file in june_state.files] == ["missing", "damaged"]
    assert "has 2 bytes" in june_state.files[1].detail
    april_state = verify(models.DEFAULT_MODEL, "2025-04-14", tmp_path)[0]
    assert [file.state for file in april_state.files] == ["unchecked", "missing"]
    assert not april_state.is_usable
    assert len(verify(cache_dir=tmp_path)) == len(known_models())


def test_a_deep_check_finds_a_changed_byte(tmp_path: Path) -> None:
    """The right name and size are not enough."""
    file = HubFile("a/b", COMMIT, "x", size=5, sha256=hashlib.sha256(b"hello").hexdigest())
    link = cache(tmp_path, file, b"hellp", blob=file.sha256 or "")
    assert hub.damage(link, file, deep=False) is None
    assert "its sha256 is" in (hub.damage(link, file, deep=True) or "")


def test_pins_of_the_default_are_complete() -> None:
    """Nobody can change the default's files unseen; entries differ from each other."""
    default = known_models()[0]
    assert default.is_pinned
    assert all(file.sha256 and file.size for file in TOKENIZERS.values())
    assert all(len(file.revision) == 40 and file.size for file in default.files)
    entries = [(known.model, known.release) for known in known_models()]
    assert len(set(entries)) == len(entries)
    with pytest.raises(CheckpointError, match="is not a known model; known are vikhyatk"):
        pull("someone/else")
