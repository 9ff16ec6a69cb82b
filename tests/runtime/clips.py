"""Short pieces of the bundled clip, and deployments that play them."""

from pathlib import Path
from typing import Any

import av
import yaml

from tests.architecture.source_tree import ROOT

CLIP = ROOT / "configs" / "media" / "plaza.mp4"
STARTS_AT = "2026-06-01T12:00:00Z"
LINES = {
    "middle": {"from": [0.5, 0.1736], "to": [0.5, 1.0]},
    "across": {"from": [0.0, 0.5208], "to": [1.0, 0.5208]},
}
ZONES = {
    "crossroads": {
        "polygon": [[0.2995, 0.3472], [0.7292, 0.3472], [0.7292, 0.7292], [0.2995, 0.7292]]
    }
}


def cut(path: Path, seconds: float) -> Path:
    """The first seconds of the clip, copied packet by packet."""
    with av.open(str(CLIP)) as source, av.open(str(path), "w") as target:
        video = source.streams.video[0]
        copy = target.add_stream_from_template(video)
        for packet in source.demux(video):
            if packet.pts is None or packet.time_base is None:
                continue
            if packet.pts * packet.time_base < seconds:
                packet.stream = copy
                target.mux(packet)
    return path


def camera(clip: Path, every: str = "500ms", **source: Any) -> dict[str, Any]:
    """A camera with the lines and the zone of the clip's truth."""
    return {
        "source": {"type": "file", "path": str(clip), "starts_at": STARTS_AT, **source},
        "sample": {"every": every},
        "tasks": {"people": {"detect": "person"}},
        "lines": LINES,
        "zones": ZONES,
        "rules": {
            "middle": {"type": "line_crossing", "of": "people", "line": "middle"},
            "across": {"type": "line_crossing", "of": "people", "line": "across"},
            "crowd": {
                "type": "occupancy",
                "of": "people",
                "zone": "crossroads",
                "more_than": 1,
                "snapshot": True,
            },
            "stay": {"type": "dwell", "of": "people", "zone": "crossroads", "longer_than": "2s"},
        },
    }


def deployment(folder: Path, cameras: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A deployment whose store and sink are in `folder`."""
    return {
        "version": 1,
        "site": {"name": "test", "timezone": "Europe/London"},
        "store": {"url": f"sqlite:///{folder}/events.db", "keep": "9000d"},
        "cameras": cameras,
        "sinks": {"log": {"type": "jsonl", "path": str(folder / "events.jsonl")}},
        **more,
    }


def written(folder: Path, content: dict[str, Any]) -> Path:
    """The deployment as a file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "deployment.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path
