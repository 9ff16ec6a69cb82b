"""`moonwatch run` with `web.listen`: the application beside the run, with its live pictures."""

import re
from pathlib import Path

import httpx

from pipeline.testing import patience
from tests.redis_server import free_port
from tests.runtime.fleet import Member, wait_for
from tests.web.live import camera, deployment, watching

PASSWORD = "moor hen walks twice"


def test_a_run_shows_its_own_pictures(tmp_path: Path) -> None:
    """The first user is made by the link that is told, and sees the camera live."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with camera() as source:
        file = deployment(tmp_path, source, web={"listen": f"127.0.0.1:{port}"})
        run = Member("run", ["run", str(file)], tmp_path / "run.log")
        run.start()
        try:
            wait_for(lambda: "/set-up#" in run.said(), 30.0, run.said)
            link = re.search(r"/set-up#(\S+)", run.said())
            assert link is not None
            with httpx.Client(
                base_url=f"{url}/api/v1", headers={"X-Moonwatch": "1"}, timeout=patience(20)
            ) as client:
                assert client.get("/site").status_code == 401
                first = {"link": link[1], "name": "ada", "password": PASSWORD}
                assert client.post("/set-up", json=first).status_code == 200
                assert client.get("/site").json()["visitor"] == "ada"
                cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
                with watching(url, Cookie=cookie) as seen:
                    seen.show("plaza")
                    seen.until(lambda: any(one.header["boxes"] for one in seen.pictures), 30)
                    assert client.delete("/session").status_code in (200, 204)
                    seen.until(lambda: seen.closed is not None, 20)
                    assert seen.closed == 4401
        finally:
            assert run.process is not None
            run.process.terminate()
            run.process.wait(patience(30))
