"""`moonwatch serve` and `infer --serve` as processes, from the command line to the answer."""

import base64
import json
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import httpx
import moondream
import openai
import pytest
from PIL import Image

from connectors.queues.redis import RedisConfig
from pipeline.core.clock import SystemClock
from pipeline.core.frames import Frame
from pipeline.core.jobs import Job
from pipeline.core.tasks import Ask
from pipeline.testing import grey_pixels, patience, wait_until
from tests.architecture.source_tree import ROOT
from tests.cli.commands import moonwatch
from tests.cli.test_run import start
from tests.redis_server import Redis, free_port, shared
from tests.runtime.clips import CLIP, written
from tests.server.serving import data_uri, picture

GOLDEN = ROOT / "tests" / "golden"
PATIENCE_S = patience(40)
pytestmark = pytest.mark.timeout(180)


@contextmanager
def running(port: int, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A command that serves on a port, once it is well."""
    with start(*arguments) as process:
        try:
            wait_until(lambda: process.poll() is not None or health(port) == 200, PATIENCE_S)
            if process.poll() is not None:
                out, errors = process.communicate()
                pytest.fail(f"it ended with {process.returncode}: {out}{errors}")
            yield process
        finally:
            process.kill()


def health(port: int) -> int:
    """The status of /health; 0 where nothing answers yet."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code
    except httpx.HTTPError:
        return 0


def served_with(store: str, port: int) -> tuple[str, ...]:
    """A server of the golden model without a deployment file."""
    model = ("--model", str(GOLDEN), "--device", "cpu", "--max-crops", "1")
    return ("serve", "--listen", f":{port}", "--store", store, *model)


def test_serve_answers_both_clients_and_keeps_accounts(tmp_path: Path) -> None:
    """A key is made, both official clients use it, the usage is known, and SIGTERM ends it well."""
    store, port = f"sqlite:///{tmp_path / 'serve.db'}", free_port()
    code, out, errors = moonwatch("token", "add", "shop", "--store", store, "--json")
    assert code == 0, errors
    key = json.loads(out)["key"]
    url = f"http://127.0.0.1:{port}/v1"
    with running(port, *served_with(store, port)) as process:
        with openai.OpenAI(base_url=url, api_key=key, max_retries=0) as client:
            content = [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": data_uri(3)}},
            ]
            answer = client.chat.completions.create(
                model="moondream2",
                messages=[{"role": "user", "content": content}],  # type: ignore[list-item,misc]
                max_completion_tokens=6,
            )
            assert answer.usage is not None
            assert answer.usage.completion_tokens <= 6
            assert answer.choices[0].message.content is not None
        with (
            openai.OpenAI(base_url=url, api_key="mw_wrong", max_retries=0) as stranger,
            pytest.raises(openai.AuthenticationError),
        ):
            stranger.models.list()
        model = moondream.vl(endpoint=url, api_key=key)
        # So large that threads of their own hash it.
        found = model.detect(picture(4, (640, 400)), "person")
        assert set(found["objects"][0]) == {"x_min", "y_min", "x_max", "y_max"}
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, errors
        assert "threads are still running" not in errors
        assert f"answering on http://127.0.0.1:{port}/v1" in out
        assert key not in out + errors
    code, out, errors = moonwatch("usage", "--store", store, "--by", "key", "--json")
    assert code == 0, errors
    assert "shop" in out


@pytest.mark.slow
def test_slips_of_serve_are_sentences(tmp_path: Path) -> None:
    """A port in use, no keys on a public address, options beside a file, a missing model."""
    port = free_port()
    store = f"sqlite:///{tmp_path / 'serve.db'}"
    with running(port, *served_with(store, port), "--no-auth"):
        code, _, errors = moonwatch(*served_with(store, port), "--no-auth")
        assert code == 2
        assert "another process uses it" in errors
        assert health(port) == 200
    public = (*served_with(store, port), "--no-auth", "--listen", "0.0.0.0:1")
    code, _, errors = moonwatch(*public)
    assert (code, "can be reached from other machines" in errors) == (2, True)
    camera = {"source": {"type": "file", "path": str(CLIP)}}
    file = written(tmp_path, {"version": 1, "cameras": {"a": camera}})
    code, _, errors = moonwatch("serve", file, "--model", "x")
    assert (code, "--set engines.NAME.model" in errors) == (2, True)
    code, _, errors = moonwatch("serve", file)
    assert (code, "engine of the type moondream" in errors) == (2, True)
    code, _, errors = moonwatch(*served_with(store, port), "--listen", "nobody.invalid:1")
    assert (code, "nothing is known under the name 'nobody.invalid'" in errors) == (2, True)
    code, _, errors = moonwatch("serve", "--model", str(tmp_path / "nothing"), "--no-auth")
    assert (code, "there is no folder" in errors) == (2, True)


@pytest.fixture
def redis() -> Iterator[Redis]:
    """A Redis for the cameras' frames."""
    yield from shared()


@pytest.mark.slow
@pytest.mark.redis
def test_a_worker_answers_cameras_and_callers_from_one_engine(tmp_path: Path, redis: Redis) -> None:
    """Twenty frames and twenty callers at once; `status` names the address; it stops well."""
    port = free_port()
    queue = {"type": "redis", "url": redis.url, "prefix": tmp_path.name}
    file = written(
        tmp_path,
        {
            "version": 1,
            "engines": {
                "vlm": {"type": "moondream", "model": str(GOLDEN), "device": "cpu", "max_crops": 1}
            },
            "queue": queue,
            "store": {"url": f"sqlite:///{tmp_path}/events.db"},
            "cameras": {
                "plaza": {
                    "source": {"type": "file", "path": str(CLIP)},
                    "tasks": {"door": {"ask": "Is it open?", "engine": "vlm"}},
                }
            },
        },
    )
    queues = RedisConfig.model_validate(queue).build(SystemClock())
    serving = ("infer", file, "--serve", f":{port}", "--no-auth")
    with running(port, *serving) as process:

        def ask(number: int) -> int:
            buffer = BytesIO()
            Image.fromarray(grey_pixels(level=number)).save(buffer, "PNG")
            asked = {
                "question": "What is this?",
                "image_url": base64.b64encode(buffer.getvalue()).decode(),
                "settings": {"max_tokens": 3},
            }
            url = f"http://127.0.0.1:{port}/v1/query"
            return httpx.post(url, json=asked, timeout=PATIENCE_S, trust_env=False).status_code

        task = Ask("door", "vlm", "Is it open?", "yes/no")
        for number in range(20):
            frame = Frame("plaza", "run", number, 1_700_000_000.0 + number, grey_pixels(), (64, 48))
            assert queues.jobs.put(Job(frame, "vlm", number, (task,), live=False), 5.0).accepted
        with ThreadPoolExecutor(10) as pool:
            assert list(pool.map(ask, range(20))) == [200] * 20

        def answered() -> bool:
            url = f"http://127.0.0.1:{port}/metrics"
            text = httpx.get(url, trust_env=False).text
            return (
                'moonwatch_jobs_answered_total{camera="plaza",engine="vlm"} 20.0' in text
                and 'key="local",skill="query",status="200"} 20.0' in text
            )

        wait_until(answered)
        _, out, _ = moonwatch("status", file, "--json")
        assert f"answers callers on http://127.0.0.1:{port}" in out
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, errors
        assert "threads are still running" not in errors
    queues.close()
