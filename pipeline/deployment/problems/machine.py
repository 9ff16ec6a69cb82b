"""What this machine lacks for a deployment, each at its line: libraries, models, devices, folders.

The file may be meant for another machine: these are warnings of `check`, and `run` refuses to start
where it certainly could not work.
"""

from collections.abc import Iterator

from pipeline.core.errors import Problem
from pipeline.core.machine import Lack
from pipeline.deployment.model import Deployment
from pipeline.deployment.yaml.tree import Path, dotted


def lacks(deployment: Deployment) -> Iterator[tuple[Path, Lack]]:
    """Everything that is missing here, with the path of the settings that need it."""
    for name, engine in deployment.engines.items():
        yield from (((("engines", name)), lack) for lack in engine.lacks())
    yield from ((("queue",), lack) for lack in deployment.queue.lacks())
    yield from ((("store",), lack) for lack in deployment.store.lacks())
    yield from ((("server",), lack) for lack in deployment.server.lacks())
    yield from ((("web",), lack) for lack in deployment.web.lacks())
    for name, camera in deployment.cameras.items():
        yield from ((("cameras", name, "source"), lack) for lack in camera.source.lacks())
        for key, task in camera.tasks.items():
            asked = deployment.engines.get(task.engine or "")
            if asked is not None:
                found = asked.lacks_for(task.task(key))
                yield from ((("cameras", name, "tasks", key), lack) for lack in found)
    for name, sink in deployment.sinks.items():
        yield from ((("sinks", name), lack) for lack in sink.lacks())
    yield from ((("site",), lack) for lack in deployment.site.lacks())
    for name, site in deployment.sites.items():
        yield from ((("sites", name), lack) for lack in site.lacks())
    for name, report in deployment.reports.items():
        yield from ((("reports", name), lack) for lack in report.lacks())


def problems(deployment: Deployment, *, only_fatal: bool) -> Iterator[Problem]:
    """A sentence for each, the same one once."""
    said = set()
    for path, lack in lacks(deployment):
        place = dotted((*path, lack.key))
        # Two engines may need the same library, and database and pictures share a full disk.
        if (lack.is_fatal or not only_fatal) and lack.message not in said:
            said.add(lack.message)
            yield Problem(place, lack.message)
