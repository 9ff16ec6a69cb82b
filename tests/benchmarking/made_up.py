"""Made-up Parquet files in the published forms: small pictures, and questions about them."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pipeline.benchmarking.items import BenchmarkItem, Question

Rows = list[dict[str, Any]]

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def encoded(number: int, size_wh: tuple[int, int] = (64, 48), kind: str = "PNG") -> bytes:
    """A picture of noise, always the same for a number."""
    pixels = np.random.default_rng(number).integers(0, 256, (size_wh[1], size_wh[0], 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def image(number: int, **how: Any) -> dict[str, Any]:
    """An image column's value, as the library `datasets` writes it."""
    return {"bytes": encoded(number, **how), "path": f"{number}.png"}


def write(path: Path, rows: Rows, *, row_group_size: int = 2, **types: pa.DataType) -> Path:
    """One file; columns named `image` are structs of bytes and path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = []
    for name in rows[0]:
        known = types.get(name) or (IMAGE if name == "image" else None)
        column = pa.array([row[name] for row in rows], known)
        fields.append((name, column))
    pq.write_table(pa.table(dict(fields)), path, row_group_size=row_group_size)
    return path


def chartqa(count: int = 3) -> Rows:
    """`vikhyatk/chartqa`: two questions to a chart."""
    return [
        {
            "image": image(n),
            "qa": [
                {"answer": f"{n}0%", "question": f"How high is bar {n}?", "source": "human"},
                {"answer": "[1, 2]", "question": "Which two?", "source": "augmented"},
            ],
        }
        for n in range(count)
    ]


def docvqa(count: int = 3) -> Rows:
    """`vikhyatk/docvqa-val`: questions with several gold answers."""
    return [
        {
            "image": image(n),
            "qa": [
                {"answers": ["March 3", "3 March"], "question": "What is the date?"},
                {"answers": [f"{n}"], "question": "Which page?"},
            ],
        }
        for n in range(count)
    ]


def textvqa(count: int = 4) -> Rows:
    """`vikhyatk/textvqa_val`: ten answers; two questions share a picture."""
    answers = ["stop"] * 7 + ["go"] * 3
    return [
        {"image": image(n // 2), "question": f"what is sign {n}?", "answers": answers}
        for n in range(count)
    ]


def countbenchqa(count: int = 3) -> Rows:
    """`vikhyatk/CountBenchQA`."""
    return [
        {"image": image(n), "text": "Some cats.", "question": "How many cats?", "number": n + 2}
        for n in range(count)
    ]


def ocrbench() -> Rows:
    """`echo840/OCRBench`: one of each kind of question."""
    kinds = [
        "Regular Text Recognition", "Scene Text-centric VQA",
        "Handwritten Mathematical Expression Recognition",
    ]  # fmt: skip
    return [
        {
            "dataset": "HME100k" if "Math" in kind else "IIIT5K",
            "question": "What is written? ",
            "question_type": kind,
            "answer": ["Centre", "CENTER"],
            "image": image(n),
        }
        for n, kind in enumerate(kinds)
    ]


def coco(count: int = 2) -> Rows:
    """`moondream/coco-val-2017-bbox-cleaned`: boxes as JSON."""
    objects = {"bbox": [[1.5, 2, 20, 30], [30, 5, 20, 20], [10, 10, 5, 5]], "label": [1, 1, 18]}
    return [{"image": image(n), "objects": json.dumps(objects)} for n in range(count)]


def screenspot() -> Rows:
    """`rootsautomation/ScreenSpot`: an instruction for each kind of device."""
    sources = ["ios", "android", "macos", "windows", "gitlab", "shop"]
    return [
        {
            "file_name": f"{source}.png",
            "bbox": [0.1, 0.1, 0.9, 0.8],
            "instruction": "open the menu",
            "data_type": "text" if n % 2 else "icon",
            "data_source": source,
            "image": image(n),
        }
        for n, source in enumerate(sources)
    ]


def lmms_chartqa() -> Rows:
    """`lmms-lab/ChartQA`: a row for each question."""
    return [
        {"type": kind, "question": "How high?", "answer": "5", "image": image(1)}
        for kind in ("human_test", "augmented_test")
    ]


def m4_chartqa() -> Rows:
    """`HuggingFaceM4/ChartQA`: 0 is a human's question, 1 a machine's."""
    return [
        {"image": image(1), "query": "How high?", "label": ["5"], "human_or_machine": number}
        for number in (0, 1)
    ]


def lmms_docvqa() -> Rows:
    """`lmms-lab/DocVQA`: the page again in every row."""
    return [
        {
            "questionId": str(n), "question": "What date?", "image": image(0),
            "docId": 7, "answers": ["May 1", "1 May"],
        }
        for n in range(2)
    ]  # fmt: skip


def old_qa(rows: Rows) -> Rows:
    """The `qa` column as a struct of lists, as older versions of `datasets` wrote it."""
    return [
        {**row, "qa": {name: [one[name] for one in row["qa"]] for name in row["qa"][0]}}
        for row in rows
    ]


PUBLISHED = {
    "chartqa": chartqa,
    "docvqa": docvqa,
    "textvqa": textvqa,
    "countbenchqa": countbenchqa,
    "ocrbench": ocrbench,
    "coco": coco,
    "screenspot": screenspot,
}
"""Rows of each benchmark in the form that it is measured on."""

SPLITS = {"docvqa": "validation", "textvqa": "validation", "coco": "validation"}


def folder(place: Path, name: str, rows: Rows | None = None, shards: int = 1) -> Path:
    """A benchmark's files as they come from the Hub: numbered, in a folder `data`."""
    rows = PUBLISHED[name]() if rows is None else rows
    split = SPLITS.get(name, "test")
    share = -(-len(rows) // shards)
    for number in range(shards):
        some: Sequence[Any] = rows[number * share : (number + 1) * share]
        write(place / "data" / f"{split}-{number:05}-of-{shards:05}.parquet", list(some))
    return place


def decoded(number: int) -> Image.Image:
    """The picture of a number."""
    with Image.open(io.BytesIO(encoded(number))) as picture:
        return picture.convert("RGB")


def items(count: int) -> list[BenchmarkItem]:
    """Questions about pictures of their own."""
    return [
        BenchmarkItem(f"{n}.0", str(n), encoded(n), (Question("How many?", 4),), {"number": n})
        for n in range(count)
    ]
