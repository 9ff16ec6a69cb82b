"""Builds the images, brings up what docker-compose.yml describes, breaks it, and looks.

    deploy/containers/standins.sh                   # once, where no registry is reached
    python deploy/containers/trial.py               # build, demo, shop
    python deploy/containers/trial.py demo --keep   # one of them; its containers stay

Needs podman 4 with netavark, aardvark-dns, catatonit and runc, root, and PyYAML; neither systemd
nor a registry. podman-compose would wait for ever without systemd, as podman lets that ask how
healthy a container is. So this reads docker-compose.yml itself, and refuses what it does not know.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
FILE = "/etc/moonwatch/moonwatch.yaml"
PROJECT = "moonwatch-trial"
# What `moonwatch status` has to name when a service is gone.
NOTICED = {
    "worker": "inference",
    "processor": "processing",
    "redis": "redis",
    "sampler": "sampling",
    "delivery": "delivery",
    "camera": "camera plaza",
}
BUILD_S, HEALTHY_S, EVENT_S, NOTICE_S, STOP_S = 900.0, 120.0, 180.0, 120.0, 30
_T = TypeVar("_T")
UNDERSTOOD = {
    *("image", "build", "profiles", "init", "restart", "read_only", "tmpfs", "cap_drop"),
    *("security_opt", "environment", "volumes", "stop_grace_period", "healthcheck", "logging"),
    *("user", "command", "networks", "depends_on", "secrets"),
}
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def main() -> int:
    """Do what was asked for; 1 where something was not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", nargs="*", metavar="build|demo|shop", help="all, if none is named")
    parser.add_argument("--keep", action="store_true", help="leave the containers running")
    asked = parser.parse_args()
    what = asked.what or ["build", "demo", "shop"]
    if unknown := [one for one in what if one not in ("build", "demo", "shop")]:
        parser.error(f"{unknown[0]!r} is none of build, demo and shop")
    os.environ.setdefault("CONTAINERS_CONF", str(Path(__file__).with_name("containers.conf")))
    if "build" in what:
        build("core")
        build("camera")
    for name, trial in (("demo", demo), ("shop", shop)):
        if name not in what:
            continue
        down()
        try:
            trial()
        except BaseException:
            for one in containers():
                say(f"--- last lines of {one}")
                say(logs(one, 15))
            raise
        finally:
            if not asked.keep:
                down()
    return 0


# --- what is tried --------------------------------------------------------------------------------


def build(target: str) -> None:
    """An image from the Dockerfile, with pip and its certificates set up as on this machine."""
    began = time.monotonic()
    own = ["/etc/ssl/certs", "/etc/pip.conf"]
    mounts = [f"--volume={path}:{path}:ro" for path in own if Path(path).exists()]
    image = f"moonwatch-{target}:local"
    podman(
        *("build", "--pull=never", "--format=docker", "--layers", "--network=host", *mounts),
        *(f"--target={target}", f"--tag={image}", str(ROOT)),
        within_s=BUILD_S,
    )
    size = int(podman("image", "inspect", "--format={{.Size}}", image))
    say(f"built {image}: {size / 1e6:.0f} MB, {since(began)}")


def demo() -> None:
    """Every stage a container; each is lost for a while, and crashes once."""
    began = time.monotonic()
    names = ["redis", "camera", "sampler", "worker", "processor", "delivery"]
    for name in names:
        up(name)
    say(f"demo: all {len(names)} healthy after {since(began)}")
    first = wait("an event in events.jsonl", EVENT_S, lambda: events("delivery", "events.jsonl"))
    say(f"demo: first event after {since(began)}: {first[0]['type']}")
    wait("status to be well", NOTICE_S, lambda: status("delivery")["ok"] is True)
    say(f"demo: status says that all is well after {since(began)}")

    for name, named in NOTICED.items():
        lose(name, named)
        crash(name)
    ids = [one["id"] for one in events("delivery", "events.jsonl")]
    say(f"demo: {len(ids)} events, {len(ids) - len(set(ids))} of them sent twice")
    for name in ("delivery", "processor", "worker", "sampler", "camera", "redis"):
        stop(name)


def lose(name: str, named: str) -> None:
    """Kill a container that nobody starts again, until status names it; then start it."""
    asked = who_is_asked(name)
    gone = time.monotonic()
    podman("kill", called(name))
    said = wait(f"status to name {named!r}", NOTICE_S, lambda: named_in(asked, named))
    say(f"demo: {name} killed for good, named after {since(gone)}: {said}")
    back = time.monotonic()
    podman("start", called(name))
    wait(f"{name} to be healthy", HEALTHY_S, lambda: healthy(name))
    wait("status to be well again", NOTICE_S, lambda: status(asked)["ok"] is True)
    say(f"demo: {name} started, all is well after {since(back)}")


