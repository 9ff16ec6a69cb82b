"""Data sets as they are published: read row by row, and refused with a sentence."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

from pipeline.benchmarking.items import BenchmarkError, BenchmarkItem, Question
from pipeline.benchmarking.parquet import open_shards
from pipeline.benchmarking.pictures import data_uri, decoded
from pipeline.benchmarking.prompts import PROMPTS, PromptStyle, prompt_form
from pipeline.benchmarking.published_files import COCO_LABELS, COCO_UNUSED
from pipeline.benchmarking.runner import BenchmarkRun
from pipeline.benchmarking.suite import BENCHMARKS, Asking, benchmark_named, read_items
from tests.benchmarking import made_up


def items_of(
    name: str, place: Path, prompts: PromptStyle = "official", *, all_classes: bool = False
) -> list[BenchmarkItem]:
    """All items of a benchmark's files."""
    benchmark = benchmark_named(name)
    run = BenchmarkRun(benchmark, place, prompts)
    return list(
        read_items(benchmark, run.open_data(), run.prompt, Asking(), all_classes=all_classes)
    )


def test_every_benchmark_is_read_in_its_published_form(tmp_path: Path) -> None:
    """A question, what is right and its parts; ids are rows and their questions."""
    found = {
        name: items_of(name, made_up.folder(tmp_path / name, name)) for name in made_up.PUBLISHED
    }
    assert {name: len(items) for name, items in found.items()} == {
        "chartqa": 6, "docvqa": 6, "textvqa": 4, "countbenchqa": 3, "ocrbench": 3, "coco": 4,
        "screenspot": 6,
    }  # fmt: skip
    assert [item.id for item in found["chartqa"]] == ["0.0", "0.1", "1.0", "1.1", "2.0", "2.1"]
    assert found["chartqa"][2].gold == {"answer": "10%"}
    assert [item.parts for item in found["chartqa"][:2]] == [("human",), ("augmented",)]
    assert found["docvqa"][0].gold == {"answers": ["March 3", "3 March"]}
    assert found["countbenchqa"][1].gold == {"number": 3}
    assert found["ocrbench"][0].parts == ("Text Recognition", "Regular Text Recognition")
    assert found["ocrbench"][0].asked == "What is written?"
    assert found["ocrbench"][2].parts == ("Handwritten Mathematical Expression Recognition",)
    assert [item.asked for item in found["coco"][:2]] == ["person", "dog"]
    assert found["coco"][0].gold == {
        "boxes": [[1.5, 2, 21.5, 32], [30, 5, 50, 25]], "label": 1, "size": [64, 48],
    }  # fmt: skip
    assert [item.parts[0] for item in found["screenspot"]] == [
        "mobile icon", "mobile text", "desktop icon", "desktop text", "web icon", "web text",
    ]  # fmt: skip
    assert len(found["screenspot"][0].asks) == 2


def test_questions_about_one_picture_know_that_it_is_one(tmp_path: Path) -> None:
    """By its bytes, so it does not matter whether they are in one row or in several."""
    one, two, three, four = items_of("textvqa", made_up.folder(tmp_path, "textvqa"))
    assert one.picture == two.picture != three.picture == four.picture


@pytest.mark.parametrize(
    ("name", "rows", "parts"),
    [
        ("chartqa", made_up.lmms_chartqa(), ["human", "augmented"]),
        ("chartqa", made_up.m4_chartqa(), ["human", "augmented"]),
        ("docvqa", made_up.lmms_docvqa(), []),
        ("chartqa", made_up.old_qa(made_up.chartqa(1)), ["human", "augmented"]),
    ],
)
def test_other_copies_of_a_data_set_are_read_too(
    tmp_path: Path, name: str, rows: made_up.Rows, parts: list[str]
) -> None:
    """Those of lmms-lab and HuggingFaceM4, and columns of structs of lists."""
    items = items_of(name, made_up.write(tmp_path / "some.parquet", rows))
    assert [part for item in items for part in item.parts] == parts
    assert len(items) == 2
    assert all(item.gold.get("answer") or item.gold["answers"] for item in items)


