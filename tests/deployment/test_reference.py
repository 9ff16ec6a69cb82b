"""`docs/configuration.md` names every key there is, with its default and meaning."""

from pathlib import Path

import pytest

from pipeline.deployment.fields import all_models, fields_by_key, type_name
from pipeline.deployment.loader import parse
from pipeline.deployment.model import Deployment
from pipeline.deployment.reference import MARKER, reference, write_reference

PAGE = Path("docs/configuration.md")


def test_the_page_holds_the_reference_as_it_is_now() -> None:
    """Else run `python -m pipeline.deployment.reference docs/configuration.md`."""
    _, _, written = PAGE.read_text(encoding="utf-8").partition(MARKER)
    assert written == f"\n{reference()}"


@pytest.fixture(scope="module")
def text() -> str:
    """The reference as it is now."""
    return reference()


@pytest.mark.parametrize("model", list(all_models(Deployment)), ids=lambda model: model.__name__)
def test_every_key_is_in_the_reference(model: type, text: str) -> None:
    """In a row of its own, or for `type` in the heading of its section."""
    keys = [key for key in fields_by_key(model) if key != "type"]
    assert [key for key in keys if f"| `{key}`" not in text] == []
    assert f"type: {type_name(model)}" in text or type_name(model) is None


def test_writing_the_reference_keeps_what_stands_above(tmp_path: Path) -> None:
    """The guide is written by hand."""
    page = tmp_path / "page.md"
    page.write_text(f"# Guide\n\n{MARKER}old")
    write_reference(page)
    assert page.read_text() == f"# Guide\n\n{MARKER}\n{reference()}"


def test_the_examples_of_the_page_load() -> None:
    """The first block is a whole file."""
    example = PAGE.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    loaded = parse(example, environment={"CAM_USER": "a", "CAM_PASSWORD": "b"})
    assert loaded.warnings == ()
