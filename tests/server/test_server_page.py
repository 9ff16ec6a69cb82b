"""Every block of code in docs/server.md, run against a server as a reader would."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer

from pipeline.cli.main import app_for
from pipeline.deployment.loader import parse
from pipeline.server.app import interface_description
from tests.architecture.source_tree import ROOT
from tests.server.serving import PATIENCE_S, Serving, picture

PAGE = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
ADDRESS = "http://127.0.0.1:8080"


@pytest.fixture(autouse=True)
def reader(tmp_path: Path, served: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a picture, and a key."""
    picture(5).save(tmp_path / "street.jpg", quality=95)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOONWATCH_KEY", served.key)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


WITHOUT_SERVER = """
version: 1
engines: {vlm: {type: moondream, model: vikhyatk/moondream2, revision: "2025-06-21"}}
cameras: {door: {source: {type: file, path: door.mp4}, tasks: {people: {detect: person, engine: vlm}}}}
"""


def blocks(kind: str) -> list[str]:
    """The blocks in a language."""
    return [text for language, text in BLOCKS if language == kind]


def test_the_blocks_are_of_known_kinds() -> None:
    """Whoever adds a block in another language says here how it is tried."""
    assert {language for language, _ in BLOCKS} == {
        "python", "sh", "yaml", "console", "caddy", "nginx",
    }  # fmt: skip


def test_the_programs_run(served: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    """One after the other, as one program: both clients, every skill."""
    names: dict[str, Any] = {}
    for text in blocks("python"):
        here = text.replace(ADDRESS, served.url.removesuffix("/v1"))
        exec(compile(here, "server.md", "exec"), names)
    assert capsys.readouterr().out
    assert names["parsed"].choices[0].message.parsed.state in ("open", "shut", "not to be seen")
    names["client"].close()
    names["image"].close()


def test_the_command_lines_run(served: Serving) -> None:
    """Each gets an answer that is no error."""
    for text in blocks("sh"):
        here = text.replace(ADDRESS, served.url.removesuffix("/v1"))
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", here],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=True,
        )
        assert '"error"' not in done.stdout
        assert "moondream2" in done.stdout


def test_the_deployment_is_valid() -> None:
    """Its section `server:` is read, and so are parts of it that are shown by themselves."""
    whole, *parts = blocks("yaml")
    settings = parse(whole).deployment.server
    assert settings is not None
    assert settings.prices.per_1000_pictures is not None
    for part in parts:
        served = parse(WITHOUT_SERVER + part).deployment.server
        assert served is not None
        assert served.pictures.domains


def test_the_commands_are_there() -> None:
    """Every command and every option of the page is the command line's."""
    for line in re.findall(r"moonwatch ((?:serve|token add|infer|usage)\b[^`\n#]*)", PAGE):
        words = line.split()
        command: Any = typer.main.get_command(app_for(words))
        found = command.commands[words[0]]
        if words[0] == "token":
            found = found.commands[words[1]]
        known = {option for parameter in found.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, line


def test_every_field_is_on_the_page() -> None:
    """What a chat may hold is explained, or refused, by name."""
    fields = interface_description()["components"]["schemas"]["ChatRequest"]["properties"]
    several = "prompt_cache_key prompt_cache_retention prompt_cache_options"
    told = PAGE.replace("prompt_cache_*", several)
    refused = {
        "frequency_penalty", "presence_penalty", "tools", "tool_choice", "parallel_tool_calls",
        "functions", "function_call", "modalities",
    }  # fmt: skip
    missing = {name for name in fields if name not in told} - refused
    assert not missing
