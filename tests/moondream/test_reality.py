"""The comparison with the official code, on the golden model: equal, different, not comparable.

The official code itself is not part of this project. Its answers on the golden model are recorded,
and a stand-in with its interface (a package of files with relative imports, half-precision
pictures, a tokenizer fetched by name) answers through the plain loop of the benchmarks.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import constants

from benchmarks.official import OfficialCode, OfficialError, fetch_code
from benchmarks.reality import ASKED, frames, main, parting, questions, releases_of
from pipeline.moondream.checkpoints.models import DEFAULT_MODEL
from tests.golden.golden_set import GOLDEN

STAND_IN = {
    "config.py": """
class MoondreamConfig:
    def __init__(self, groups): self.groups = groups
    @classmethod
    def from_dict(cls, groups): return cls(groups)
""",
    "image_crops.py": "HAVE_PYVIPS = False\n",
    "vision.py": """
import torch
from .image_crops import HAVE_PYVIPS
def prepare_crops(image, config, device):
    return torch.zeros(2, 3, 378, 378, dtype=torch.bfloat16), (1, 1)
""",
    "moondream.py": """
import numpy as np
import torch
from tokenizers import Tokenizer
from benchmarks.plain_loop import PlainLoop
from pipeline.moondream import CaptionRequest, DetectRequest, PointRequest, QueryRequest
from pipeline.moondream.dims import Dims
from pipeline.moondream.network.network import Network
from pipeline.moondream.network.region import coord_values, size_values
from pipeline.moondream.checkpoints.releases import RELEASES, release_from_config
from pipeline.moondream.skills.base import Language
from pipeline.moondream.checkpoints.tensors import tensor_table
from pipeline.moondream.checkpoints.tokenizer import TextTokenizer
from .config import MoondreamConfig
from .vision import prepare_crops

class MoondreamModel:
    def __init__(self, config, dtype=torch.bfloat16):
        assert dtype is torch.float32
        self.config, self.dims = config, Dims.from_config(config.groups)
        self.release = release_from_config(RELEASES["2025-06-21"], config.groups)
        self.tokenizer = TextTokenizer(Tokenizer.from_pretrained("moondream/starmie-v1"), "")

    def load_state_dict(self, state, strict, assign):
        names = tensor_table(self.dims)
        network = Network.from_state(state, self.dims, self.release)
        self.loop = PlainLoop(network, Language(self.release, self.tokenizer, self.dims))
        return ["text.blocks.0.kv_cache.k_cache"], [name for name in state if name not in names]

    def encode_image(self, image, settings=None):
        assert torch.zeros(1, dtype=torch.float16).dtype is torch.float32
        assert prepare_crops(image, None, "cpu")[0].dtype is torch.float32
        return image

    def _text(self, image, request):
        ids, pieces = self.loop.answer(image, request).token_ids, []
        while ids:
            text = [self.tokenizer.decode(ids[: n + 1]) for n in range(len(ids))]
            end = next((n for n, t in enumerate(text) if t.endswith("\\n")), len(ids) - 1) + 1
            pieces.append(text[end - 1])
            ids = ids[end:]
        return "".join(pieces)

    def query(self, image=None, question=None, reasoning=False, settings=None):
        assert settings["temperature"] == 0 and settings["variant"] is None
        asked = QueryRequest(question, max_tokens=settings["max_tokens"])
        return {"answer": self._text(image, asked)}

    def caption(self, image, length="normal", stream=False, settings=None):
        asked = CaptionRequest(length, max_tokens=settings["max_tokens"])
        return {"caption": self._text(image, asked)}

    def detect(self, image, object, settings=None):
        most = settings["max_objects"]
        bins = self.loop.answer(image, DetectRequest(object, most, raw=True)).bins
        at, size, found = coord_values(1024), size_values(1024, "log"), []
        for x, y, w, h in bins:
            x, y, w, h = (float(v) for v in (at[x], at[y], size[w], size[h]))
            found.append(dict(x_min=x - w / 2, y_min=y - h / 2, x_max=x + w / 2, y_max=y + h / 2))
        return {"objects": found}

    def point(self, image, object, settings=None):
        bins = self.loop.answer(image, PointRequest(object, settings["max_objects"])).bins
        return {"points": [{"x": x / 1024, "y": y / 1024} for x, y in bins]}