def crash(name: str) -> None:
    """Kill its first process, so that `restart:` brings it back."""
    asked = who_is_asked(name)
    had = len(events(asked, "events.jsonl"))
    killed = time.monotonic()
    pid = pid_of(name)
    os.kill(int(pid), signal.SIGKILL)
    wait(f"{name} to come back", NOTICE_S, lambda: restarted(name, pid))
    wait("status to be well again", NOTICE_S, lambda: status(asked)["ok"] is True)
    say(f"demo: {name} crashed, came back by itself, all is well after {since(killed)}")
    wait("another event", EVENT_S, lambda: len(events(asked, "events.jsonl")) > had)
    say(f"demo: another event {since(killed)} after the crash")


def who_is_asked(gone: str) -> str:
    """A container that lives and has the store."""
    return "processor" if gone == "delivery" else "delivery"


def shop() -> None:
    """One container with the camera beside it, as on the shop's own network."""
    with tempfile.TemporaryDirectory() as folder:
        password = Path(folder) / "camera_password"
        password.write_text("not-asked-for\n")
        os.chown(password, 10001, -1)
        password.chmod(0o400)
        given = {
            "SHOP_CAMERA_URL": "rtsp://camera:8554/plaza.mp4/play_count_0",
            "SHOP_CAMERA_USER": "moonwatch",
            "SHOP_CAMERA_PASSWORD_FILE": str(password),
        }
        began = time.monotonic()
        up("camera", networks=["outside"])
        up("shop", given)
        say(f"shop: healthy after {since(began)}")
        first = wait("an event", EVENT_S, lambda: events("shop", "events*.jsonl"))
        say(f"shop: first event after {since(began)}: {first[0]['type']}")
        shown = podman("inspect", called("shop")) + logs(called("shop"))
        if "not-asked-for" in shown:
            fail("the camera's password is seen from outside")
        say(f"shop: status: ok is {status('shop')['ok']}")
        had = len(events("shop", "events*.jsonl"))
        killed = time.monotonic()
        pid = pid_of("shop")
        os.kill(int(pid), signal.SIGKILL)
        wait("shop to be started again", NOTICE_S, lambda: restarted("shop", pid))
        wait("another event", EVENT_S, lambda: len(events("shop", "events*.jsonl")) > had)
        say(f"shop: another event {since(killed)} after it was killed")
        stop("shop")


def stop(service: str) -> None:
    """In order, as `docker compose stop` does; a service that had to be killed is a failure."""
    began = time.monotonic()
    podman("stop", f"--time={STOP_S}", called(service), within_s=STOP_S + 30)
    code = podman("inspect", "--format={{.State.ExitCode}}", called(service)).strip()
    if code != "0":
        fail(f"{service} ended with {code} when it was stopped")
    say(f"{service}: stopped in {since(began)}, exit code {code}")


def events(service: str, name: str) -> list[dict[str, Any]]:
    """The events in a file of a container's folder; none while it is not there."""
    text = podman("exec", called(service), "sh", "-c", f"cat {name} 2>/dev/null", check=False)
    return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


def status(service: str) -> dict[str, Any]:
    """What `moonwatch status --json` says inside a container."""
    text = podman("exec", called(service), "moonwatch", "status", FILE, "--json", check=False)
    found: dict[str, Any] = json.loads(text) if text.startswith("{") else {"ok": None, "text": text}
    return found


def named_in(service: str, named: str) -> str:
    """What status says is wrong, once it names this; empty until then."""
    found = status(service)
    said = "; ".join(found.get("troubles", ()))
    return said if found["ok"] is False and named in said else ""


# --- docker-compose.yml, as far as it is used here ------------------------------------------------


