"""What this machine lacks for a deployment: libraries, models, devices, folders to write to.

Nothing is imported or connected to find out: a check of a file takes no longer for it.
"""

import importlib.util
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

_PACKAGE = "moonwatch"
# The folder that holds `pipeline`: the checkout, or site-packages.
_HOME = Path(__file__).resolve().parents[2]
_FULL_BYTES = 1_000_000_000
_LONGEST_NAME = 255
# Where a driver shows that there is a GPU: NVIDIA's, WSL's, AMD's.
_GPUS = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that settings need and this machine does not have."""

    key: str
    """The key that it is about."""
    message: str
    is_fatal: bool = True
    """Whether the settings cannot work here until it is there."""


def usable_cores(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """How many processor cores this process may use: by its affinity and its container's limit."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = (cgroup / "cpu.max").read_text(encoding="ascii").split()
        limit = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # no limit is written "max"
        return cores
    return max(1, min(cores, round(limit)))


def missing_libraries(
    user: str, libraries: Sequence[str], extra: str, key: str = "type"
) -> Iterator[Lack]:
    """The libraries of an extra that cannot be imported, if any, with how to install it."""
    missing = [name for name in libraries if importlib.util.find_spec(name) is None]
    if missing:
        verb, pronoun = ("are", "them") if len(missing) > 1 else ("is", "it")
        yield Lack(
            key,
            f"{user} needs {' and '.join(missing)}, which {verb} not installed on this machine; "
            f"install {pronoun} with: {how_to_install(extra)}",
        )


def how_to_install(extra: str) -> str:
    """The command that installs an extra, or several with commas, for the Python that is running.

    From a checkout, or what was installed from one, it names that folder. From a package it names
    the libraries themselves: an index may have somebody else's package under our name.
    """
    from shlex import quote

    pip = _pip()
    if (_HOME / "pyproject.toml").is_file():
        folder = "." if Path.cwd() == _HOME else str(_HOME)
        return f"{pip} -e {quote(f'{folder}[{extra}]')}"
    from importlib import metadata

    try:
        package = metadata.distribution(_PACKAGE)
    except metadata.PackageNotFoundError:
        return f"{pip} LIBRARIES, those of the extra `{extra}` in pyproject.toml"
    source = _installed_from(package.read_text("direct_url.json") or "")
    if source is not None:
        return f"{pip} {quote(f'{source}[{extra}]')}"
    names = "|".join(map(re.escape, extra.split(",")))
    marker = re.compile(rf"extra == ['\"](?:{names})['\"]")
    needed = [r.partition(";")[0].strip() for r in package.requires or () if marker.search(r)]
    return f"{pip} {' '.join(map(quote, dict.fromkeys(needed)))}"


def own_command() -> str:
    """How the command line is called on this machine."""
    from shutil import which

    if which(_PACKAGE):
        return _PACKAGE
    beside = Path(sys.executable).with_name(_PACKAGE)
    return _relative(beside) if beside.is_file() else f"{_python()} -m pipeline"


def missing_gpu(device: str, key: str = "device") -> Iterator[Lack]:
    """Whether a device that settings name is not here: `cuda`, `cuda:1` or `mps`."""
    kind, _, number = device.partition(":")
    if kind == "mps" and sys.platform != "darwin":
        yield Lack(key, "mps is Apple's GPU, and this machine is not a Mac; use auto or cpu")
    elif kind == "cuda" and not any(map(is_there, _GPUS)):
        yield Lack(
            key,
            f"no GPU driver was found on this machine, so {device} cannot be used; "
            "install the driver, pass the GPU to the container, or use auto or cpu",
        )
    elif kind == "cuda" and number and is_there("/dev/nvidia0"):
        if not is_there(f"/dev/nvidia{number}"):
            yield Lack(key, f"this machine has no GPU number {number}; they count from 0")


