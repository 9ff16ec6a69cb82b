"""The forms in which the benchmarks' data sets are published, and what a row of each says.

A form is known by its columns. A row yields a draft for each question it holds.
"""

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.benchmarking.items import BenchmarkError, Json
from pipeline.benchmarking.parquet import ParquetShards

Row = Mapping[str, Any]

# Labels of the cleaned COCO set are positions in this list: COCO's own numbers, with names for
# those that COCO defined and never used.
COCO_LABELS = tuple(
    """
None;person;bicycle;car;motorcycle;airplane;bus;train;truck;boat;traffic light;fire hydrant;
street sign;stop sign;parking meter;bench;bird;cat;dog;horse;sheep;cow;elephant;bear;zebra;giraffe;
hat;backpack;umbrella;shoe;eye glasses;handbag;tie;suitcase;frisbee;skis;snowboard;sports ball;kite;
baseball bat;baseball glove;skateboard;surfboard;tennis racket;bottle;plate;wine glass;cup;fork;
knife;spoon;bowl;banana;apple;sandwich;orange;broccoli;carrot;hot dog;pizza;donut;cake;chair;couch;
potted plant;bed;mirror;dining table;window;desk;toilet;door;tv;laptop;mouse;remote;keyboard;
cell phone;microwave;oven;toaster;sink;refrigerator;blender;book;clock;vase;scissors;teddy bear;
hair drier;toothbrush;hair brush
""".replace("\n", "").split(";")
)
COCO_UNUSED = frozenset({0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91})


@dataclass(frozen=True, slots=True)
class ItemDraft:
    """A question of a row: what a prompt is made of, what is right, and the parts it belongs to."""

    fields: Mapping[str, str]
    gold: Mapping[str, Json]
    parts: tuple[str, ...] = ()


class RowError(ValueError):
    """What a row holds is not what its form promises; says the column and the value."""


@dataclass(frozen=True, slots=True)
class PublishedForm:
    """One published copy of a data set: its name on the Hub and the columns it is known by."""

    dataset: str
    columns: tuple[str, ...]
    drafts: Callable[[Row], Iterator[ItemDraft]]
    split: str = "test"
    optional: tuple[str, ...] = ()

    @property
    def download(self) -> str:
        """The command that fetches it."""
        name = self.dataset.rpartition("/")[2].lower()
        pattern = f'--include "*{self.split}-*.parquet" ' if self.split != "test" else ""
        return f"hf download {self.dataset} --repo-type dataset {pattern}--local-dir data/{name}"


@dataclass(frozen=True, slots=True)
class DataSet:
    """A benchmark's data: the copies that can be read, the first being what is measured on."""

    forms: tuple[PublishedForm, ...]
    size: str
    licence: str
    expected: int | None = None
    """How many questions the whole of it has, where that is known."""

    def form_of(self, shards: ParquetShards, benchmark: str) -> PublishedForm:
        """The form that the files have; raises BenchmarkError naming what is missing."""
        for form in self.forms:
            if shards.columns.issuperset(form.columns):
                return form
        meant = self.forms[0]
        missing = [name for name in meant.columns if name not in shards.columns]
        raise BenchmarkError(
            f"{shards.files[0]} is not a file of {benchmark}: it lacks the column"
            f"{'s' if len(missing) > 1 else ''} {', '.join(missing)} of {meant.dataset} "
            f"(it has {', '.join(sorted(shards.columns))}); {self.where}"
        )

    @property
    def where(self) -> str:
        """Where the data is, under what licence, and how it is fetched."""
        return (
            f"the data is {self.forms[0].dataset} on the Hugging Face Hub ({self.size}; "
            f"{self.licence}), which is fetched with: {self.forms[0].download}"
        )


@dataclass(frozen=True, slots=True)
class PictureRow:
    """A row that was read: its picture as it is stored, and its questions."""

    number: int
    encoded: bytes = field(repr=False)
    picture: str
    drafts: tuple[ItemDraft, ...]


