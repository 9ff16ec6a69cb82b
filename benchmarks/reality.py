"""Twenty answers of this engine beside those of the official code: equal, or where they part.

Both run the same weights on the CPU in float32 and greedily, so that they have to be equal; on the
published files nobody has compared them yet. It takes a network (or files that are in the cache),
16 GB of memory and, on a few cores, a quarter of an hour for each release:

    python -m benchmarks.reality --model vikhyatk/moondream2 --run-official-code

That flag is the consent to run Python code from the model's repository, at the commit of the
weights; without it nothing is run. `--official FOLDER` takes the code from a folder instead (the
folder `moondream/torch` of the official repository at the release's commit), and
`--recorded FOLDER` takes answers that the official code gave before, in the form of
`tests/golden`. Exits with 0 when all answers are equal, 1 when any differs, 2 when a release could
not be compared.
"""

import argparse
import gc
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.official import OfficialCode, OfficialError, fetch_code
from pipeline.moondream import (
    CaptionRequest,
    DetectRequest,
    DetectResult,
    FailedResult,
    Moondream,
    MoondreamError,
    PointRequest,
    PointResult,
    QueryRequest,
    Request,
    Result,
)
from pipeline.moondream.checkpoints.checkpoint import open_checkpoint
from pipeline.moondream.checkpoints.models import (
    DEFAULT_MODEL,
    KnownModel,
    find_model,
    known_models,
)
from pipeline.moondream.checkpoints.revisions import FOUR_BIT, wanted

CLIP = Path("configs/media/plaza.mp4")
TOLERANCE = 1e-6  # the last digit of a power differs between scalar and vector code
KINDS = ("detect", "point", "query", "caption")
EQUAL, DIFFERENT, NOT_COMPARED = 0, 1, 2
OBJECTS, WORDS, SENTENCES = 50, 32, 64

