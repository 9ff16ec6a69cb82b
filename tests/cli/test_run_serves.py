"""`moonwatch run` with `web.listen`: the application beside the run, with its live pictures."""

import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.cli.beside import ApplicationThread
from pipeline.core.clock import SystemClock
from pipeline.testing import patience
from pipeline.web import run as web_run
from pipeline.web.state import WebState
from tests.cli.test_user import user_command
from tests.redis_server import free_port
from tests.runtime.fleet import Member, wait_for
from tests.web.live import camera, deployment, watching

PASSWORD = "moor hen walks twice"


def test_a_run_shows_its_own_pictures(tmp_path: Path) -> None:
    """Whoever signs in sees the camera live, until he signs out."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with camera() as source:
        file = deployment(tmp_path, source, web={"listen": f"127.0.0.1:{port}"})
        run = Member("run", ["run", str(file)], tmp_path / "run.log")
        run.start()
        try:
            wait_for(lambda: "the application answers" in run.said(), 30.0, run.said)
            added = ("add", file, "ada", "--role", "admin", "--password-stdin")
            code, said = user_command(*added, given=f"{PASSWORD}\n")
            assert code == 0, said
            with httpx.Client(
                base_url=f"{url}/api/v1", headers={"X-Moonwatch": "1"}, timeout=patience(20)
            ) as client:
                assert client.get("/site").status_code == 401
                given = {"name": "ada", "password": PASSWORD}
                # On a machine under load the run may hold the store for longer than a page waits.
                wait_for(
                    lambda: client.post("/session", json=given).status_code == 200, 30.0, run.said
                )
                assert client.get("/site").json()["visitor"] == "ada"
                cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
                with watching(url, Cookie=cookie) as seen:
                    seen.show("plaza")
                    seen.until(lambda: any(one.header["boxes"] for one in seen.pictures), 30)
                    wait_for(
                        lambda: client.delete("/session").status_code in (200, 204), 30.0, run.said
                    )
                    seen.until(lambda: seen.closed is not None, 20)
                    assert seen.closed == 4401
        finally:
            assert run.process is not None
            run.process.terminate()
            run.process.wait(patience(30))


def test_an_application_that_cannot_start_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again every few seconds: what each try opens has to be closed."""
    opened: list[WebState] = []
    open_state = web_run.open_state

    def noted(*given: Any, **more: Any) -> WebState:
        opened.append(open_state(*given, **more))
        return opened[-1]

    monkeypatch.setattr(web_run, "open_state", noted)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        file = deployment(tmp_path, "http://127.0.0.1:9", web={"listen": listen})
        beside = ApplicationThread(file, (), SystemClock())
        beside.poll()
    assert "cannot listen" in (beside.trouble or "")
    live = opened[0].live
    assert live is not None
    live.start()
    assert live._thread is None, "what is stopped does not begin"
