"""The systemd unit is understood, starts what exists, and leaves little to attack."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.material import DEPLOY, ROOT, problem_with

UNIT = DEPLOY / "systemd/moonwatch@.service"
TEXT = UNIT.read_text()
EXPOSURE = 15
"""The most that `systemd-analyze security` may find, in tenths of its ten points."""


def settings() -> dict[str, list[str]]:
    """The values of each setting, in their order."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", TEXT, re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def test_it_starts_a_real_command() -> None:
    """A deployment named by the unit's instance."""
    (start,) = settings()["ExecStart"]
    program, *words = start.split()
    assert Path(program).name == "moonwatch"
    assert problem_with(words) is None
    assert words[:2] == ["run", "/etc/moonwatch/%i.yaml"]


def test_it_is_started_again_unless_its_file_is_refused() -> None:
    """For ever after a crash; exit code 2 is a file that nobody has corrected yet."""
    found = settings()
    assert found["Restart"] == ["on-failure"]
    assert found["StartLimitIntervalSec"] == ["0"]
    assert found["RestartPreventExitStatus"] == ["2"]
    assert int(found["TimeoutStopSec"][0]) > 30


def test_it_gives_the_shop_its_password() -> None:
    """As a credential, in the variable that the configuration reads."""
    (credential,) = settings()["LoadCredential"]
    name, _, _ = credential.partition(":")
    assert f"SHOP_CAMERA_PASSWORD_FILE=%d/{name}" in settings()["Environment"]
    assert "${SHOP_CAMERA_PASSWORD_FILE:-" in (ROOT / "configs/shop.yaml").read_text()


@pytest.mark.parametrize(
    "words", [("verify",), ("security", "--offline=true", f"--threshold={EXPOSURE}")], ids=" ".join
)
def test_systemd_understands_it(words: tuple[str, ...], tmp_path: Path) -> None:
    """Without a word about mistakes, and finds little that is left open."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd-analyze on PATH: apt-get install systemd")
    # The unit names a program that is installed elsewhere on this machine, if at all.
    copy = tmp_path / "moonwatch@shop.service"
    copy.write_text(TEXT.replace("/opt/moonwatch/bin/moonwatch", "/bin/true"))
    done = subprocess.run(
        [program, *words, str(copy)], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "moonwatch@shop.service:" not in done.stderr
