"""What a webhook links to can be seen while the run goes on, and by whoever serves the store."""

import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from pipeline.core.clock import SystemClock
from pipeline.core.marked_pictures import drawn
from pipeline.deployment.loader import read
from pipeline.runtime.media_links import file_pages
from pipeline.telemetry.http import LOOPBACK, HealthAnswers, ListenAddress, answering
from pipeline.testing import patience
from tests.architecture.source_tree import ROOT
from tests.connectors.sinks.services import Posted, service
from tests.runtime.clips import camera, cut, deployment, written


def with_hook(folder: Path, url: str, **fields: Any) -> Path:
    """A deployment that plays a clip and tells a webhook of the crowd."""
    clip = cut(folder / "plaza.mp4", 6)
    content = deployment(folder, {"plaza": camera(clip)})
    hook = {"type": "webhook", "url": url, "only": "crowd", "media": "link", "timeout": "60s"}
    form = {"type": "webhook", "url": f"{url}/form", "only": "crowd", "media": "multipart"}
    content["sinks"] = {"hook": {**hook, **fields}, "form": form}
    content["web"] = {"public_url": "https://shop.example/cams"}
    return written(folder, content)


def path_of(posted: Posted) -> str | None:
    """The path of the picture's link, behind that of the address; None for one without picture."""
    data = posted.json()["data"]
    if "snapshot_missing" in data:
        return None
    (file,) = data["files"]
    link = urlsplit(file["link"])
    assert (link.scheme, link.netloc) == ("https", "shop.example")
    assert link.path.startswith("/cams/media/")
    return str(link.path).removeprefix("/cams")


def test_a_link_works_while_the_run_goes_on_and_afterwards(tmp_path: Path) -> None:
    """The receiver looks at the picture at once, and a day later another process shows it."""
    listening = threading.Event()
    port = 0
    seen: list[tuple[str, bytes]] = []

    def looks_at_once(posted: Posted) -> int:
        if posted.path == "/hook/form":
            return 200
        assert listening.wait(patience(30))
        path = path_of(posted)
        if path is None:
            return 200
        answer = httpx.get(f"http://{LOOPBACK}:{port}{path}", timeout=patience(30))
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "image/jpeg"
        seen.append((path, answer.content))
        return 200

    with service(looks_at_once) as stub:
        file = with_hook(tmp_path, f"{stub.url}/hook")
        with subprocess.Popen(
            [sys.executable, "-m", "pipeline", "run", str(file), "--http", ":0"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stderr is not None
            said = ""
            for line in process.stderr:
                said += line
                if found := re.search(r"answering on http://[\d.]+:(\d+)/", line):
                    port = int(found[1])
                    listening.set()
            assert process.wait(patience(60)) == 0, said
        assert stub.why_not == []
        forms = [posted.parts() for posted in stub.accepted if posted.path == "/hook/form"]
    assert seen
    sent = [parts["picture"].content for parts in forms if "picture" in parts]
    assert sent == [content for _, content in seen]
    pictures = {drawn(one.read_bytes()) for one in (tmp_path / "events.media").rglob("*.jpg")}
    assert {content for _, content in seen} <= pictures

    pages = file_pages(read(file, []).deployment, SystemClock())
    answers = HealthAnswers(lambda: None, lambda: b"", files=pages)
    with answering(ListenAddress(LOOPBACK, 0), answers) as other:
        for path, content in seen:
            url = f"http://{LOOPBACK}:{other}{path}"
            answer = httpx.get(url, headers={"Range": "bytes=2-9"}, timeout=patience(30))
            assert (answer.status_code, answer.content) == (206, content[2:10])
            assert httpx.get(url[:-9], timeout=patience(30)).status_code == 404


@pytest.mark.slow
def test_a_run_that_serves_nothing_says_so(tmp_path: Path) -> None:
    """Its links are sent nevertheless: another process may serve them."""
    with service(lambda _: 200) as stub:
        file = with_hook(tmp_path, f"{stub.url}/hook")
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", "run", str(file)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=patience(60),
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "sink hook sends links, and nothing serves them here" in done.stderr
        assert stub.accepted
        assert any(path_of(one) for one in stub.accepted if one.path == "/hook")
    content = yaml.safe_load(file.read_text())
    del content["web"]
    file = written(tmp_path / "without", content)
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "check", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=patience(60),
        check=False,
    )
    assert done.returncode == 2
    assert "sends links to pictures, and there is no address to link to" in done.stderr
