"""What a revision says of a repository: a release, which files, or too little to go by."""

import pytest

from pipeline.moondream.checkpoints.releases import RELEASES
from pipeline.moondream.checkpoints.revisions import (
    FOUR_BIT,
    KNOWN_COMMITS,
    OFFICIAL,
    Wanted,
    wanted,
)
from pipeline.moondream.errors import CheckpointError

UNKNOWN = "0123456789abcdef0123456789abcdef01234567"
JUNE, JANUARY = (
    "9a7d4024050840e001defacec2b00727e89149e6",
    "adcbcd1a6d27fc19974b18dc128eb51ef6837879",
)
OTHER = "someone/finetune"


@pytest.mark.parametrize(
    ("model", "revision", "release", "expected"),
    [
        (OFFICIAL, None, None, Wanted("2025-06-21", None, is_certain=True)),
        (OFFICIAL, "2025-04-14", None, Wanted("2025-04-14", None, is_certain=True)),
        (OFFICIAL, None, "2025-04-14", Wanted("2025-04-14", None, is_certain=True)),
        (OFFICIAL, JUNE, None, Wanted("2025-06-21", JUNE, is_certain=True)),
        (OFFICIAL, JANUARY, None, Wanted("2025-01-09", JANUARY, is_certain=True)),
        (OFFICIAL, JANUARY.upper(), None, Wanted("2025-01-09", JANUARY, is_certain=True)),
        (OFFICIAL, JANUARY[:7], None, Wanted("2025-01-09", JANUARY, is_certain=True)),
        (OFFICIAL, f"2025-01-09@{JANUARY}", None, Wanted("2025-01-09", JANUARY, is_certain=True)),
        (OFFICIAL, f"2025-04-14@{UNKNOWN}", None, Wanted("2025-04-14", UNKNOWN)),
        (OFFICIAL, UNKNOWN, "2025-03-27", Wanted("2025-03-27", UNKNOWN)),
        (OFFICIAL, "2025-06-21@main", None, Wanted("2025-06-21", "main")),
        (OFFICIAL, "2025-04-14@2025-04-14", None, Wanted("2025-04-14", None, is_certain=True)),
        (FOUR_BIT, None, None, Wanted("2025-04-14", None, is_certain=True)),
        (FOUR_BIT, "main", None, Wanted("2025-04-14", "main", is_certain=True)),
        (FOUR_BIT, UNKNOWN, None, Wanted("2025-04-14", UNKNOWN, is_certain=True)),
        (OTHER, UNKNOWN, None, Wanted(None, UNKNOWN)),  # its config may say
        (OTHER, f"2025-03-27@{UNKNOWN}", None, Wanted("2025-03-27", UNKNOWN)),
        (OTHER, "2025-03-27@2025-06-21", None, Wanted("2025-03-27", "2025-06-21")),  # a tag
    ],
)
def test_what_is_understood(
    model: str, revision: str | None, release: str | None, expected: Wanted
) -> None:
    """Releases, known commits and both together name the files and how to read them."""
    assert wanted(model, revision, release) == expected


@pytest.mark.parametrize(
    ("model", "revision", "release", "said"),
    [
        (OFFICIAL, UNKNOWN, None, f"cannot be told.*RELEASE@COMMIT, such as 2025-06-21@{UNKNOWN}"),
        (OFFICIAL, "main", None, "main of .* is not a release, and a tag or branch may hold any"),
        (OFFICIAL, "refs/pr/3", None, r"or RELEASE@refs/pr/3; known releases: 2025-06-21"),
        (OFFICIAL, "2025-04-15", None, "did you mean 2025-04-14"),
        (OFFICIAL, "2025-09-23", None, "is not a release"),
        (OFFICIAL, UNKNOWN[:7], None, "is a short commit.*give all 40 digits"),
        (OFFICIAL, "2024-08-26", None, "has the architecture of 2024"),
        (OFFICIAL, "2025-06-21@2024-08-26", None, "has the architecture of 2024"),
        (OFFICIAL, "onnx", None, "no safetensors weights.*only as .mf files"),
        (OFFICIAL, f"2025-06-21@{JANUARY}", None, "is release 2025-01-09, not 2025-06-21"),
        (OFFICIAL, f"2025-06-21@{JANUARY[:8]}", None, "is release 2025-01-09, not 2025-06-21"),
        (OFFICIAL, "2025-06-21@2025-04-14", None, "is release 2025-04-14, not 2025-06-21"),
        (OFFICIAL, JUNE, "2025-04-14", "is release 2025-06-21, not 2025-04-14"),
        (OFFICIAL, "2025-06-21", "2025-04-14", "leave one of them out"),
        (OFFICIAL, "2025-06-22@main", None, "release '2025-06-22' is not known"),
        (OFFICIAL, None, "June", "release 'June' is not known"),
        (OFFICIAL, "2025-06-21@", None, "is not complete; write RELEASE@COMMIT"),
        (OFFICIAL, "@main", None, "is not complete; write RELEASE@COMMIT"),
        (FOUR_BIT, "2025-06-21", None, "has release 2025-04-14 alone"),
        (OTHER, None, None, "needs a revision: give a commit.*RELEASE@COMMIT"),
        (OTHER, "2025-03-27", None, "needs a revision: give a commit.*2025-03-27@COMMIT"),
        (OTHER, JANUARY[:7], None, "is a short commit"),
        ("moondream/moondream-0.5b", None, None, "the 0.5B model"),
    ],
)
def test_what_would_be_a_guess_is_refused(
    model: str, revision: str | None, release: str | None, said: str
) -> None:
    """Every refusal says how to say it."""
    with pytest.raises(CheckpointError, match=said):
        wanted(model, revision, release)


def test_known_commits_are_whole_and_of_known_releases() -> None:
    """A short or misspelt entry would never match."""
    assert all(len(commit) == 40 and int(commit, 16) for commit in KNOWN_COMMITS)
    assert set(KNOWN_COMMITS.values()) <= set(RELEASES)