def read_rows(shards: ParquetShards, form: PublishedForm) -> Iterator[PictureRow]:
    """Each row of the files; raises BenchmarkError at one that is not of the form."""
    extra = [name for name in form.optional if name in shards.columns]
    for number, row in shards.read([*form.columns, *extra]):
        try:
            encoded = _encoded(row["image"])
            drafts = tuple(form.drafts(row))
        except (RowError, KeyError, TypeError, ValueError) as error:
            said = error if isinstance(error, RowError) else f"{type(error).__name__}: {error}"
            first = shards.files[0]
            place = first if len(shards.files) == 1 else first.parent
            raise BenchmarkError(
                f"{place}, row {number}: {said}; the rows of {form.dataset} "
                f"have {', '.join(form.columns)}"
            ) from error
        digest = hashlib.sha256(encoded).hexdigest()[:16]
        yield PictureRow(number, encoded, digest, drafts)


def _encoded(value: Any) -> bytes:
    """The bytes of an image column, which is a struct of bytes and path, or only bytes."""
    encoded = value.get("bytes") if isinstance(value, Mapping) else value
    if not isinstance(encoded, bytes) or not encoded:
        path = value.get("path") if isinstance(value, Mapping) else None
        where = f", only the path {path!r}" if path else ""
        raise RowError(f"image holds no picture{where}")
    return encoded


def _text(row: Row, column: str) -> str:
    value = row.get(column)
    if not isinstance(value, str):
        raise RowError(f"{column} is {value!r}, which is not a text")
    return value


def _texts(row: Row, column: str) -> list[str]:
    """The gold answers: a list of texts that is not empty, or one text."""
    value = row.get(column)
    if isinstance(value, str):
        return [value]
    if not isinstance(value, Sequence) or not all(isinstance(one, str) for one in value):
        raise RowError(f"{column} is {value!r}, which is not a list of texts")
    if not value:
        raise RowError(f"{column} is empty: a split whose answers are secret cannot be measured")
    return list(value)


def _questions(row: Row) -> list[Row]:
    """A `qa` column: a list of structs, or a struct of lists, as older files have it."""
    value = row["qa"]
    if isinstance(value, Mapping):
        return [dict(zip(value, one, strict=True)) for one in zip(*value.values(), strict=True)]
    if not isinstance(value, Sequence) or not all(isinstance(one, Mapping) for one in value):
        raise RowError(f"qa is {value!r}, which is not a list of questions")
    return list(value)


def _chart_qa(row: Row) -> Iterator[ItemDraft]:
    for qa in _questions(row):
        part = "human" if _text(qa, "source").startswith("human") else "augmented"
        yield ItemDraft(
            {"question": _text(qa, "question")}, {"answer": _text(qa, "answer")}, (part,)
        )


def _chart_lmms(row: Row) -> Iterator[ItemDraft]:
    part = "human" if _text(row, "type").startswith("human") else "augmented"
    yield ItemDraft({"question": _text(row, "question")}, {"answer": _text(row, "answer")}, (part,))


def _chart_m4(row: Row) -> Iterator[ItemDraft]:
    part = "augmented" if row["human_or_machine"] in (1, "machine") else "human"
    answers = _texts(row, "label")
    yield ItemDraft({"question": _text(row, "query")}, {"answer": answers[0]}, (part,))


def _document_qa(row: Row) -> Iterator[ItemDraft]:
    for qa in _questions(row):
        yield from _question_and_answers(qa)


def _question_and_answers(row: Row) -> Iterator[ItemDraft]:
    yield ItemDraft({"question": _text(row, "question")}, {"answers": _texts(row, "answers")})


def _count(row: Row) -> Iterator[ItemDraft]:
    number = row["number"]
    if not isinstance(number, int) or isinstance(number, bool):
        raise RowError(f"number is {number!r}, which is not a whole number")
    fields = {"question": _text(row, "question"), "caption": row.get("text") or ""}
    yield ItemDraft(fields, {"number": number})


_OCR_MATHS = "Handwritten Mathematical Expression Recognition"


def _ocr(row: Row) -> Iterator[ItemDraft]:
    kind = _text(row, "question_type")
    is_reading = kind.endswith("Recognition") and kind != _OCR_MATHS
    gold = {"answers": _texts(row, "answer"), "dataset": _text(row, "dataset")}
    # lmms-eval strips the question too; one row ends in a blank.
    parts = ("Text Recognition", kind) if is_reading else (kind,)
    yield ItemDraft({"question": _text(row, "question").strip()}, gold, parts)


