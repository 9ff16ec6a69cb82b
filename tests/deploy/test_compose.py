"""docker-compose.yml fits together, and nothing in it has more rights than it needs."""

import os
import re
import shutil
import subprocess
from typing import Any

import pytest

from pipeline.deployment.loader import parse
from pipeline.testing import patience
from tests.deploy.material import PORT, ROOT, called, compose, documents, services

SHOP = {"SHOP_CAMERA_URL": "rtsp://camera/s", "SHOP_CAMERA_PASSWORD_FILE": str(ROOT / "LICENSE")}
PROFILES = ("demo", "gpu", "shop", "monitoring")


def test_one_command_brings_up_all_stages() -> None:
    """And Redis and a camera; a GPU and dashboards are asked for."""
    by_profile = {
        profile: {name for name, one in services().items() if profile in one["profiles"]}
        for profile in PROFILES
    }
    stages = {"sampler", "worker", "processor", "delivery"}
    assert by_profile["demo"] == {"redis", "camera"} | stages
    assert by_profile["gpu"] == {"redis", "worker-gpu"}
    assert by_profile["shop"] == {"shop"}
    assert by_profile["monitoring"] == {"prometheus", "grafana"}


@pytest.mark.parametrize(("name", "service"), services().items())
def test_what_a_service_refers_to_is_there(name: str, service: dict[str, Any]) -> None:
    """Volumes, networks, files, and the services that it waits for, in a profile of its own."""
    for mount in service.get("volumes", ()):
        origin = re.sub(r"\$\{\w+:-([^}]+)\}", r"\1", mount).split(":")[0]
        if origin.startswith("."):
            assert (ROOT / origin).exists(), origin
        else:
            assert origin in compose()["volumes"]
    assert set(service["networks"]) <= compose()["networks"].keys()
    for other in service.get("depends_on", ()):
        assert set(service["profiles"]) <= set(services()[other]["profiles"]), name


@pytest.mark.parametrize(
    "name", [name for name in services() if name not in ("prometheus", "grafana")]
)
def test_a_service_has_no_more_rights_than_it_needs(name: str) -> None:
    """No root, nothing to write but its volumes, no port that others reach, and a health check."""
    service = services()[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "ports" not in service
    assert service["healthcheck"]["test"][0].startswith("CMD")


def test_published_ports_are_this_machine_only() -> None:
    """Prometheus and Grafana ask nobody for a password that matters."""
    published = [port for one in services().values() for port in one.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_who_keeps_pace_with_what_is_waited_for() -> None:
    """A stage starts once Redis answers; the sampler once the camera does."""
    for one in called():
        place, name = one.place.split(": ")
        if place == "compose":
            assert f":{PORT}/healthz" in " ".join(services()[name]["healthcheck"]["test"])
            if name != "shop":
                waits = services()[name]["depends_on"]
                assert waits["redis"] == {"condition": "service_healthy"}
    assert services()["sampler"]["depends_on"]["camera"] == {"condition": "service_healthy"}


def test_redis_is_reached_by_the_stages_only() -> None:
    """Its network has no way out."""
    assert services()["redis"]["networks"] == ["queue"]
    assert compose()["networks"]["queue"] == {"internal": True}
    on_queue = {name for name, one in services().items() if "queue" in one["networks"]}
    assert on_queue == {"redis", "sampler", "worker", "worker-gpu", "processor", "delivery"}


def test_real_cameras_are_reached_without_an_edit() -> None:
    """Whoever reads cameras is on the network that leads out; the made-up one is not."""
    for name in ("sampler", "shop"):
        assert "outside" in services()[name]["networks"]
    assert compose()["networks"]["outside"] != {"internal": True}
    assert services()["camera"]["networks"] == ["inside"]


def test_a_shop_is_one_container_that_keeps_what_it_writes() -> None:
    """All stages in one process, without Redis; its folder is a volume of its own."""
    shop = services()["shop"]
    assert shop["command"][0] == "run"
    assert "depends_on" not in shop
    assert [mount for mount in shop["volumes"] if mount.endswith(":/var/lib/moonwatch")] == [
        "shop:/var/lib/moonwatch"
    ]
    loaded = parse((ROOT / "configs/shop.yaml").read_text(), (), SHOP)
    assert loaded.warnings == ()
    assert loaded.deployment.queue.type == "memory"
    assert loaded.deployment.store.url.reveal() == "sqlite:///moonwatch.db"


def test_the_password_of_a_shop_is_a_file() -> None:
    """A secret of compose, where the configuration looks for it; its variables are the file's."""
    shop = services()["shop"]
    given = shop["environment"]
    asked = set(re.findall(r"\$\{(SHOP_\w+)", (ROOT / "configs/shop.yaml").read_text()))
    assert asked == given.keys()
    (secret,) = shop["secrets"]
    assert given["SHOP_CAMERA_PASSWORD_FILE"] == f"/run/secrets/{secret}"
    assert compose()["secrets"][secret]["file"].startswith(
        "${SHOP_CAMERA_PASSWORD_FILE:-./secrets/"
    )
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"/.env", "/secrets/"} <= set(ignored)


def test_the_example_of_dotenv_names_what_compose_reads() -> None:
    """Each of its variables, and no password."""
    read = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    example = (ROOT / ".env.example").read_text()
    named = set(re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE))
    assert {name for name in read if name.startswith("SHOP_")} - named == {
        "SHOP_CAMERA_PASSWORD_FILE"
    }
    assert named <= read
    assert "MOONWATCH_CAMERA" in named


def test_only_processors_and_delivery_have_the_store() -> None:
    """Samplers and workers keep nothing."""
    mounted = {
        name
        for name, one in services().items()
        if any(mount.startswith("store:") for mount in one.get("volumes", ()))
    }
    assert mounted == {"processor", "delivery"}


def test_the_gpu_worker_gets_a_gpu() -> None:
    """One device, by NVIDIA's driver."""
    reserved = services()["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert reserved == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]


def test_what_stages_read_from_the_environment_is_what_the_file_asks_for() -> None:
    """No variable is set that nobody reads, and none is missing that has no use as it is."""
    asked = set(re.findall(r"\$\{(MOONWATCH_\w+)", (ROOT / "configs/scaled.yaml").read_text()))
    given = {name for name in services()["sampler"]["environment"] if name.startswith("MOON")}
    assert asked == given


def test_prometheus_looks_for_every_stage() -> None:
    """By the names of the services, on their port."""
    (config,) = documents(ROOT / "deploy/prometheus/prometheus.yml")
    (job,) = config["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    stages = {one.place.split(": ")[1] for one in called() if one.place.startswith("compose")}
    assert set(found["names"]) == stages
    assert found["port"] == PORT


def test_compose_itself_understands_the_file() -> None:
    """With every profile."""
    command = ["docker", "compose"]
    if shutil.which("docker-compose"):
        command = ["docker-compose"]
    elif not shutil.which("docker") or _fails([*command, "version"]):
        pytest.skip("no docker compose on this machine: apt-get install docker-compose")
    profiles = [word for profile in PROFILES for word in ("--profile", profile)]
    file = ["-f", str(ROOT / "docker-compose.yml")]
    done = subprocess.run(
        [*command, *file, *profiles, "config", "--services"],
        capture_output=True,
        text=True,
        timeout=patience(50),
        # The tool's own warnings are none of ours.
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == services().keys()


def _fails(command: list[str]) -> bool:
    done = subprocess.run(command, capture_output=True, timeout=patience(20), check=False)
    return done.returncode != 0
