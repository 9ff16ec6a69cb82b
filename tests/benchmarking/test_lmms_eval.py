"""lmms-eval drives the server over its adapter for OpenAI, beside our own command.

Ten made-up rows, half of which have the model's own answer as the gold one.
"""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.benchmarking.prompts import prompt_form
from pipeline.moondream import Moondream, QueryRequest
from pipeline.testing import patience
from tests.architecture.source_tree import ROOT
from tests.benchmarking import made_up

# A Python that has lmms-eval, where it is not the one of the tests.
PYTHON = os.environ.get("MOONWATCH_LMMS_EVAL", sys.executable)
HAS_LMMS_EVAL = "MOONWATCH_LMMS_EVAL" in os.environ or bool(importlib.util.find_spec("lmms_eval"))
GOLDEN = ROOT / "tests" / "golden"
ROWS = 10

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not HAS_LMMS_EVAL,
        reason="lmms-eval is not installed; MOONWATCH_LMMS_EVAL may name a Python that has it",
    ),
    pytest.mark.timeout(900),
]

TASK = """\
task: made_up_{name}
dataset_path: parquet
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: generate_until
doc_to_visual: !function utils.visual_{name}
doc_to_text: !function utils.text_{name}
doc_to_target: {target}
process_results: !function utils.results_{name}
generation_kwargs: {{max_new_tokens: {tokens}, temperature: 0, do_sample: false}}
metric_list: [{{metric: {metric}, aggregation: mean, higher_is_better: true}}]
lmms_eval_specific_kwargs: {{default: {{pre_prompt: "", post_prompt: "{after}"}}}}
"""
UTILS = """\
from lmms_eval.tasks.{name}.utils import (
    {name}_doc_to_text as text_{name},
    {name}_doc_to_visual as visual_{name},
    {name}_process_results as results_{name},
)
"""


def gold_answers(name: str, rows: made_up.Rows) -> list[str]:
    """What the golden model answers to each row, asked as lmms-eval asks."""
    model, form = Moondream.load(GOLDEN, device="cpu"), prompt_form(name, "plain")
    work = [
        (
            made_up.decoded(number),
            [QueryRequest(form.put({"question": row["question"]}), max_tokens=form.max_tokens)],
        )
        for number, row in enumerate(rows)
    ]
    return [str(getattr(result, "text")) for [result] in model.answer(work)]  # noqa: B009


def write(path: Path, rows: made_up.Rows) -> None:
    """A file whose image column the library `datasets` knows as one."""
    made_up.write(path, rows)
    kinds = {
        name: {"_type": "Image"}
        if name == "image"
        else {"_type": "Value", "dtype": "int64" if isinstance(value, int) else "string"}
        for name, value in rows[0].items()
        if not isinstance(value, list)
    } | {
        name: {"_type": "Sequence", "feature": {"_type": "Value", "dtype": "string"}}
        for name, value in rows[0].items()
        if isinstance(value, list)
    }
    about = json.dumps({"info": {"features": kinds}})
    pq.write_table(pq.read_table(path).replace_schema_metadata({"huggingface": about}), path)


@contextmanager
def model_served(folder: Path) -> Iterator[str]:
    """`moonwatch serve` on a free port with the golden model; yields its address."""
    command = [
        sys.executable, "-m", "pipeline", "serve", "--model", str(GOLDEN), "--device", "cpu",
        "--no-auth", "--listen", "127.0.0.1:0", "--store", f"sqlite:///{folder}/accounts.db",
    ]  # fmt: skip
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        try:
            said = serving.stdout.readline()
            assert said.startswith("answering on "), said
            yield said.split()[2].rstrip(";")
        finally:
            serving.terminate()
            serving.wait(patience(30))


def score_of_lmms_eval(folder: Path, url: str, name: str, metric: str) -> float:
    """What lmms-eval gives the server on the task in a folder."""
    arguments = f"model_version=moondream2,base_url={url},api_key=none,num_concurrent=4"
    done = subprocess.run(
        [
            PYTHON, "-m", "lmms_eval", "--model", "openai", "--model_args", arguments,
            "--tasks", f"made_up_{name}", "--include_path", str(folder / "tasks"),
            "--batch_size", "1", "--output_path", str(folder / "out"),
        ],
        cwd=folder, capture_output=True, text=True, timeout=patience(400), check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub")},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    [results] = (folder / "out").rglob("*_results.json")
    found: dict[str, Any] = json.loads(results.read_text())["results"][f"made_up_{name}"]
    return float(found[f"{metric},none"])


@pytest.mark.parametrize(
    ("name", "metric", "ours"),
    [
        ("chartqa", "relaxed_overall", "relaxed_accuracy"),
        ("ocrbench", "ocrbench_accuracy", "contains_gold_lmms"),
    ],
)
def test_our_score_of_the_server_is_that_of_lmms_eval(
    tmp_path: Path, name: str, metric: str, ours: str
) -> None:
    """The same ten rows, the same server, two programs."""
    rows: made_up.Rows = [
        {"type": "human_test", "question": f"How high is bar {n}?", "image": made_up.image(n)}
        if name == "chartqa"
        else {
            "question": f"What is written on {n}?", "question_type": "Digit String Recognition",
            "dataset": "IIIT5K", "image": made_up.image(n),
        }
        for n in range(ROWS)
    ]  # fmt: skip
    for number, (row, answer) in enumerate(zip(rows, gold_answers(name, rows), strict=True)):
        gold = answer if number % 2 else "something that nobody answers"
        row["answer"] = [gold] if name == "ocrbench" else gold
    file = tmp_path / "rows.parquet"
    write(file, rows)
    form = prompt_form(name, "plain")
    (tmp_path / "tasks").mkdir()
    after = form.template.removeprefix("{question}").replace("\n", "\\n")
    task = TASK.format(
        name=name, file=file, target="answer", tokens=form.max_tokens, metric=metric, after=after
    )
    utils = UTILS.format(name=name)
    if name == "ocrbench":  # its points are added up by a function of its own
        task = task.replace("aggregation: mean", "aggregation: !function utils.points")
        utils += "def points(results): return sum(r['score'] for r in results) / len(results)\n"
    (tmp_path / "tasks" / f"{name}.yaml").write_text(task)
    (tmp_path / "tasks" / "utils.py").write_text(utils)
    with model_served(tmp_path) as url:
        theirs = score_of_lmms_eval(tmp_path, url, name, metric)
        done = subprocess.run(
            [
                sys.executable, "-m", "pipeline", "benchmark", name, "--data", str(file),
                "--engine", "remote", "--url", url, "--prompts", "plain", "--json",
            ],
            cwd=ROOT, capture_output=True, text=True, timeout=patience(120), check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["answers"]["failed"] == 0
    assert summary["metrics"][ours]["value"] == pytest.approx(100 * theirs)
    assert theirs == pytest.approx(0.5)