""",
}


def stand_in(folder: Path, **changed: str) -> Path:
    """Write the stand-in; `changed` replaces whole files, without their ending."""
    folder.mkdir()
    for name, text in {**STAND_IN, **{f"{n}.py": t for n, t in changed.items()}}.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask for little: the golden model would go on, and the stand-in is slow."""
    torch.set_num_threads(1)
    for name, most in (("OBJECTS", 2), ("WORDS", 4), ("SENTENCES", 6)):
        monkeypatch.setattr(f"benchmarks.reality.{name}", most)


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_equal_answers_of_both_sides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Twenty of twenty, exit code 0, and all of them in the file asked for."""
    out = tmp_path / "answers.json"
    arguments = ["--model", str(GOLDEN), "--official", str(stand_in(tmp_path / "code"))]
    assert main([*arguments, "--out", str(out)]) == 0, capsys.readouterr().out
    assert f"{GOLDEN}: 20 of 20 answers equal" in capsys.readouterr().out
    (answers,) = json.loads(out.read_text()).values()
    assert len(answers) == 20
    assert {answer["kind"] for answer in answers} == {"detect", "point", "query", "caption"}
    assert any(answer["ours"] for answer in answers if answer["kind"] == "detect")
    assert all(
        answer["ours"] == answer["official"] for answer in answers if answer["kind"] == "query"
    )


def test_answers_recorded_by_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    """What the official code gave on the golden model is what this engine gives."""
    assert main(["--model", str(GOLDEN), "--recorded", str(GOLDEN)]) == 0
    assert "20 of 20 answers equal" in capsys.readouterr().out


def test_where_answers_part_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another box, a shorter list and another word: three of twenty, and exit code 1."""
    changed = tmp_path / "set"
    changed.mkdir()
    for name in ("images.json", "images"):
        (changed / name).symlink_to(GOLDEN / name)
    entries = json.loads((GOLDEN / "results.json").read_text())
    detect = next(entry for entry in entries if entry["kind"] == "detect")
    detect["result"]["objects"][0]["x_max"] += 0.01
    point = next(entry for entry in entries if entry["kind"] == "point")
    given = len(point["result"]["points"])
    point["result"]["points"] = point["result"]["points"][:-1]
    caption = next(entry for entry in entries if entry["kind"] == "caption")
    caption["text"] += " too"
    (changed / "results.json").write_text(json.dumps(entries))
    assert main(["--model", str(GOLDEN), "--recorded", str(changed)]) == 1
    said = capsys.readouterr().out
    assert "17 of 20 answers equal" in said
    assert f"detect '{detect['object']}' of a0: at object 0: (" in said
    assert f"{given} objects, officially {given - 1}; the first ones are equal" in said
    assert "on: '', officially ' too'" in said


def test_where_two_answers_part() -> None:
    """The first character or object that differs; the last digit of a number does not count."""
    assert parting("a dog", "a dog") is None
    assert parting("a dog", "a cat") == "from character 2 on: 'dog', officially 'cat'"
    assert parting([(0.5, 0.5)], [(0.5, 0.5 + 1e-8)]) is None
    assert parting([], []) is None
    assert parting([(0.5, 0.5), (0.1, 0.1)], [(0.5, 0.5)]) == (
        "2 objects, officially 1; the first ones are equal"
    )


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"moondream": "import no_such_library\n"}, "needs no_such_library, which cannot be"),
        ({"moondream": "raise ImportError('torchao is old')\n"}, "needs torchao is old"),
        (
            {
                "moondream": STAND_IN["moondream.py"].replace(
                    "return image\n", "raise KeyError(1)\n"
                )
            },
            "the official code failed: KeyError: 1",
        ),
        (
            {
                "moondream": STAND_IN["moondream.py"].replace(
                    '["text.blocks.0', '["text.lm_head", "x'
                )
            },
            "does not have the tensors of",
        ),
    ],
)
@pytest.mark.usefixtures("short")
def test_official_code_that_does_not_work_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], files: dict[str, str], said: str
) -> None:
    """Whatever it raises: the release was not compared, and the exit code is 2."""
    folder = stand_in(tmp_path / "code", **files)
    assert main(["--model", str(GOLDEN), "--official", str(folder)]) == 2
    assert said in capsys.readouterr().out