def _coco(row: Row) -> Iterator[ItemDraft]:
    objects = row["objects"]
    if isinstance(objects, str):
        objects = json.loads(objects)
    boxes: dict[int, list[list[float]]] = {}
    for (x, y, width, height), label in zip(objects["bbox"], objects["label"], strict=True):
        if not (isinstance(label, int) and 0 < label < len(COCO_LABELS)):
            raise RowError(f"objects has the label {label!r}, which is not one of COCO's numbers")
        boxes.setdefault(label, []).append([x, y, x + width, y + height])
    size = _size(_encoded(row["image"]))
    for label, found in sorted(boxes.items()):
        yield ItemDraft(
            {"question": COCO_LABELS[label]}, {"boxes": found, "label": label, "size": size}
        )


def _size(encoded: bytes) -> list[int]:
    """Width and height as shown; of what is not a picture it does not matter, it is not found."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(encoded)) as picture:
            return list(ImageOps.exif_transpose(picture).size)
    except (OSError, UnidentifiedImageError, ValueError, Image.DecompressionBombError):
        return [1, 1]


_SYSTEMS = {
    "ios": "mobile", "android": "mobile", "macos": "desktop", "windows": "desktop",
}  # fmt: skip


def _screen(row: Row) -> Iterator[ItemDraft]:
    box = row["bbox"]
    is_box = isinstance(box, Sequence) and len(box) == 4
    if not is_box or not all(isinstance(one, int | float) and 0 <= one <= 1 for one in box):
        raise RowError(f"bbox is {box!r}, not the fractions x_min, y_min, x_max, y_max")
    source = _text(row, "data_source").lower()
    device = next((kind for name, kind in _SYSTEMS.items() if name in source), "web")
    kind = "text" if _text(row, "data_type") == "text" else "icon"
    yield ItemDraft(
        {"question": _text(row, "instruction")}, {"box": list(box)}, (f"{device} {kind}",)
    )


CHARTQA = DataSet(
    (
        PublishedForm("vikhyatk/chartqa", ("image", "qa"), _chart_qa),
        PublishedForm("lmms-lab/ChartQA", ("image", "question", "answer", "type"), _chart_lmms),
        PublishedForm(
            "HuggingFaceM4/ChartQA", ("image", "query", "label", "human_or_machine"), _chart_m4
        ),
    ),
    "44 MB, 2,500 questions about 1,509 charts",
    "copies are labelled GPL-3.0",
    2500,
)
DOCVQA = DataSet(
    (
        PublishedForm("vikhyatk/docvqa-val", ("image", "qa"), _document_qa, "validation"),
        PublishedForm(
            "lmms-lab/DocVQA", ("image", "question", "answers"), _question_and_answers,
            "validation",
        ),
    ),
    "5,349 questions about 1,286 pages",
    "the challenge asks for a registration; the scans are from the UCSF library",
    5349,
)  # fmt: skip
TEXTVQA = DataSet(
    (
        PublishedForm(
            "vikhyatk/textvqa_val", ("image", "question", "answers"), _question_and_answers,
            "validation",
        ),
    ),
    "920 MB, 5,000 questions",
    "questions CC BY 4.0, pictures CC BY 2.0",
    5000,
)  # fmt: skip
COUNTBENCHQA = DataSet(
    (
        PublishedForm(
            "vikhyatk/CountBenchQA", ("image", "question", "number"), _count, optional=("text",)
        ),
    ),
    "23 MB, 491 questions",
    "no licence is stated and the pictures are from the web: do not pass them on",
    491,
)
OCRBENCH = DataSet(
    (
        PublishedForm(
            "echo840/OCRBench", ("image", "question", "answer", "question_type", "dataset"), _ocr
        ),
    ),
    "68 MB, 1,000 questions",
    "no licence is stated; its sources are for research",
    1000,
)
COCO = DataSet(
    (
        PublishedForm(
            "moondream/coco-val-2017-bbox-cleaned", ("image", "objects"), _coco, "validation"
        ),
    ),
    "up to 5,000 pictures, about 36,300 boxes",
    "boxes CC BY 4.0, pictures by the terms of Flickr",
)
SCREENSPOT = DataSet(
    (
        PublishedForm(
            "rootsautomation/ScreenSpot",
            ("image", "bbox", "instruction", "data_type", "data_source"),
            _screen,
        ),
    ),
    "602 MB, 1,272 instructions",
    "Apache-2.0",
    1272,
)
