"""Finds ONVIF cameras and words them as YAML to paste: `moonwatch discover`."""

import ipaddress
import json
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from connectors.sources.onvif_client import (
    OnvifCamera,
    OnvifClient,
    OnvifError,
    OnvifProfile,
    host_of,
)
from pipeline.core.events import JsonValue

_AT_ONCE = 32
_MOST_ADDRESSES = 1024
_CAMERA_S = 60.0
_KNOCK_S = 2.0
_LEAST_WIDTH = 600
_CLOCK_OFF_S = 2.0
PASSWORD_VARIABLE = "CAMERA_PASSWORD"
_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::(?P<port>\d{1,5}))?")


@dataclass(frozen=True, slots=True)
class Discovered:
    """A camera, or why it could not be asked."""

    host: str
    camera: OnvifCamera | None = None
    failure: str | None = None

    def as_json(self) -> dict[str, JsonValue]:
        """The same for machines."""
        known: JsonValue = None
        if self.camera is not None:
            known = json.loads(json.dumps(asdict(self.camera)))
        return {"host": self.host, "camera": known, "failure": self.failure}


def addresses_in(text: str) -> list[tuple[str, bool]]:
    """Device services at `HOST`, `HOST:PORT` or in a range such as `10.0.0.0/28`.

    With each is whether it was named itself: of a range only what answers counts. Raises ValueError
    with a sentence.
    """
    if "/" in text:
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError(f"{text[:60]!r} is not a range; write it like 10.0.0.0/28") from None
        if network.num_addresses > _MOST_ADDRESSES:
            raise ValueError(f"{text[:60]!r} has more than {_MOST_ADDRESSES} addresses")
        return [(_service(str(one), 80), False) for one in network.hosts()]
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found["port"] or 80) not in range(1, 65536):
        raise ValueError(
            f"{text[:60]!r} is not an address; write it like 10.0.0.7 or 10.0.0.7:8080"
        )
    return [(_service(found["host"].strip("[]"), int(found["port"] or 80)), True)]


def _service(host: str, port: int) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/onvif/device_service"


def describe_all(
    addresses: Sequence[tuple[str, bool]], user: str | None, password: str
) -> Iterator[Discovered]:
    """Ask them at the same time, each within its time; in their order."""
    found: dict[int, Discovered | None] = {}
    changed = threading.Condition()

    def ask(index: int, address: str, *, named: bool) -> None:
        answer = _described(address, user, password, named=named)
        with changed:
            found.setdefault(index, answer)
            changed.notify_all()

    pending = list(enumerate(addresses))
    running: dict[int, float] = {}
    shown = 0
    while shown < len(addresses):
        with changed:
            now = time.monotonic()
            for index in [index for index in running if index in found]:
                del running[index]
            for index in [index for index, until in running.items() if until <= now]:
                words = f"has not said all within {_CAMERA_S:g} s"
                found[index] = Discovered(host_of(addresses[index][0]) or "", failure=words)
                del running[index]
            while pending and len(running) < _AT_ONCE:
                index, (address, named) = pending.pop(0)
                running[index] = now + _CAMERA_S
                threading.Thread(
                    target=ask, args=(index, address), kwargs={"named": named}, daemon=True
                ).start()
            if shown not in found:
                changed.wait(max(0.0, min(running.values()) - now))
        while shown in found:
            one = found[shown]
            if one is not None:
                yield one
            shown += 1


def _described(address: str, user: str | None, password: str, *, named: bool) -> Discovered | None:
    host = host_of(address) or ""
    if not named and not _listens(address):
        return None
    client = OnvifClient(address, user, password)
    try:
        return Discovered(host, client.describe())
    except OnvifError as error:
        return Discovered(host, failure=str(error))
    except Exception as error:  # noqa: BLE001 - one camera's fault must not end the others
        return Discovered(host, failure=f"could not be asked: unexpected {type(error).__name__}")
    finally:
        client.close()


