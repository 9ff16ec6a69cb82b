"""What the deployments start is what moonwatch understands."""

import re
from pathlib import Path

import pytest

from pipeline.deployment.loader import read
from tests.deploy.material import (
    KUBERNETES,
    OPERATIONS,
    PORT,
    ROOT,
    STAGES,
    Called,
    called,
    option,
    problem_with,
)


def test_a_deployment_has_every_stage() -> None:
    """In compose and in Kubernetes; a shop has all of them in one process."""
    for where, more in (("compose", {"run"}), ("kubernetes", set())):
        found = {one.words[0] for one in called() if one.place.startswith(where)}
        assert found == STAGES | more


@pytest.mark.parametrize("one", called(), ids=str)
def test_a_deployment_starts_real_commands(one: Called) -> None:
    """Each with options that it has, answering on the port that probes ask."""
    assert problem_with(one.words) is None
    assert option(one.words, "--http") == f"0.0.0.0:{PORT}"


def test_a_command_that_does_not_exist_is_noticed() -> None:
    """And so is an option."""
    assert problem_with(["smaple", "x.yaml"]) == "there is no command 'smaple x.yaml'"
    assert problem_with(["check", "x.yaml", "--fast"]) == "check has no option ['--fast']"


@pytest.mark.parametrize(
    ("one", "file"),
    [
        (one, _file)
        for one in called()
        if one.words[0] == "infer"
        for _file in (
            [ROOT / "configs/scaled-gpu.yaml"]
            if one.place.startswith("compose")
            else [KUBERNETES / "overlays/gpu/moonwatch.yaml"]
        )
    ],
    ids=str,
)
def test_a_worker_serves_an_engine_of_its_file(one: Called, file: Path, tmp_path: Path) -> None:
    """The name after `--engine` is one of the file's."""
    deployment = read(*_with_secrets(file, tmp_path)).deployment
    assert option(one.words, "--engine") in deployment.engines


@pytest.mark.parametrize(
    "file",
    [
        ROOT / "configs/scaled.yaml",
        ROOT / "configs/scaled-gpu.yaml",
        KUBERNETES / "base/moonwatch.yaml",
        KUBERNETES / "overlays/gpu/moonwatch.yaml",
    ],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_a_deployed_file_is_good(file: Path, tmp_path: Path) -> None:
    """Nothing in it is wrong or unused, and its stages can be processes of their own."""
    loaded = read(*_with_secrets(file, tmp_path))
    assert loaded.warnings == ()
    assert loaded.deployment.queue.type == "redis"


def test_every_worker_has_an_engine_to_itself() -> None:
    """Whoever needs no GPU never waits for one."""
    for where in ("compose", "kubernetes"):
        workers = [
            one for one in called() if one.place.startswith(where) and one.words[0] == "infer"
        ]
        assert sorted(option(one.words, "--engine") for one in workers) == ["fast", "vlm"]


@pytest.mark.parametrize(
    "command", sorted(set(re.findall(r"`moonwatch ([a-z][^`]+)`", OPERATIONS.read_text())))
)
def test_the_manual_names_real_commands(command: str) -> None:
    """Each with options that it has."""
    assert problem_with(command.split()) is None


def _with_secrets(file: Path, folder: Path) -> tuple[Path, list[str], dict[str, str]]:
    """The file as a copy whose secrets lie in a folder of this machine."""
    secrets = {
        "redis-url": "rediss://moonwatch:hunter2@redis.example.com:6379/0",
        "store-url": "postgresql://moonwatch:hunter2@postgresql.example.com/moonwatch",
        "camera-url": "rtsp://guard:hunter2@10.0.0.7/stream2",
    }
    for name, value in secrets.items():
        (folder / name).write_text(value)
    copy = folder / "moonwatch.yaml"
    copy.write_text(file.read_text().replace("/run/secrets/moonwatch", str(folder)))
    return copy, [], {}
