"""A server measured with the same code: over both interfaces, and when it fails."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.benchmarking.items import BenchmarkError
from pipeline.benchmarking.local import LocalAnswerer, load_local
from pipeline.benchmarking.remote import Interface, RemoteAnswerer, open_remote
from pipeline.benchmarking.runner import BenchmarkRun, run_benchmark
from pipeline.benchmarking.suite import benchmark_named
from pipeline.core.address import Address, Secret
from pipeline.testing import patience
from tests.architecture.source_tree import ROOT
from tests.benchmarking import made_up
from tests.benchmarking.answering_server import AnsweringServer, serving

KEY = "md-very-secret-key-0123456789"


@pytest.fixture(scope="module")
def local() -> LocalAnswerer:
    """The golden model in this process."""
    return load_local(
        str(ROOT / "tests" / "golden"),
        None,
        device="cpu",
        dtype="auto",
        resizer="auto",
        max_crops=1,
        batch=4,
    )


@pytest.fixture
def server(local: LocalAnswerer) -> Iterator[AnsweringServer]:
    """The same model behind a server."""
    with serving(local._model) as answering:
        yield answering


def remote(server: AnsweringServer, interface: Interface = "openai", **how: Any) -> RemoteAnswerer:
    """An answerer for the server, four requests at the same time."""
    return RemoteAnswerer(Address(server.url), "golden", Secret(KEY), 4, interface, **how)


def run_of(name: str, data: Path, **how: Any) -> BenchmarkRun:
    """A run with short answers."""
    return BenchmarkRun(benchmark_named(name), data, max_tokens=4, **how)


@pytest.mark.parametrize("interface", ["openai", "moondream"])
@pytest.mark.parametrize("name", list(made_up.PUBLISHED))
def test_a_server_gets_the_figures_of_the_model_behind_it(
    local: LocalAnswerer,
    server: AnsweringServer,
    tmp_path: Path,
    name: str,
    interface: Interface,
) -> None:
    """All but those of boxes as the model gave them, which no server gives."""
    run = run_of(name, made_up.folder(tmp_path, name))
    here = run_benchmark(run, local)
    with remote(server, interface) as answerer:
        there = run_benchmark(run, answerer)
    assert there["metrics"] == {k: v for k, v in here["metrics"].items() if "_raw" not in k}
    assert there["parts"] == {
        part: {k: v for k, v in values.items() if "_raw" not in k}
        for part, values in here["parts"].items()
    }
    assert there["answers"] == here["answers"]
    assert there["settings"]["engine"] == "remote"
    assert any("_raw" in note for note in there["notes"]) == (name in ("coco", "screenspot"))


def test_the_key_goes_into_both_headers_and_nowhere_else(
    server: AnsweringServer, tmp_path: Path
) -> None:
    """Neither the summary nor the record has it, and the address loses its login."""
    out = tmp_path / "run.jsonl"
    run = run_of("countbenchqa", made_up.folder(tmp_path / "d", "countbenchqa"), out=out)
    address = Address(server.url.replace("127.0.0.1", "me:pass-word-9@127.0.0.1"))
    with RemoteAnswerer(address, "golden", Secret(KEY), 4) as answerer:
        summary = run_benchmark(run, answerer)
    headers = {name.lower(): value for name, value in server.asked[0][2].items()}
    assert headers["x-moondream-auth"] == KEY
    assert KEY not in out.read_text() + repr(summary)
    assert "pass-word-9" not in out.read_text() + repr(summary)


def test_a_sampled_question_says_how(server: AnsweringServer, tmp_path: Path) -> None:
    """Temperature, top-p as upstream samples, a seed for each question; reasoning on wish."""
    data = made_up.folder(tmp_path, "ocrbench")
    with remote(server) as answerer:
        run_benchmark(run_of("ocrbench", data, temperature=0.5, seeds=2, reasoning=True), answerer)
    bodies = [body for _, body, _ in server.asked]
    assert {(body["temperature"], body["top_p"]) for body in bodies} == {(0.5, 0.3)}
    assert len({body["seed"] for body in bodies}) == len(bodies) == 6
    assert {body["reasoning_effort"] for body in bodies} == {"medium"}


def test_a_busy_server_is_asked_again(server: AnsweringServer, tmp_path: Path) -> None:
    """What passes costs no answer."""
    server.replies += [(429, {"error": {"message": "slow"}}, {"retry-after": "0"}), (503, "", {})]
    server.replies += [(500, {"error": "oops"}, {})]
    data = made_up.folder(tmp_path, "countbenchqa", made_up.countbenchqa(1))
    with remote(server) as answerer:
        summary = run_benchmark(run_of("countbenchqa", data), answerer)
    assert summary["answers"]["failed"] == 0
    assert len(server.asked) == 4


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ((400, {"error": {"message": "too long"}}, {}), "status 400: too long"),
        ((200, "no JSON", {}), "the server's reply is not an object: no JSON"),
        ((200, {"choices": []}, {}), "the server's reply has no choice: {'choices': []}"),
        (
            (200, {"choices": [{"message": {"content": None}, "finish_reason": "stop"}]}, {}),
            "the server's answer is not a text: None",
        ),
    ],
)
def test_a_request_that_the_server_refuses_counts_as_wrong(
    server: AnsweringServer, tmp_path: Path, reply: Any, why: str
) -> None:
    """With its reason in the summary; the others are answered."""
    server.replies.append(reply)
    data = made_up.folder(tmp_path, "countbenchqa")
    with remote(server) as answerer:
        summary = run_benchmark(run_of("countbenchqa", data), answerer)
    assert summary["answers"]["failed"] == 1
    assert summary["answers"]["reasons"] == {why: 1}


def test_boxes_that_are_not_numbers_count_as_wrong(server: AnsweringServer, tmp_path: Path) -> None:
    """An object without its sides."""
    server.replies.append((200, {"objects": [{"x_min": 0.1}]}, {}))
    with remote(server) as answerer:
        summary = run_benchmark(run_of("coco", made_up.folder(tmp_path, "coco")), answerer)
    assert summary["answers"]["failed"] == 1
    assert next(iter(summary["answers"]["reasons"])).startswith("the server's reply has no places")


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_server_that_refuses_everything_ends_the_run(
    server: AnsweringServer, tmp_path: Path, status: int
) -> None:
    """No question counts as wrong for a key that is not valid."""
    server.replies += [(status, {"error": {"message": f"no: {KEY}"}}, {})] * 20
    out = tmp_path / "run.jsonl"
    run = run_of("countbenchqa", made_up.folder(tmp_path / "d", "countbenchqa"), out=out)
    with remote(server) as answerer, pytest.raises(BenchmarkError) as caught:
        run_benchmark(run, answerer)
    assert f"/v1/chat/completions does not answer: status {status}: no: " in str(caught.value)
    assert KEY not in str(caught.value)
    assert len(out.read_text().splitlines()) == 1


def test_a_server_that_is_away_ends_the_run_and_it_goes_on_later(
    local: LocalAnswerer, tmp_path: Path
) -> None:
    """The record keeps what was answered; the same command continues."""
    out = tmp_path / "run.jsonl"
    data = made_up.folder(tmp_path / "d", "countbenchqa")
    with serving(local._model) as server:
        with remote(server) as answerer:
            run_benchmark(run_of("countbenchqa", data, out=out, limit=1), answerer)
        gone = remote(server, away_within_s=0.2)
    with gone, pytest.raises(BenchmarkError, match="Start the same command again to go on"):
        run_benchmark(run_of("countbenchqa", data, out=out), gone)
    assert len(out.read_text().splitlines()) == 2


def test_a_picture_that_cannot_be_decoded_is_not_sent(
    server: AnsweringServer, tmp_path: Path
) -> None:
    """It fails as it does in this process."""
    rows = made_up.countbenchqa(2)
    rows[0]["image"] = {"bytes": b"no picture", "path": "a.png"}
    with remote(server) as answerer:
        summary = run_benchmark(
            run_of("countbenchqa", made_up.folder(tmp_path, "countbenchqa", rows)), answerer
        )
    assert summary["answers"]["failed"] == 1
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("url", "key", "why"),
    [
        ("localhost:8000", None, "--url localhost:8000 is not an address"),
        ("http://localhost:1/v1", "none", "--key-file .*none cannot be read"),
        ("http://localhost:1/v1", "", "does not hold a key in one line"),
        ("http://localhost:1/v1", "two\nlines", "does not hold a key in one line"),
    ],
)
def test_an_address_or_key_that_cannot_be_used_is_refused(
    tmp_path: Path, url: str, key: str | None, why: str
) -> None:
    """Before anything is asked."""
    file = tmp_path / (key if key == "none" else "key")
    if key != "none":
        file.write_text(key or "")
    with pytest.raises(BenchmarkError, match=why):
        open_remote(url, "", None if key is None else file, 4, "openai")


def test_without_a_name_the_first_listed_model_is_asked(server: AnsweringServer) -> None:
    """As most servers have one model only."""
    with open_remote(server.url, None, None, 4, "openai") as answerer:
        assert answerer.facts["model"] == "golden"
    with open_remote("http://127.0.0.1:1/v1", None, None, 4, "openai") as answerer:
        assert answerer.facts["model"] == ""


def test_the_command_measures_a_server(server: AnsweringServer, tmp_path: Path) -> None:
    """With the key from its file; the table says who was asked and how."""
    (tmp_path / "key").write_text(f"{KEY}\n")
    data = made_up.folder(tmp_path / "data", "screenspot", made_up.screenspot()[:1])
    done = subprocess.run(
        [
            sys.executable, "-m", "pipeline", "benchmark", "screenspot", "--data", str(data),
            "--engine", "remote", "--url", server.url, "--key-file", str(tmp_path / "key"),
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=patience(60), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "made with: dataset rootsautomation/ScreenSpot" in done.stdout
    assert f"url {server.url}, model golden, interface openai" in done.stdout
    assert "answers: answers 1, questions 1, pictures 1, failed 0" in done.stdout
    assert "f1_50_raw" not in done.stdout.split("note:")[0]
    assert KEY not in done.stdout + done.stderr
    headers = {name.lower(): value for name, value in server.asked[0][2].items()}
    assert headers["authorization"] == f"Bearer {KEY}"