def up(
    service: str, given: Mapping[str, str] | None = None, networks: Sequence[str] | None = None
) -> None:
    """Start a service as the file says, or on other networks, and wait until it is healthy."""
    compose = yaml.safe_load(COMPOSE.read_text())
    one = compose["services"][service]
    if unknown := one.keys() - UNDERSTOOD:
        fail(f"{service} has {sorted(unknown)}, which is not understood here")

    def filled(text: object) -> str:
        return VARIABLE.sub(
            lambda found: {**(given or {})}.get(found[1]) or found[2] or "", str(text)
        )

    options = [
        f"--name={called(service)}",
        f"--label=project={PROJECT}",
        f"--restart={one['restart']}",
    ]
    options += ["--init"] if one.get("init") else []
    options += ["--read-only"] if one.get("read_only") else []
    options += [f"--user={one['user']}"] if "user" in one else []
    options += [f"--tmpfs={path}" for path in one.get("tmpfs", ())]
    options += [f"--cap-drop={name}" for name in one.get("cap_drop", ())]
    options += [f"--security-opt={filled(text)}" for text in one.get("security_opt", ())]
    options += [f"--env={name}={filled(v)}" for name, v in one.get("environment", {}).items()]
    for network in networks or one["networks"]:
        inside = ["--internal"] if (compose["networks"][network] or {}).get("internal") else []
        label = f"--label=project={PROJECT}"
        name = f"{PROJECT}-{network}"
        if podman("network", "exists", name, check=None) != "0":
            podman("network", "create", label, *inside, name)
        options.append(f"--network={name}:alias={service}")
    for mount in map(filled, one.get("volumes", ())):
        origin, _, rest = mount.partition(":")
        if origin.startswith((".", "/")):
            origin = str((ROOT / origin).resolve())
        else:
            origin = f"{PROJECT}-{origin}"
            if podman("volume", "exists", origin, check=None) != "0":
                podman("volume", "create", f"--label=project={PROJECT}", origin)
        options.append(f"--volume={origin}:{rest}")
    for secret in one.get("secrets", ()):
        path = (ROOT / filled(compose["secrets"][secret]["file"])).resolve()
        options.append(f"--volume={path}:/run/secrets/{secret}:ro")
    options += ["--detach", "--pull=never", "--no-healthcheck"]
    podman("run", *options, one["image"], *one.get("command", ()))
    wait(f"{service} to be healthy", HEALTHY_S, lambda: healthy(service))


def services() -> dict[str, dict[str, Any]]:
    """Those of docker-compose.yml."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
    return found


def healthy(service: str) -> bool:
    """Whether the health check of the file succeeds inside its container."""
    kind, *test = services()[service]["healthcheck"]["test"]
    words = ["sh", "-c", *test] if kind == "CMD-SHELL" else test
    return podman("exec", called(service), *words, check=None) == "0"


def restarted(service: str, before: str) -> bool:
    """Whether it runs as another process than before, and is healthy."""
    return pid_of(service) not in ("0", before) and healthy(service)


def pid_of(service: str) -> str:
    """The container's first process; 0 where there is none."""
    return podman("inspect", "--format={{.State.Pid}}", called(service)).strip()


def called(service: str) -> str:
    """The name of its container."""
    return f"{PROJECT}-{service}"


def logs(name: str, lines: int = -1) -> str:
    """The last lines of a container, all of them if no number is named."""
    done = subprocess.run(
        ["podman", "logs", f"--tail={lines}", name],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout


def containers() -> list[str]:
    """All of ours, stopped ones too."""
    ours = f"--filter=label=project={PROJECT}"
    return podman("ps", "--all", ours, "--format={{.Names}}").split()


def down() -> None:
    """Leave nothing of ours: containers, volumes, networks."""
    ours = f"--filter=label=project={PROJECT}"
    for name in containers():
        podman("rm", "--force", "--time=5", name)
    for kind in ("volume", "network"):
        for name in podman(kind, "ls", ours, "--format={{.Name}}").split():
            podman(kind, "rm", "--force", name)


# --- small things ---------------------------------------------------------------------------------


def podman(*words: str, within_s: float = 60, check: bool | None = True) -> str:
    """What it says; with `check` None its exit code instead. A failure ends everything."""
    done = subprocess.run(
        ["podman", *words], capture_output=True, text=True, timeout=within_s, check=False
    )
    if check is None:
        return str(done.returncode)
    if check and done.returncode:
        fail(f"podman {' '.join(words)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout


def wait(what: str, within_s: float, look: Callable[[], _T]) -> _T:
    """What `look` finds as soon as it finds something."""
    until = time.monotonic() + within_s
    while not (found := look()):
        if time.monotonic() > until:
            fail(f"waited {within_s:.0f} s for {what}, in vain")
        time.sleep(0.5)
    return found


def since(began: float) -> str:
    """The time that passed, to be read."""
    return f"{time.monotonic() - began:.1f} s"


def say(text: str) -> None:
    """A line of the report, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def fail(text: str) -> NoReturn:
    """End with 1 and a sentence."""
    raise SystemExit(text)


if __name__ == "__main__":
    sys.exit(main())