def test_shards_are_read_in_order_and_rows_are_numbered_through(tmp_path: Path) -> None:
    """Three files of a split are one data set; other splits beside it are left alone."""
    place = made_up.folder(tmp_path, "countbenchqa", made_up.countbenchqa(5), shards=3)
    made_up.write(place / "data" / "train-00000-of-00001.parquet", made_up.countbenchqa(9))
    items = items_of("countbenchqa", place)
    assert [(item.id, item.gold["number"]) for item in items] == [
        (f"{n}.0", n + 2) for n in range(5)
    ]


def test_a_large_file_is_never_in_memory_at_once(tmp_path: Path) -> None:
    """Ninety pictures of 100 kB: a ninth of them is held at most."""
    rows = [
        {"image": {"bytes": bytes([n]) * 100_000, "path": ""}, "question": "How many?", "number": n}
        for n in range(90)
    ]
    path = tmp_path / "some.parquet"
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    table = pa.table(
        {
            "image": pa.array(columns["image"], made_up.IMAGE),
            "question": columns["question"],
            "number": columns["number"],
        }
    )
    pa.parquet.write_table(table, path, 10, compression="none", use_dictionary=False)
    del table, columns, rows
    before, most = pa.total_allocated_bytes(), 0
    for _ in open_shards(path, "test").read(["image", "number"]):
        most = max(most, pa.total_allocated_bytes() - before)
    assert path.stat().st_size > 9_000_000
    assert most < 3_000_000


def test_all_classes_of_coco_are_asked_for_on_wish(tmp_path: Path) -> None:
    """The eighty that COCO uses, those that are not there with no gold box; ids stay the same."""
    place = made_up.folder(tmp_path, "coco", made_up.coco(1))
    few, all_ = items_of("coco", place), items_of("coco", place, all_classes=True)
    assert len(COCO_LABELS) == 92
    assert len(all_) == len(COCO_LABELS) - len(COCO_UNUSED) == 80
    assert [item.id for item in few] == ["0.1", "0.18"]
    assert {item.id for item in few} <= {item.id for item in all_}
    assert sum(bool(item.gold["boxes"]) for item in all_) == 2


def test_prompts_are_a_table_of_both_styles(tmp_path: Path) -> None:
    """Every benchmark has both; a caption and capitals go where lmms-eval has them."""
    assert {(form.benchmark, form.style) for form in PROMPTS} == {
        (benchmark.name, style) for benchmark in BENCHMARKS for style in ("official", "plain")
    }
    place = made_up.folder(tmp_path / "c", "countbenchqa")
    assert items_of("countbenchqa", place)[0].asked == (
        "Look at the image carefully and count the objects. Answer with just a number, without any "
        "additional text. How many cats?"
    )
    [first, *_] = items_of("countbenchqa", place, "plain")
    assert first.asked == "Some cats.\n\nHow many cats?\nAnswer with a single number."
    assert isinstance(first.asks[0], Question)
    assert first.asks[0].max_tokens == 32
    text = prompt_form("textvqa", "plain").put({"question": "what does THIS say?"})
    assert text.startswith("What does this say?\n")
    assert prompt_form("docvqa", "official").put({"question": "{date}?"}).startswith("{date}? The")


def refusal(name: str, place: Path) -> str:
    """Why the files are refused."""
    with pytest.raises(BenchmarkError) as caught:
        items_of(name, place)
    return str(caught.value)


def test_a_file_of_another_benchmark_is_refused(tmp_path: Path) -> None:
    """The missing column, the data set's name, its licence and the command that fetches it."""
    path = made_up.write(tmp_path / "some.parquet", made_up.countbenchqa())
    said = refusal("chartqa", path)
    assert (
        "some.parquet is not a file of chartqa: it lacks the column qa of vikhyatk/chartqa" in said
    )
    assert "it has image, number, question, text" in said
    assert "GPL-3.0" in said
    assert said.endswith(
        "hf download vikhyatk/chartqa --repo-type dataset --local-dir data/chartqa"
    )
    said = refusal("screenspot", path)
    assert "lacks the columns bbox, instruction, data_type, data_source of rootsauto" in said


