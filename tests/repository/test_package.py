"""What is said of a wheel or an sdist that should not be published."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT, modules
from tools.inspect_package import problems

NAME = "moonwatch-9.8.7"
INFO = f"{NAME}.dist-info"


@pytest.fixture
def contents() -> set[str]:
    """What a good wheel holds."""
    data = [path for end in ("lua", "onnx") for path in ROOT.glob(f"[pc]*/**/*.{end}")]
    licences = list((ROOT / "pipeline" / "inference").rglob("LICENSE"))
    files = [module.path for module in modules()] + data + licences
    return {path.relative_to(ROOT).as_posix() for path in files} | {
        "pipeline/py.typed",
        "pipeline/web/static/index.html",
        "pipeline/web/static/LICENSES.txt",
        f"{INFO}/entry_points.txt",
        f"{INFO}/licenses/LICENSE",
    }


def packed(folder: Path, wheel: set[str], sdist: set[str]) -> Path:
    """Both archives, with empty files."""
    with zipfile.ZipFile(folder / f"{NAME}-py3-none-any.whl", "w") as archive:
        for name in wheel:
            archive.writestr(name, "")
    with tarfile.open(folder / f"{NAME}.tar.gz", "w:gz") as archive:
        for name in sdist:
            archive.addfile(tarfile.TarInfo(f"{NAME}/{name}"), io.BytesIO())
    return folder


@pytest.fixture
def sources(contents: set[str]) -> set[str]:
    """What a good sdist holds."""
    more = {"tests/guide/__init__.py", "configs/media/plaza.mp4", "CHANGELOG.md", "Makefile"}
    more |= {"LICENSE", "pipeline/web/ui/src/main.tsx"}
    return {name for name in contents if not name.startswith(INFO)} | more


def test_a_good_package_is_silent(tmp_path: Path, contents: set[str], sources: set[str]) -> None:
    """Nothing to say."""
    assert list(problems(packed(tmp_path, contents, sources))) == []


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        (".onnx", "lacks the detector"),
        (".lua", "lacks the Redis scripts"),
        ("py.typed", "lacks the mark of typed packages"),
        ("entry_points.txt", "lacks the command"),
        ("static/index.html", "lacks the pages of the application"),
        ("pipeline/__main__.py", "lacks pipeline/__main__.py"),
    ],
)
def test_what_a_wheel_lacks_is_named(
    tmp_path: Path, contents: set[str], sources: set[str], lost: str, words: str
) -> None:
    """Where the source has it."""
    kept = {name for name in contents if not name.endswith(lost)}
    found = list(problems(packed(tmp_path, kept, sources)))
    assert any(words in problem for problem in found)


@pytest.mark.parametrize("stray", ["tests/test_a.py", "pipeline/tests/test_a.py", "build/a.txt"])
def test_what_does_not_belong_in_a_wheel_is_named(
    tmp_path: Path, contents: set[str], sources: set[str], stray: str
) -> None:
    """Tests above all."""
    found = list(problems(packed(tmp_path, contents | {stray}, sources)))
    assert any(stray in problem for problem in found)


def test_what_an_sdist_lacks_is_named(
    tmp_path: Path, contents: set[str], sources: set[str]
) -> None:
    """It has to be testable where it is unpacked."""
    found = list(problems(packed(tmp_path, contents, sources - {"Makefile"})))
    assert any("lacks the Makefile" in problem for problem in found)


def test_a_tag_names_the_version_and_the_changelog_has_it(
    tmp_path: Path, contents: set[str], sources: set[str]
) -> None:
    """Or nothing is published."""
    found = list(problems(packed(tmp_path, contents, sources), tag="v9.8.6"))
    assert any("the tag v9.8.6 is not v9.8.7" in problem for problem in found)
    assert any("has no section `## 9.8.7 - YYYY-MM-DD`" in problem for problem in found)


def test_one_of_each_is_wanted(tmp_path: Path) -> None:
    """Leftovers of another version would be published too."""
    (found,) = problems(tmp_path)
    assert "0 wheels and 0 sdists" in found
