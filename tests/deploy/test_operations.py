"""The manual of operations names what exists, and its sums are right."""

import re

import pytest

from pipeline.deployment.loader import parse
from tests.deploy.material import OPERATIONS, ROOT, anchors

TEXT = OPERATIONS.read_text()
LINKS = re.findall(r"\]\(([^)\s]+)\)", TEXT)
UNITS = {"kB": 1, "MB": 1000}


@pytest.mark.parametrize("link", sorted(set(LINKS)))
def test_a_link_leads_somewhere(link: str) -> None:
    """To a file of the repository, or a section of this page."""
    page, _, anchor = link.partition("#")
    target = (OPERATIONS.parent / page).resolve() if page else OPERATIONS
    assert target.exists()
    assert not anchor or anchor in anchors(target)


def test_every_file_that_is_named_is_there() -> None:
    """Those below deploy/ and configs/."""
    named = set(re.findall(r"\b(?:deploy|configs)/[\w./@-]+\w", TEXT))
    assert len(named) > 5
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


SUMS = re.findall(r"\| ([^|\n]*?) = ([\d.]+) (kB|MB)\b[^|]*\|$", TEXT, re.MULTILINE)


@pytest.mark.parametrize(("left", "right", "unit"), SUMS)
def test_a_sum_of_the_example_is_right(left: str, right: str, unit: str) -> None:
    """To the precision that is written."""
    words = r"cameras|a second|s\b|kB"
    term = re.sub(words, "", left).replace("×", "*").replace("÷", "/")
    assert re.fullmatch(r"[\d\s*/+().]+", term), term
    assert "kB" in left
    value = eval(term, {"__builtins__": {}})
    assert value / UNITS[unit] == pytest.approx(float(right), rel=0.04)


def test_the_example_adds_up() -> None:
    """All sums but the last one, of the network, are Redis' memory."""
    memory = sum(float(right) for _, right, _ in SUMS[:-1])
    ((total, most),) = re.findall(r"\| Redis \| (\d+) MB, .*`maxmemory (\d+)mb`", TEXT)
    assert len(SUMS) == 6
    assert memory == pytest.approx(float(total), rel=0.01)
    assert float(most) >= 1.5 * float(total)


def test_the_queue_of_the_example_is_right() -> None:
    """With certificates, a user, and a password from a file."""
    (queue,) = re.findall(r"```yaml\n(queue:.*?)```", TEXT, re.DOTALL)
    camera = "{source: {type: rtsp, url: rtsp://10.0.0.7/s}, tasks: {p: {detect: person}}}"
    text = f"version: 1\n{queue}cameras: {{door: {camera}}}\n"
    loaded = parse(text.replace("/run/secrets/redis_password", str(ROOT / "LICENSE")), (), {})
    assert loaded.deployment.queue.type == "redis"