def test_places_without_the_data_are_refused(tmp_path: Path) -> None:
    """Nothing there, an empty folder, no Parquet, an LFS pointer, another split, a lost shard."""
    assert "does not exist; the data is echo840/OCRBench" in refusal("ocrbench", tmp_path / "no")
    (tmp_path / "empty").mkdir()
    assert "has no Parquet files" in refusal("ocrbench", tmp_path / "empty")
    text = tmp_path / "text.parquet"
    text.write_text("not Parquet")
    assert "text.parquet cannot be read as a Parquet file" in refusal("ocrbench", text)
    text.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    assert "is a Git LFS pointer" in refusal("ocrbench", text)
    train = tmp_path / "train"
    made_up.write(train / "train-00000-of-00001.parquet", made_up.ocrbench())
    assert "has the split train; this benchmark is measured on 'test'" in refusal("ocrbench", train)
    some = made_up.folder(tmp_path / "some", "ocrbench", shards=3)
    (some / "data" / "test-00001-of-00003.parquet").unlink()
    assert "has 2 of 3 files of the split 'test': number 00001 is missing" in refusal(
        "ocrbench", some
    )
    both = made_up.folder(tmp_path / "both" / "a", "ocrbench").parent
    made_up.folder(both / "b", "ocrbench")
    assert "has Parquet files in several folders" in refusal("ocrbench", both)
    empty = made_up.write(tmp_path / "none.parquet", made_up.ocrbench())
    pa.parquet.write_table(pa.parquet.read_table(empty).slice(0, 0), empty)
    assert "has no rows" in refusal("ocrbench", empty)


def test_files_of_different_data_sets_in_a_folder_are_refused(tmp_path: Path) -> None:
    """The columns that differ are named."""
    made_up.write(tmp_path / "a.parquet", made_up.countbenchqa())
    made_up.write(tmp_path / "b.parquet", made_up.ocrbench())
    said = refusal("countbenchqa", tmp_path)
    assert "b.parquet has other columns than" in said
    assert "answer, dataset, number, question_type, text" in said


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        ("docvqa", {"qa": [{"answers": [], "question": "?"}]}, "answers is empty: a split whose"),
        ("ocrbench", {"image": {"bytes": None, "path": "a.png"}}, "only the path 'a.png'"),
        ("screenspot", {"bbox": [5.0, 5.0, 90.0, 80.0]}, "not the fractions"),
        ("coco", {"objects": json.dumps({"bbox": [[1, 1, 1, 1]], "label": [99]})}, "label 99"),
        ("coco", {"objects": "{"}, "JSONDecodeError"),
        ("countbenchqa", {"question": None}, "question is None, which is not a text"),
    ],
)
def test_a_row_that_is_not_of_the_form_is_refused(
    tmp_path: Path, name: str, change: dict[str, Any], why: str
) -> None:
    """With its number, its column and its value."""
    rows = made_up.PUBLISHED[name]()
    rows[1] |= change
    said = refusal(name, made_up.folder(tmp_path, name, rows))
    assert "row 1: " in said
    assert why in said


def test_a_picture_is_turned_as_its_exif_data_says() -> None:
    """As upstream's data library does it; a server gets it turned, not turned and marked."""
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20), "red").save(buffer, "JPEG", exif=exif)
    turned = buffer.getvalue()
    assert decoded(turned).size == (20, 40)
    assert data_uri(turned).startswith("data:image/png;base64,")
    assert data_uri(made_up.encoded(1)).startswith("data:image/png;base64,")
    grey = io.BytesIO()
    Image.new("LA", (4, 4)).save(grey, "PNG")
    assert decoded(grey.getvalue()).mode == "RGB"