def _listens(address: str) -> bool:
    host, _, port = address.removeprefix("http://").partition("/")[0].rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _KNOCK_S):
            return True
    except OSError:
        return False


def as_yaml(found: Sequence[Discovered], user: str | None) -> str:
    """A deployment file with these cameras; what could not be asked is a comment."""
    lines = ["version: 1", "cameras:"]
    names: set[str] = set()
    usable = 0
    for one in found:
        camera = one.camera
        sampled = None if camera is None else for_sampling(camera.profiles)
        if camera is None or sampled is None:
            why = one.failure or "has no stream over RTSP"
            lines.append(f"  # {one.host}: {_comment(why)}")
            continue
        usable += 1
        lines += _camera_lines(one.host, camera, sampled, _name(camera, one.host, names), user)
    if not usable:
        lines[0:2] = ["# no camera that could be used was found"]
    return "\n".join(lines) + "\n"


def _camera_lines(
    host: str, camera: OnvifCamera, sampled: OnvifProfile, name: str, user: str | None
) -> Iterator[str]:
    what = " ".join(filter(None, (camera.maker, camera.model))) or "a camera"
    firmware = f", firmware {camera.firmware}" if camera.firmware else ""
    yield f"  # {_comment(f'{what}{firmware}, at {host}')}"
    offset = camera.clock_offset_s
    if offset is not None and abs(offset) >= _CLOCK_OFF_S:
        way = "ahead of" if offset > 0 else "behind"
        off = f"its clock is {abs(offset):.0f} s {way} this machine's"
        yield f"  # {off}; let it take its time by NTP"
    for remark in (*camera.remarks, *filter(None, (one.remark for one in camera.profiles))):
        yield f"  # {_comment(remark)}"
    yield f"  {name}:"
    yield "    source:"
    yield "      type: rtsp"
    yield f"      # {_comment(f'{sampled.name}: {sampled}')}"
    yield f"      url: {_quoted(sampled.url or '')}"
    if user is not None:
        yield f"      username: {_quoted(user)}"
        yield f"      password: ${{{PASSWORD_VARIABLE}}}"
    main = largest(camera.profiles)
    if main is not None and main.url is not None and main != sampled:
        yield f"      # the main stream, {_comment(f'{main.name}: {main}')}:"
        yield f"      # {_comment(f'url: {_quoted(main.url)}')}"
        yield "      # clips are cut from the stream that is sampled: take this where they matter"
    yield "    tasks:"
    yield "      people: {detect: person}"


def for_sampling(profiles: Sequence[OnvifProfile]) -> OnvifProfile | None:
    """The smallest stream that a detector can make use of; H.264 and H.265 before others."""
    usable = [one for one in profiles if one.url is not None]
    video = [one for one in usable if one.codec.startswith("H.")] or usable
    large = [one for one in video if one.size_wh[0] >= _LEAST_WIDTH]
    if large:
        return min(large, key=_area)
    return max(video, key=_area, default=None)


def largest(profiles: Sequence[OnvifProfile]) -> OnvifProfile | None:
    """The stream with the most pixels."""
    return max((one for one in profiles if one.url is not None), key=_area, default=None)


def _area(profile: OnvifProfile) -> int:
    return profile.size_wh[0] * profile.size_wh[1]


def _name(camera: OnvifCamera, host: str, names: set[str]) -> str:
    """A name that no other camera has: of its model, with a number where that is not enough."""
    words = f"{camera.maker} {camera.model}".strip() or f"camera {host}"
    slug = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:40].strip("-") or "camera"
    if not slug[0].isalpha():
        slug = f"camera-{slug}"
    name = slug
    number = 1
    while name in names:
        number += 1
        name = f"{slug}-{number}"
    names.add(name)
    return name


def _comment(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else "?" for letter in text).split())


def _quoted(text: str) -> str:
    """A text in quotes in which nothing is a variable."""
    return json.dumps(text, ensure_ascii=True).replace("$", "$$")
