"""What the recordings of a deployment are, and whether engines elsewhere are there:
`moonwatch check --probe`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from connectors.sources.recordings.source import ProbedFile
from pipeline.core.errors import SourceError
from pipeline.core.events import JsonValue
from pipeline.deployment.model import Deployment


@dataclass(frozen=True, slots=True)
class ProbedCamera:
    """One camera's recordings; a live camera has none."""

    camera: str
    source: str
    """The path, or the type of a live source."""
    is_live: bool
    zone: tzinfo = UTC
    files: Sequence[ProbedFile] = ()
    remarks: Sequence[str] = ()
    """What is wrong with them, as sentences."""
    failure: str | None = None
    """What could not be read at all."""

    def as_json(self) -> dict[str, JsonValue]:
        """The same for machines; times in UTC."""
        return {
            "camera": self.camera,
            "source": self.source,
            "live": self.is_live,
            "files": [_file_json(file) for file in self.files],
            "remarks": list(self.remarks),
            "failure": self.failure,
        }


def probe(deployment: Deployment) -> Iterator[ProbedCamera]:
    """Open and read every recording; live cameras are left alone."""
    for name, camera in deployment.cameras.items():
        config = camera.source
        if not config.is_recording:
            yield ProbedCamera(name, config.type, is_live=True)
            continue
        zone = deployment.site_of(name).timezone
        source = config.build(zone=zone)
        files: list[ProbedFile] = []
        failure = None
        try:
            for file in source.probe():
                files.append(file)
        except SourceError as error:
            failure = str(error)
        yield ProbedCamera(
            name,
            config.path,
            is_live=False,
            zone=ZoneInfo(zone),
            files=files,
            remarks=source.troubles,
            failure=failure,
        )


def probe_engines(deployment: Deployment) -> Iterator[tuple[str, list[str]]]:
    """Each engine elsewhere, and what is wrong with it; nothing is asked about a picture."""
    for name, engine in deployment.engines.items():
        problems = engine.probe()
        if problems is not None:
            yield name, list(problems)


def _file_json(file: ProbedFile) -> JsonValue:
    return {
        "path": file.path,
        "start": _utc(file.start),
        "start_from": file.basis.value,
        "end": _utc(file.start + file.length_s),
        "length_s": round(file.length_s, 3),
        "gaps": [{"from": _utc(begin), "to": _utc(end)} for begin, end in file.gaps],
        "codec": file.codec,
        "size": list(file.size_wh),
        "rate": round(file.rate, 3),
    }


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
