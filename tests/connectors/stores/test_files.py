"""Pictures are whole or not there, and stay inside their folder."""

import os
from pathlib import Path

import pytest

from connectors.stores.files import FileMediaStore, ForgottenPictures
from pipeline.core.errors import StoreError


def test_a_picture_is_kept_under_its_reference(tmp_path: Path) -> None:
    """Folders are made; writing again replaces; nothing else is left lying about."""
    store = FileMediaStore(tmp_path / "media")
    store.put("door/2023-11-14/a.jpg", b"first")
    store.put("door/2023-11-14/a.jpg", b"second")
    assert store.path("door/2023-11-14/a.jpg").read_bytes() == b"second"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a.jpg"]


@pytest.mark.parametrize("reference", ["", "/etc/passwd", "../x", "a/../../x", "a\\..\\x", "c:/x"])
def test_a_reference_never_leads_out_of_the_folder(tmp_path: Path, reference: str) -> None:
    """A made-up picture reference."""
    with pytest.raises(StoreError, match="not a reference"):
        FileMediaStore(tmp_path).put(reference, b"")


def test_without_a_record_nothing_is_deleted(tmp_path: Path) -> None:
    """Who wrote a file is then not known, however old it is and whatever its name."""
    store = FileMediaStore(tmp_path)
    store.put("old/a.jpg", b"x")
    os.utime(store.path("old/a.jpg"), (1000, 1000))
    assert store.prune(2000) == ForgottenPictures()
    assert store.path("old/a.jpg").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """With the reason."""
    (tmp_path / "door").write_text("in the way")
    with pytest.raises(StoreError, match=r"picture door/a\.jpg cannot be kept in .*: "):
        FileMediaStore(tmp_path).put("door/a.jpg", b"x")