Answer = str | list[tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Question:
    """One request: `words` is a label, a question or a length, `limit` objects or tokens."""

    picture: str
    kind: str
    words: str
    limit: int

    def __str__(self) -> str:
        return f"{self.kind} {self.words!r} of {self.picture}"


# Label of a detection and of a point, question, length of the caption: five for each kind.
ASKED = (
    ("person", "head", "How many people are in the picture?", "short"),
    ("bicycle", "shoe", "Is it day or night?", "normal"),
    ("shadow", "person", "What is the ground made of?", "short"),
    ("tree", "bag", "What are the people doing?", "normal"),
    ("person in dark clothes", "window", "Is there a car?", "short"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare each release, print the result and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a repository or a folder")
    parser.add_argument(
        "--revision", action="append", default=[],
        help="a release, or RELEASE@COMMIT; may be repeated; by default all known ones",
    )  # fmt: skip
    parser.add_argument("--run-official-code", action="store_true")
    parser.add_argument("--official", type=Path, help="a folder with the official code")
    parser.add_argument("--recorded", type=Path, help="a folder of recorded answers")
    parser.add_argument("--out", type=Path, help="write all answers to this JSON file")
    options = parser.parse_args(arguments)
    if options.official and options.recorded:
        parser.error("give --official or --recorded, not both")
    codes, kept = [], {}
    for revision in options.revision or releases_of(options.model):
        name = f"{options.model} {revision}" if revision else options.model
        try:
            answers = compared(options, revision)
        except (MoondreamError, OfficialError) as error:
            print(f"{name}: not compared: {error}")
            codes.append(NOT_COMPARED)
            continue
        kept[name] = [
            {**asdict(question), "ours": ours, "official": theirs}
            for question, ours, theirs in answers
        ]
        codes.append(report(name, answers))
    if options.out:
        options.out.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    for code in (DIFFERENT, NOT_COMPARED):
        if code in codes:
            return code
    return EQUAL


def releases_of(model: str) -> list[str | None]:
    """Return the known releases of a repository; None stands for a folder's own."""
    return [known.release for known in known_models() if known.model == model] or [None]


def report(name: str, answers: Sequence[tuple[Question, Answer, Answer]]) -> int:
    """Print how many answers are equal, and where the others part."""
    parted = [
        (question, said)
        for question, ours, theirs in answers
        if (said := parting(ours, theirs)) is not None
    ]
    print(f"{name}: {len(answers) - len(parted)} of {len(answers)} answers equal")
    for question, said in parted:
        print(f"  {question}: {said}")
    return DIFFERENT if parted else EQUAL


def parting(ours: Answer, theirs: Answer) -> str | None:
    """Return where two answers part, or None."""
    if isinstance(ours, str) or isinstance(theirs, str):
        if ours == theirs:
            return None
        same = 0
        for mine, other in zip(ours, theirs, strict=False):
            if mine != other:
                break
            same += 1
        return f"from character {same} on: {ours[same:]!r}, officially {theirs[same:]!r}"
    for index, (mine, other) in enumerate(zip(ours, theirs, strict=False)):
        if any(abs(a - b) > TOLERANCE for a, b in zip(mine, other, strict=True)):
            return f"at object {index}: {_short(mine)}, officially {_short(other)}"
    if len(ours) != len(theirs):
        return f"{len(ours)} objects, officially {len(theirs)}; the first ones are equal"
    return None


def _short(numbers: Sequence[float]) -> str:
    return "(" + ", ".join(f"{number:.4f}" for number in numbers) + ")"


def compared(
    options: argparse.Namespace, revision: str | None
) -> list[tuple[Question, Answer, Answer]]:
    """Ask both sides; raises MoondreamError or OfficialError with what is in the way."""
    if options.recorded:
        asked, pictures, theirs = recorded(options.recorded)
        # The reference recorded them where it had no libvips.
        ours = of_this_engine(options.model, revision, asked, pictures, "pillow")
        return list(zip(asked, ours, theirs, strict=True))
    if options.model == FOUR_BIT:
        raise OfficialError(
            "the official code packs 4-bit weights anew with torchao, which gives other numbers; "
            "there is nothing that has to be equal"
        )
    code = OfficialCode(options.official or consented(options, revision))
    pictures = frames()
    asked = questions(list(pictures))
    # One network in memory at a time.
    ours = of_this_engine(options.model, revision, asked, pictures, code.resizer)
    gc.collect()
    checkpoint = open_checkpoint(options.model, revision)
    try:
        official = code.model(checkpoint, checkpoint.config)
        theirs = [
            official.answer(pictures[one.picture], one.kind, one.words, one.limit) for one in asked
        ]
    except OfficialError:
        raise
    except Exception as error:
        # Code this project does not know: whatever it raises, it could not be compared.
        raise OfficialError(f"the official code failed: {type(error).__name__}: {error}") from error
    return list(zip(asked, ours, theirs, strict=True))


def consented(options: argparse.Namespace, revision: str | None) -> Path:
    """Return the folder of the repository's own code, if running it was agreed to."""
    known = find_model(options.model, revision)
    repo, at = _code_of(options.model, revision, known)
    if not options.run_official_code:
        raise OfficialError(
            f"this runs Python code of {repo} at {at}, which is not part of this project and can "
            "do whatever you can; say --run-official-code, or read the code, put it into a folder "
            "and give --official FOLDER"
        )
    return fetch_code(repo, at)


def _code_of(model: str, revision: str | None, known: KnownModel | None) -> tuple[str, str]:
    if known is not None:
        return known.weights.repo, known.weights.revision
    if Path(model).expanduser().is_dir():
        raise OfficialError(
            f"{model} is a folder, whose weights say nothing of the code they belong to; give "
            "--official FOLDER, or --recorded FOLDER"
        )
    files = wanted(model, revision).files
    assert files is not None, "only known repositories need no revision"
    return model, files


def of_this_engine(
    model: str,
    revision: str | None,
    asked: Sequence[Question],
    pictures: Mapping[str, Image.Image],
    resizer: str | None,
) -> list[Answer]:
    """Answer with this engine, all in one running batch."""
    engine = Moondream.load(
        model,
        revision,
        device="cpu",
        dtype="float32",
        resizer="vips" if resizer == "vips" else "pillow" if resizer else "auto",
        max_batch=8,
    )
    names = list(dict.fromkeys(question.picture for question in asked))
    grouped = {name: [one for one in asked if one.picture == name] for name in names}
    results = engine.answer(
        [(pictures[name], [_request(one) for one in grouped[name]]) for name in names]
    )
    by_question = {
        id(one): _answer(one, result)
        for name, found in zip(names, results, strict=True)
        for one, result in zip(grouped[name], found, strict=True)
    }
    return [by_question[id(one)] for one in asked]


def _request(asked: Question) -> Request:
    match asked.kind:
        case "detect":
            return DetectRequest(asked.words, asked.limit, raw=True)
        case "point":
            return PointRequest(asked.words, asked.limit)
        case "query":
            return QueryRequest(asked.words, max_tokens=asked.limit)
        case _:
            length: Any = asked.words
            return CaptionRequest(length, max_tokens=asked.limit)


def _answer(asked: Question, result: Result) -> Answer:
    match result:
        case DetectResult():
            return [tuple(box) for box in result.boxes_xyxy.tolist()]
        case PointResult():
            return [tuple(point) for point in result.points_xy.tolist()]
        case FailedResult():
            raise OfficialError(f"{asked}: this engine failed: {result.reason}")
        case _:
            return str(getattr(result, "text", ""))


def frames() -> dict[str, Image.Image]:
    """Return five pictures of the bundled clip, of the shapes that are tiled differently."""
    import av

    shapes = ((320, 240), (768, 576), (640, 480), (432, 576), (1280, 720))
    pictures: dict[str, Image.Image] = {}
    with av.open(str(CLIP)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index % 40 == 0:
                width, height = shapes[len(pictures)]
                image = Image.fromarray(frame.to_ndarray(format="rgb24"))
                pictures[f"frame {index} at {width}x{height}"] = image.resize((width, height))
                if len(pictures) == len(shapes):
                    break
    return pictures


def questions(pictures: Sequence[str]) -> list[Question]:
    """Return twenty questions, four about each of five pictures."""
    limits = (OBJECTS, OBJECTS, WORDS, SENTENCES)
    return [
        Question(picture, kind, words, limit)
        for picture, row in zip(pictures, ASKED, strict=True)
        for kind, words, limit in zip(KINDS, row, limits, strict=True)
    ]


def recorded(folder: Path) -> tuple[list[Question], dict[str, Image.Image], list[Answer]]:
    """Read twenty recorded answers, five of each kind, with their questions and pictures."""
    try:
        files = json.loads((folder / "images.json").read_text(encoding="utf-8"))
        entries = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OfficialError(
            f"{folder} has no recorded answers in the form of tests/golden: {error}"
        ) from error
    asked: list[Question] = []
    answers: list[Answer] = []
    pictures: dict[str, Image.Image] = {}
    for kind in KINDS:
        plain = [
            entry
            for entry in entries
            if entry["kind"] == kind and not (entry.get("reasoning") or entry.get("spatial_refs"))
        ]
        plain = [entry for entry in plain if entry.get("image") is not None]
        for entry in plain[:: max(1, len(plain) // 5)][:5]:
            name = entry["image"]
            with Image.open(folder / files[name]["file"]) as image:
                pictures[name] = image.copy()
            words, limit, answer = _recorded_entry(kind, entry)
            asked.append(Question(name, kind, words, limit))
            answers.append(answer)
    return asked, pictures, answers


def _recorded_entry(kind: str, entry: Mapping[str, Any]) -> tuple[str, int, Answer]:
    if kind in ("query", "caption"):
        words = entry["question"] if kind == "query" else entry["length"]
        return words, entry["max_tokens"], entry["text"]
    fields = ("x_min", "y_min", "x_max", "y_max") if kind == "detect" else ("x", "y")
    found = entry["result"]["objects" if kind == "detect" else "points"]
    answer: Answer = [tuple(float(one[field]) for field in fields) for one in found]
    return entry["object"], entry["max_objects"], answer


if __name__ == "__main__":
    raise SystemExit(main())
