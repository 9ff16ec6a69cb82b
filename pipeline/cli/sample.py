"""`moonwatch sample`: the cameras in a separate process."""

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any

import typer

from pipeline.cli.options import File, Http, LogFormatOption, Overrides, Watch, WithParent
from pipeline.cli.stage_options import known_names, stage_process
from pipeline.core.errors import ConfigError, MoonwatchError, Problem
from pipeline.core.membership import Presence
from pipeline.deployment.model import Deployment
from pipeline.runtime.reports import Facts, Report, Reporter, reports_of
from pipeline.runtime.stage_process import serve
from pipeline.runtime.stages.base import Stage
from pipeline.runtime.stages.file_playback import (
    CameraShare,
    ConfirmedSamplingStage,
    await_judges,
    judged_lanes_of,
)
from pipeline.runtime.watching import reports_elsewhere
from pipeline.sampling.leases import CameraLeases, OtherSampler

Cameras = Annotated[
    list[str], typer.Option("--camera", metavar="NAME", help="Only this camera; may be repeated.")
]
Groups = Annotated[
    list[str],
    typer.Option(
        "--group",
        metavar="NAME",
        help="Cameras of this group; may be repeated. By default those without a group.",
    ),
]
AllGroups = Annotated[bool, typer.Option("--all-groups", hidden=True)]
"""Passed by `run` to the one sampler it starts."""


def sample(
    file: File,
    overrides: Overrides = [],
    camera: Cameras = [],
    group: Groups = [],
    all_groups: AllGroups = False,
    http: Http = None,
    logs: LogFormatOption = "text",
    watch: Watch = False,
    with_parent: WithParent = False,
) -> None:
    """Sample the cameras in a separate process.

    Any number of these processes share the cameras. Ends when all of the cameras are files that
    have ended.
    """

    def narrowed(deployment: Deployment) -> Deployment:
        return deployment if all_groups else chosen(deployment, camera, group)

    process_context = stage_process(
        file, overrides, http, logs, with_parent=with_parent, watch=watch, narrowed=narrowed
    )
    cameras, queues = process_context.context.deployment.cameras, process_context.queues

    stages: list[ConfirmedSamplingStage] = []

    def make(reporter: Reporter) -> tuple[Stage, Facts]:
        await_judges(process_context)
        others = OtherSamplers(queues.presence, reporter.member)
        leases = CameraLeases(queues.leases, reporter.member, cameras, others.at_work)
        stage = ConfirmedSamplingStage(
            process_context.context,
            lambda: judged_lanes_of(queues.presence),
            CameraShare(leases, queues.of_camera, others.over),
            beyond=lambda: reports_elsewhere(queues.presence),
            queue=lambda: queues.link.trouble,
        )

        stages.append(stage)

        def facts() -> dict[str, Any]:
            samples, stands_by_for = stage.samples, stage.stands_by_for
            return {
                "progress": stage.progress(),
                "samples": sorted(samples),
                "stands_by_for": sorted(stands_by_for),
                "over": sorted(stage.over),
                "wellness": stage.watches.wellness,
                "stands_by": bool(stands_by_for) and not samples,
                "troubles": stage.troubles,
                "shortfall": stage.shortfall or "",
            }

        return stage, facts

    serve("sampling", make, process_context)
    short = next((stage.shortfall for stage in stages if stage.shortfall), None)
    # A `run` reads it in the last report; as a failure of its child it would play it all again.
    if short is not None and not with_parent:
        raise MoonwatchError(short)


def chosen(deployment: Deployment, cameras: Sequence[str], groups: Sequence[str]) -> Deployment:
    """The deployment with the cameras that a sampler of these groups takes; raises ConfigError.

    A camera with a group is taken by samplers of that group only, one without by those without.
    """
    known = {of.group: None for of in deployment.cameras.values() if of.group is not None}
    if groups and not known:
        raise ConfigError([Problem("--group", "no camera of the file has a `group`")])
    known_names("--group", list(groups), known)
    known_names("--camera", list(cameras), deployment.cameras)
    able = {
        name: of
        for name, of in deployment.cameras.items()
        if (of.group in groups if groups else of.group is None)
    }
    refused = []
    for name in cameras:
        if name not in able:
            group = deployment.cameras[name].group
            belongs = f"belongs to a group: add `--group {group}`"
            why = "has no group: omit `--group`" if group is None else belongs
            refused.append(Problem("--camera", f"{name!r} {why}"))
    if refused:
        raise ConfigError(refused)
    if not able:
        names = " or ".join(f"`--group {name}`" for name in known)
        message = f"every camera of the file has a group: start the sampler with {names}"
        raise ConfigError([Problem("--group", message)])
    wanted = {name: able[name] for name in cameras} or able
    return deployment.model_copy(update={"cameras": wanted})


class OtherSamplers:
    """The reports of the other samplers; raises QueueError."""

    def __init__(self, presence: Presence, member: str) -> None:
        """`member` is this one."""
        self._presence = presence
        self._member = member
        self._first_up_s: dict[str, float] = {}
        self._over: dict[str, Collection[str]] = {}

    def at_work(self) -> Mapping[str, OtherSampler]:
        """Those that are alive."""
        return {
            member: OtherSampler({*report.samples, *report.stands_by_for}, len(report.samples))
            for member, report in self._reports().items()
            if not report.is_last
        }

    def over(self) -> Collection[str]:
        """Files that they have played to the end and whose frames are all evaluated.

        Only samplers that were seen alive count: the last report of one that ended before this one
        started is about an earlier playback.
        """
        for member, report in self._reports().items():
            if report.up_s > self._first_up_s.setdefault(member, report.up_s):
                self._over[member] = report.over
        return {name for over in self._over.values() for name in over}

    def _reports(self) -> dict[str, Report]:
        return {
            member: report
            for member, report in reports_of(self._presence).items()
            if report.stage == "sampling" and member != self._member
        }
