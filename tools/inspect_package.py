"""Look into the built wheel and sdist: `python -m tools.inspect_package dist [--tag v1.2.3]`.

Everything that the installed program needs is inside, and nothing else is. With `--tag`, the
version must be that of the tag, and CHANGELOG.md must have a section for it.
"""

import argparse
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("pipeline", "connectors")
# What is not Python has to be named to be missed: without it a wheel imports and fails at work.
DATA = {
    "the detector": r"pipeline/inference/engines/.*\.onnx",
    "the detector's licence": r"pipeline/inference/engines/.*LICENSE",
    "the Redis scripts": r"connectors/queues/.*\.lua",
    "the mark of typed packages": r"pipeline/py\.typed",
}
# Built from the sources and not in git: who installs from the sdist has no Node either.
BUILT = {
    "the pages of the application": r"pipeline/web/static/index\.html",
    "the licences of what the pages bring along": r"pipeline/web/static/LICENSES\.txt",
}
METADATA = {
    "the command": r"moonwatch-[^/]*\.dist-info/entry_points\.txt",
    "the licence": r"moonwatch-[^/]*\.dist-info/licenses/LICENSE",
}
# The sdist can be tested where it was unpacked.
SOURCES = {
    "the tests": r"tests/.*\.py",
    "the sources of the pages": r"pipeline/web/ui/src/main\.tsx",
    "the clip": r"configs/media/plaza\.mp4",
    "the changelog": r"CHANGELOG\.md",
    "the Makefile": r"Makefile",
    "the licence": r"LICENSE",
}
LARGEST_WHEEL = 8_000_000
"""Bytes. The detector is 4 MB; a wheel that is larger has swallowed something else."""


def main() -> int:
    """Print every problem, and end with 1 where there is one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tag", default="", help="such as v1.2.3")
    arguments = parser.parse_args()
    found = list(problems(arguments.folder, arguments.tag))
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


def problems(folder: Path, tag: str = "") -> Iterator[str]:
    """What is wrong with the distributions in a folder, a sentence each."""
    wheels, sdists = sorted(folder.glob("*.whl")), sorted(folder.glob("*.tar.gz"))
    if len(wheels) != 1 or len(sdists) != 1:
        yield f"{folder}: has {len(wheels)} wheels and {len(sdists)} sdists instead of one each"
        return
    (wheel,), (sdist,) = wheels, sdists
    yield from wheel_problems(wheel)
    yield from sdist_problems(sdist)
    if tag:
        yield from tag_problems(tag, version=wheel.name.split("-")[1])


def wheel_problems(wheel: Path) -> Iterator[str]:
    """What a wheel lacks, and what does not belong in it."""
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if not name.endswith("/")}
    yield from _missing(wheel, DATA | BUILT | METADATA, inside)
    modules = {str(p.relative_to(ROOT)) for top in PACKAGES for p in (ROOT / top).rglob("*.py")}
    scripts = {str(p.relative_to(ROOT)) for top in PACKAGES for p in (ROOT / top).rglob("*.lua")}
    for name in sorted((modules | scripts) - inside):
        yield f"{wheel.name}: lacks {name}, which is in the source"
    for name in sorted(inside):
        if not re.match(r"(pipeline|connectors|moonwatch-[^/]*\.dist-info)/", name):
            yield f"{wheel.name}: holds {name}, which does not belong in it"
        if re.search(r"(^|/)(tests?|__pycache__)/|/test_[^/]*\.py$", name):
            yield f"{wheel.name}: holds {name}, but tests stay in the sdist"
    if wheel.stat().st_size > LARGEST_WHEEL:
        yield f"{wheel.name}: has {wheel.stat().st_size} bytes, more than {LARGEST_WHEEL}"


def sdist_problems(sdist: Path) -> Iterator[str]:
    """What an sdist lacks, and what it holds that git does not."""
    with tarfile.open(sdist) as archive:
        inside = {m.name.partition("/")[2] for m in archive.getmembers() if m.isfile()}
    yield from _missing(sdist, DATA | BUILT | SOURCES, inside)
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    if listed.returncode != 0:  # not a checkout: an sdist that is built again
        return
    for name in sorted(inside - set(listed.stdout.splitlines()) - {"PKG-INFO"}):
        if name.startswith("pipeline/web/static/"):
            continue
        yield f"{sdist.name}: holds {name}, which is not under version control"


def _missing(archive: Path, wanted: dict[str, str], inside: set[str]) -> Iterator[str]:
    for what, pattern in wanted.items():
        if not any(re.fullmatch(pattern, name) for name in inside):
            yield f"{archive.name}: lacks {what} ({pattern})"


def tag_problems(tag: str, version: str) -> Iterator[str]:
    """A tag names the version that was built, and the changelog tells what is in it."""
    if tag != f"v{version}":
        yield f"the tag {tag} is not v{version}, the version in pyproject.toml"
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## {re.escape(version)} - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        yield f"CHANGELOG.md: has no section `## {version} - YYYY-MM-DD`"


if __name__ == "__main__":
    sys.exit(main())
