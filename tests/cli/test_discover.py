"""`discover` on cameras that speak ONVIF over real HTTP and UDP, well and badly."""

import base64
import hashlib
import json
import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from connectors.sources.onvif_client import (
    OnvifError,
    own_addresses,
    probe_network,
    read_xml,
    stream_url,
)
from pipeline.insight.discovering import addresses_in
from pipeline.testing import patience
from tests.cli.commands import moonwatch
from tests.connectors.sources.servers import answering

HOST, PASSWORD = "127.0.0.1", "hush-hush-9"


@dataclass
class Camera:
    """A camera, and what is odd about it."""

    port: int = 0
    password: str = PASSWORD
    ahead_s: float = 0.0
    media_host: str = HOST
    stream_host: str = HOST
    answers: dict[str, bytes] = field(default_factory=dict)
    """Instead of its own, by call."""
    asked: list[str] = field(default_factory=list)

    def answer(self, request: str) -> tuple[int, bytes]:
        """Status and body for a request."""
        found = re.search(r"<s:Body><(\w+)", request)
        call = found[1] if found else ""
        self.asked.append(call)
        if call in self.answers:
            return 200, self.answers[call]
        now = datetime.now(UTC) + timedelta(seconds=self.ahead_s)
        if call == "GetSystemDateAndTime":
            return 200, _envelope(
                f"<GetSystemDateAndTimeResponse><SystemDateAndTime><UTCDateTime><Time>"
                f"<Hour>{now.hour}</Hour><Minute>{now.minute}</Minute><Second>{now.second}</Second>"
                f"</Time><Date><Year>{now.year}</Year><Month>{now.month}</Month>"
                f"<Day>{now.day}</Day></Date></UTCDateTime></SystemDateAndTime>"
                "</GetSystemDateAndTimeResponse>"
            )
        if not self._lets_in(request, now):
            return 400, _envelope(
                "<Fault><Code><Value>Sender</Value><Subcode><Value>ter:NotAuthorized</Value>"
                "</Subcode></Code></Fault>"
            )
        return 200, _envelope(self._body(call, request))

    def _lets_in(self, request: str, now: datetime) -> bool:
        said = [
            re.search(pattern, request)
            for pattern in (
                r"<o:Password[^>]*>([^<]+)",
                r"<o:Nonce[^>]*>([^<]+)",
                r"Created[^>]*>([^<]+)",
            )
        ]
        if any(one is None for one in said):
            return False
        digest, nonce, created = (one[1] for one in said if one)
        at = datetime.strptime(created, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        right = hashlib.sha1(base64.b64decode(nonce) + created.encode() + self.password.encode())
        is_right = base64.b64encode(right.digest()).decode() == digest
        return is_right and abs((at - now).total_seconds()) < 600

    def _body(self, call: str, request: str) -> str:
        if call == "GetDeviceInformation":
            return (
                "<GetDeviceInformationResponse><Manufacturer>ACME</Manufacturer>"
                "<Model>Dome: 4 # x</Model><FirmwareVersion>1.2.3</FirmwareVersion>"
                "</GetDeviceInformationResponse>"
            )
        if call == "GetCapabilities":
            return (
                "<GetCapabilitiesResponse><Capabilities><Media><XAddr>"
                f"http://{self.media_host}:{self.port}/onvif/media</XAddr></Media></Capabilities>"
                "</GetCapabilitiesResponse>"
            )
        if call == "GetProfiles":
            return (
                "<GetProfilesResponse>"
                + _profile("Main", "H264", 3840, 2160, 25, 50)
                + _profile("Sub", "H264", 640, 360, 15, 30)
                + _profile("Tiny", "JPEG", 160, 120, 5, 1)
                + "</GetProfilesResponse>"
            )
        token = re.search(r"<ProfileToken>(\w+)", request)
        assert token is not None
        return (
            "<GetStreamUriResponse><MediaUri><Uri>"
            f"rtsp://admin:{self.password}@{self.stream_host}:8554/{token[1]}?a=1&amp;b=2"
            "</Uri></MediaUri></GetStreamUriResponse>"
        )


def _envelope(body: str) -> bytes:
    return f'<s:Envelope xmlns:s="x"><s:Body>{body}</s:Body></s:Envelope>'.encode()


def _profile(name: str, codec: str, width: int, height: int, rate: int, gop: int) -> str:
    return (
        f'<Profiles token="{name}"><Name>{name}</Name><VideoEncoderConfiguration>'
        f"<Encoding>{codec}</Encoding><Resolution><Width>{width}</Width><Height>{height}</Height>"
        f"</Resolution><RateControl><FrameRateLimit>{rate}</FrameRateLimit></RateControl>"
        f"<H264><GovLength>{gop}</GovLength></H264></VideoEncoderConfiguration></Profiles>"
    )


@contextmanager
def serving(camera: Camera) -> Iterator[str]:
    """The camera at work; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Answer one call."""
            content = self.rfile.read(int(self.headers["content-length"])).decode()
            status, body = camera.answer(content)
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:
                return

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        camera.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"{HOST}:{camera.port}"
        finally:
            server.shutdown()
            thread.join(patience(20))


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file with the password."""
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    return file


def test_what_is_printed_is_a_deployment_file(
    tmp_path: Path, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sub stream is sampled, the main one named, no password stands in it; `check` takes it."""
    camera = Camera(ahead_s=7200.0)
    login = ("--user", "admin", "--password-file", secret)
    with serving(camera) as address:
        code, out, errors = moonwatch("discover", "--address", address, *login)
    assert code == 0, errors
    assert PASSWORD not in out + errors
    assert f'url: "rtsp://{HOST}:8554/Sub?a=1&b=2"' in out
    assert f'# url: "rtsp://{HOST}:8554/Main?a=1&b=2"' in out
    assert "# Sub: H.264 640x360, 15 pictures a second, a key frame every 2 s" in out
    assert re.search(r"# its clock is (7199|720\d) s ahead of this machine's", out)
    assert "acme-dome-4-x:" in out
    file = tmp_path / "found.yaml"
    file.write_text(out)
    monkeypatch.setenv("CAMERA_PASSWORD", PASSWORD)
    code, told, errors = moonwatch("check", file)
    assert code == 0, errors
    assert "1 camera" in told


def test_machines_get_every_profile(secret: Path) -> None:
    """Two cameras, one of which answers nobody."""
    with serving(Camera()) as address, socket.socket() as closed:
        closed.bind((HOST, 0))
        nobody = f"{HOST}:{closed.getsockname()[1]}"
        login = ("--user", "admin", "--password-file", secret)
        arguments = ("discover", "--address", address, "--address", nobody, *login, "--json")
        code, out, _ = moonwatch(*arguments)
    there, gone = json.loads(out)["cameras"]
    assert code == 0
    assert [one["name"] for one in there["camera"]["profiles"]] == ["Main", "Sub", "Tiny"]
    assert gone["failure"] == "cannot be reached; check the address and the port"


BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>'


@pytest.mark.parametrize(
    ("camera", "said"),
    [
        (Camera(password="another"), "does not accept the user and password"),
        (Camera(answers={"GetDeviceInformation": BOMB}), "a document type, which is refused"),
        (Camera(answers={"GetProfiles": b"<a><b></a>"}), "something that cannot be read"),
        (Camera(answers={"GetProfiles": b"<a/>"}), "does not answer GetProfiles as ONVIF does"),
        (Camera(answers={"GetProfiles": b" " * 1_100_000}), "more than a megabyte"),
        (Camera(answers={"GetCapabilities": b"<a>" * 70}), "more than any camera has to say"),
    ],
    ids=["password", "bomb", "malformed", "other", "huge", "deep"],
)
def test_what_a_bad_camera_answers_is_a_comment(camera: Camera, said: str, secret: Path) -> None:
    """With exit code 1 where there is no other; the file that is printed says so."""
    with serving(camera) as address:
        login = ("--user", "admin", "--password-file", secret)
        code, out, errors = moonwatch("discover", "--address", address, *login)
    assert code == 1
    assert out.startswith("# no camera that could be used was found")
    assert said in out
    assert "Traceback" not in errors


def test_a_camera_that_says_nothing_is_given_up() -> None:
    """With what helps."""
    with answering(None) as port:
        code, out, _ = moonwatch("discover", "--address", f"{HOST}:{port}")
    assert code == 1
    assert "does not answer in time; check the address and the network" in out


def test_nobody_else_is_asked(secret: Path) -> None:
    """A camera that names other hosts is asked itself, and its own address stands in the file."""
    camera = Camera(media_host="203.0.113.9", stream_host="203.0.113.10")
    with serving(camera) as address:
        login = ("--user", "admin", "--password-file", secret)
        code, out, _ = moonwatch("discover", "--address", address, *login)
    assert code == 0
    assert "it says that its media service is at 203.0.113.9, which is not asked" in out
    assert "the camera names the host 203.0.113.10 here; its own address is used" in out
    assert f'url: "rtsp://{HOST}:8554/Sub' in out


def test_a_login_is_asked_for() -> None:
    """Without `--user` that is what helps; with it, and no password, the ways to give one."""
    with serving(Camera()) as address:
        code, out, _ = moonwatch("discover", "--address", address)
        assert code == 1
        assert "wants a user and password; give --user" in out
        code, _, errors = moonwatch("discover", "--address", address, "--user", "admin")
    if "CAMERA_PASSWORD" not in os.environ:
        assert code == 2
        assert "needs a password: give --password-file" in errors


def test_cameras_answer_on_the_network() -> None:
    """A probe's answers: one camera, one that names another host, and one that sends a bomb."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
        device.bind((HOST, 0))
        device.settimeout(patience(20))

        def match(address: str) -> bytes:
            return _envelope(
                f"<ProbeMatches><ProbeMatch><XAddrs>{address}</XAddrs></ProbeMatch></ProbeMatches>"
            )

        def answer() -> None:
            request, sender = device.recvfrom(65535)
            assert read_xml(request).words("Types") == "dn:NetworkVideoTransmitter"
            for content in (match("http://203.0.113.9/onvif"), BOMB, match(f"http://{HOST}:9/on")):
                device.sendto(content, sender)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        found, remarks = probe_network(3.0, device.getsockname(), [HOST])
        thread.join(patience(20))
    assert [one.address for one in found] == [f"http://{HOST}:9/on"]
    assert any("says that it is at 203.0.113.9, which is not asked" in one for one in remarks)
    assert any("document type" in one for one in remarks)
    assert all(not one.startswith("127.") for one in own_addresses())


def test_addresses_and_ranges() -> None:
    """As they are written; anything else is refused with how to write it."""
    assert len(addresses_in("10.0.0.0/28")) == 14
    assert addresses_in("cam-1.lan:8080") == [("http://cam-1.lan:8080/onvif/device_service", True)]
    for wrong in ("10.0.0.0/8", "10.0.0.0/99", "http://x", "a:99999", "a b"):
        with pytest.raises(ValueError, match=r"write it like|more than 1024"):
            addresses_in(wrong)
    code, _, errors = moonwatch("discover", "--address", "10.0.0.0/8")
    assert code == 2
    assert "--address" in errors


def test_streams_have_no_login_and_the_cameras_host() -> None:
    """Whatever a camera answers."""
    assert stream_url("rtsp://a:b@10.0.0.7/x", "10.0.0.7") == ("rtsp://10.0.0.7/x", None)
    assert stream_url("http://10.0.0.7/x", "10.0.0.7")[0] is None
    assert stream_url("rtsp://[::1/x", "10.0.0.7")[0] is None
    assert stream_url("rtsp://10.0.0.7:99999/x", "10.0.0.7")[0] is None
    with pytest.raises(OnvifError):
        read_xml('<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a><a/>'.encode("utf-16"))
