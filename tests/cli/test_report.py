"""Reports from the command line, over four invented weeks of a shop."""

from pathlib import Path

import pytest

from tests.cli.commands import moonwatch
from tests.reports import weeks


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file whose store has the four weeks."""
    folder = tmp_path_factory.mktemp("weeks")
    url = f"sqlite:///{folder / 'weeks.db'}"
    weeks.filled(url).close()
    file = folder / "shop.yaml"
    file.write_text(weeks.SHOP.format(url=url), "utf-8")
    return file


@pytest.mark.parametrize(
    ("words", "begins"),
    [
        (["--week", "2026-W47"], b"<!DOCTYPE html>"),
        (["--day", "2026-11-17", "--format", "csv"], b""),
        (["--month", "2026-11", "--format", "pdf"], b"%PDF-"),
        (["--day", "2026-11-17", "--format", "parquet"], b"PAR1"),
    ],
)
def test_a_report_is_written_to_a_file(
    shop: Path, tmp_path: Path, words: list[str], begins: bytes
) -> None:
    """The command says what it wrote, and the file is what was asked for."""
    out = tmp_path / "report"
    code, said, errors = moonwatch("report", str(shop), *words, "--out", str(out))
    assert (code, errors) == (0, "")
    assert said.startswith(f"{out}: ")
    content = out.read_bytes()
    assert content.lower().startswith(begins.lower())
    assert len(content) > 500


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "write one of --day 2026-11-26, --week 2026-W47 and --month 2026-11"),
        (["--day", "2026-11-17", "--week", "last"], "write one of --day"),
        (["--week", "2026-W99"], "--week: "),
        (["--day", "2099-01-01"], "has not begun yet; name one that has"),
        (["--day", "2026-11-17", "--site", "north"], "leave --site out"),
        (["--day", "2026-11-17", "--format", "docx"], "docx"),
    ],
)
def test_what_cannot_be_reported(shop: Path, words: list[str], sentence: str) -> None:
    """One sentence, and the way out."""
    code, out, errors = moonwatch("report", str(shop), *words)
    assert (code, out) == (2, "")
    assert sentence in errors


def test_a_report_without_a_store(tmp_path: Path) -> None:
    """Nothing was run yet; nothing is made."""
    file = tmp_path / "shop.yaml"
    file.write_text(weeks.SHOP.format(url=f"sqlite:///{tmp_path / 'none.db'}"), "utf-8")
    code, out, errors = moonwatch("report", str(file), "--day", "2026-11-17")
    assert (code, out) == (1, "")
    assert errors.count("\n") == 1
    assert not list(tmp_path.glob("none.db*"))
