"""What users may rely on, named once: a change here is a change of the contract."""

import pipeline
from pipeline.cli.main import COMMANDS
from tests.architecture.source_tree import ROOT


def test_the_package_exports_nouns_of_core_only() -> None:
    """Whatever `import pipeline` offers is defined in `pipeline.core`."""
    for name in pipeline.__all__:
        assert getattr(pipeline, name).__module__.startswith("pipeline.core.")


def test_the_readme_names_every_command() -> None:
    """A command that the README does not name does not exist for its reader."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [line] = [line for line in readme.splitlines() if line.startswith("Commands:")]
    assert [name for name in COMMANDS if f"`{name}`" not in readme[readme.index(line) :]] == []
