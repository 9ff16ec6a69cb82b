"""Make the pages of the documentation site: `python -m tools.site_pages build/pages`.

The site says what the repository says: README, ARCHITECTURE and the other documents as they stand,
with the links between them adjusted, and the tutorial out of `tests/guide/`, whose code is tested.
"""

import ast
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "tests" / "guide"
LINK = re.compile(r"(?P<words>!?\[(?:[^\[\]]|\[[^\]]*\])*\])\((?P<target>[^()\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def places() -> dict[str, str]:
    """Where each document and picture of the repository stands on the site."""
    found = {
        "README.md": "index.md",
        "ARCHITECTURE.md": "architecture.md",
        "CONTRIBUTING.md": "contributing.md",
        "CHANGELOG.md": "changelog.md",
        "SECURITY.md": "security.md",
        "benchmarks/README.md": "benchmarks/index.md",
    }
    for path in sorted((ROOT / "benchmarks").glob("*.md")):
        found.setdefault(f"benchmarks/{path.name}", f"benchmarks/{path.name}")
    for path in sorted((ROOT / "docs").rglob("*")):
        if path.suffix in {".md", ".jpg", ".png", ".svg", ".webp", ".json"}:
            inside = path.relative_to(ROOT / "docs").as_posix()
            found[f"docs/{inside}"] = inside.removeprefix("site/")
    # `benchmarks/` is the address of the folder of that name.
    found["docs/benchmarks.md"] = "model_benchmarks.md"
    return found


def main() -> None:
    """Write all pages into the folder that is named, anew."""
    target = Path(sys.argv[1])
    shutil.rmtree(target, ignore_errors=True)
    for source, place in places().items():
        page = target / place
        page.parent.mkdir(parents=True, exist_ok=True)
        if source.endswith(".md"):
            text = (ROOT / source).read_text(encoding="utf-8")
            page.write_text(adjusted(text, source), encoding="utf-8")
        else:
            shutil.copyfile(ROOT / source, page)
    (target / "tutorial.md").write_text(tutorial(GUIDE), encoding="utf-8")


def adjusted(text: str, source: str) -> str:
    """A document with its links as on the site; a link to what the site lacks becomes text."""
    known = places()
    here = os.path.dirname(known[source])  # noqa: PTH120 - of a page, not of a file

    def link(match: re.Match[str]) -> str:
        words, target = match["words"], match["target"]
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        path, _, anchor = target.partition("#")
        meant = os.path.normpath(os.path.join(os.path.dirname(source), path))  # noqa: PTH118, PTH120
        if meant not in known:
            if not (ROOT / meant).exists():
                raise SystemExit(f"{source}: links to {target}, which does not exist")
            return words.removeprefix("[").removesuffix("]")
        place = os.path.relpath(known[meant], here or ".")
        return f"{words}({place}{'#' + anchor if anchor else ''})"

    pieces, last = [], 0
    for fence in FENCE.finditer(text):
        pieces += [LINK.sub(link, text[last : fence.start()]), fence[0]]
        last = fence.end()
    return "".join([*pieces, LINK.sub(link, text[last:])])


def tutorial(guide: Path) -> str:
    """The guide's tests in the order of their files, as prose and code."""
    intro = ast.get_docstring(ast.parse((guide / "__init__.py").read_text(encoding="utf-8"))) or ""
    chapters = [
        part
        for path in sorted(guide.glob("test_*.py"))
        for part in chapter(path.read_text(encoding="utf-8"))
    ]
    return "\n\n".join(["# Tutorial", intro, *chapters]) + "\n"


def chapter(text: str) -> Iterator[str]:
    """A file of the guide: its docstring, its texts, and each test as a heading and its code."""
    tree = ast.parse(text)
    title, _, intro = (ast.get_docstring(tree) or "").partition("\n")
    yield f"## {title.rstrip('.')}"
    if intro.strip():
        yield intro.strip()
    lines = text.splitlines()
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            content = str(node.value.value).strip("\n")
            language = "json" if content.startswith("{") else "yaml"
            yield f'```{language} title="{ast.unparse(node.targets[0])}"\n{content}\n```'
        if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
            continue
        name = node.name.removeprefix("test_").replace("_", " ")
        yield f"### {name[0].upper()}{name[1:]}"
        yield ast.get_docstring(node) or ""
        first = node.body[0].end_lineno or node.lineno  # the docstring's last line
        code = textwrap.dedent("\n".join(lines[first : node.end_lineno])).strip("\n")
        yield f"```python\n{code}\n```"


if __name__ == "__main__":
    main()