def test_nothing_is_run_without_consent(capsys: pytest.CaptureFixture[str]) -> None:
    """Each known release says what would be run, and from where."""
    assert main(["--model", DEFAULT_MODEL]) == 2
    said = capsys.readouterr().out.splitlines()
    assert len(said) == len(releases_of(DEFAULT_MODEL)) == 4
    assert "runs Python code of vikhyatk/moondream2 at 9a7d4024050840e001defacec2b007" in said[0]
    assert all("say --run-official-code" in line for line in said)


def test_what_cannot_be_compared_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder without code, code that is none, and 4-bit weights that upstream packs anew."""
    assert main(["--model", str(GOLDEN)]) == 2
    assert "give --official FOLDER, or --recorded FOLDER" in capsys.readouterr().out
    assert main(["--model", str(GOLDEN), "--official", str(tmp_path)]) == 2
    assert "has no moondream.py" in capsys.readouterr().out
    assert main(["--model", str(GOLDEN), "--recorded", str(tmp_path)]) == 2
    assert "has no recorded answers" in capsys.readouterr().out
    assert main(["--model", "someone/finetune"]) == 2
    assert "needs a revision: give a commit" in capsys.readouterr().out
    at = ["--revision", f"2025-06-21@{'f' * 40}"]
    assert main(["--model", "someone/finetune", *at]) == 2
    assert f"runs Python code of someone/finetune at {'f' * 40}" in capsys.readouterr().out
    assert main(["--model", "moondream/moondream-2b-2025-04-14-4bit"]) == 2
    assert "packs 4-bit weights anew" in capsys.readouterr().out


def test_code_is_fetched_with_what_it_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the commit of the weights, and no file that is not needed."""
    commit, cache = "f" * 40, tmp_path / "cache"
    folder = cache / "models--a--b" / "snapshots" / commit
    shutil.copytree(stand_in(tmp_path / "code"), folder)
    (folder / "unused.py").write_text("raise SystemExit")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    assert fetch_code("a/b", commit) == folder
    looked_at = {path.stem for path in (cache / ".moonwatch").rglob("*.json")}
    assert looked_at == {"config.py", "image_crops.py", "moondream.py", "vision.py"}


def test_the_resizer_is_the_one_the_official_code_finds(tmp_path: Path) -> None:
    """Early code imports libvips or fails; later code says whether it found it."""
    assert OfficialCode(stand_in(tmp_path / "a")).resizer == "pillow"
    late = stand_in(tmp_path / "b", image_crops="HAVE_PYVIPS = True\n")
    assert OfficialCode(late).resizer == "vips"
    early = stand_in(
        tmp_path / "c",
        image_crops="import math as pyvips\nother = 1\n",
        vision="from .image_crops import other\ndef prepare_crops(): ...\n",
    )
    assert OfficialCode(early).resizer == "vips"
    with pytest.raises(OfficialError, match=r"has no moondream\.py"):
        OfficialCode(tmp_path)


def test_the_questions_are_twenty_about_pictures_of_every_tiling() -> None:
    """One crop, a grid enlarged, a grid shrunk, and a tall picture."""
    pictures = frames()
    asked = questions(list(pictures))
    assert len(asked) == 20
    assert len({picture.size for picture in pictures.values()}) == len(ASKED) == 5
    assert all(np.asarray(picture).std() > 10 for picture in pictures.values())