def is_there(path: Path | str) -> bool:
    """Whether something is at a path; no for a path that this user cannot look at."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def is_folder(path: Path | str) -> bool:
    """Whether a folder is at a path; no for a path that this user cannot look at."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def unwritable_file(key: str, path: Path) -> Iterator[Lack]:
    """Why a file cannot be written, or created with the folders above it, if it cannot."""
    if is_folder(path):
        yield Lack(key, f"{path} is a folder on this machine; name a file in it")
    elif is_there(path):
        if not os.access(path, os.W_OK, effective_ids=True):
            yield Lack(key, f"{path} cannot be written by this user (permission denied)")
        yield from nearly_full(key, path)
    elif os.path.islink(path):  # noqa: PTH114  the other raises for what cannot be looked at
        target = Path(os.path.realpath(path))
        if os.path.islink(target) or not is_folder(target.parent):  # noqa: PTH114
            yield Lack(key, f"{path} is a link that leads nowhere on this machine; name a file")
    else:
        yield from unwritable_folder(key, path.parent, path)


def unwritable_folder(key: str, folder: Path, shown: Path | None = None) -> Iterator[Lack]:
    """Why nothing can be created in a folder, which may have to be created itself."""
    shown = shown or folder
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in shown.parts):
        yield Lack(key, f"has a name of more than {_LONGEST_NAME} bytes, which no disk takes")
        return
    there = next((p for p in (folder, *folder.parents) if os.path.lexists(p)), Path("/"))
    if not is_folder(there):
        yield Lack(
            key, f"{shown} cannot be created on this machine: {there} is a file, not a folder"
        )
    elif not os.access(there, os.W_OK | os.X_OK, effective_ids=True):
        message = f"{shown} cannot be created by this user: {there} cannot be written"
        yield Lack(key, f"{message} (permission denied)")
    else:
        yield from nearly_full(key, there)


def nearly_full(key: str, path: Path) -> Iterator[Lack]:
    """Whether the disk that holds a path has almost no room left."""
    try:
        disk = os.statvfs(path)
    except OSError:  # a disk that cannot be asked may still be written
        return
    free = disk.f_bavail * disk.f_frsize
    if disk.f_blocks and free < _FULL_BYTES:
        yield Lack(
            key,
            f"the disk of {path} has only {free / 1e6:.0f} MB left; free some space",
            is_fatal=False,
        )


def unreadable_file(key: str, path: Path | None) -> Iterator[Lack]:
    """Why a file that settings name cannot be read, if it cannot."""
    if path is None:
        return
    if not is_there(path):
        where = "" if path.is_absolute() else f" (relative to {Path.cwd()})"
        yield Lack(key, f"there is no file {path} on this machine{where}")
    elif is_folder(path):
        yield Lack(key, f"{path} is a folder on this machine; name a file in it")
    elif not os.access(path, os.R_OK, effective_ids=True):
        yield Lack(key, f"{path} cannot be read by this user (permission denied)")


def _pip() -> str:
    from shutil import which

    if importlib.util.find_spec("pip") is None and which("uv"):
        return f"uv pip install --python {_python()}"
    pip = f"{_python()} -m pip install"
    return pip if importlib.util.find_spec("pip") else f"{_python()} -m ensurepip && {pip}"


def _python() -> str:
    """The running Python, by the shortest name that means this one."""
    from shutil import which

    for name in ("python", "python3"):
        if (found := which(name)) and Path(found) == Path(sys.executable):
            return name
    return _relative(Path(sys.executable))


def _relative(path: Path) -> str:
    from shlex import quote

    below = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return quote(str(below))


def _installed_from(direct_url: str) -> str | None:
    """The folder that the package was installed from, where it is still there."""
    import json
    from urllib.parse import unquote, urlsplit

    try:
        url = urlsplit(json.loads(direct_url)["url"])
    except (ValueError, KeyError, TypeError):
        return None
    folder = Path(unquote(url.path))
    is_there = url.scheme == "file" and (folder / "pyproject.toml").is_file()
    return str(folder) if is_there else None


def installed_version() -> str:
    """The version of moonwatch that is installed here."""
    try:
        return metadata.version("moonwatch")
    except metadata.PackageNotFoundError:
        return "from a checkout, not installed"
