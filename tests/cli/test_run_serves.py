"""`moonwatch run` with `web.listen`: the application beside the run, with its live pictures."""

from pathlib import Path

import httpx

from pipeline.testing import patience
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
                assert client.post("/session", json=given).status_code == 200
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
