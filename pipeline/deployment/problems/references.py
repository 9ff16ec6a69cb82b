"""Checks that span several fields: names that match, engines that can answer, valid shapes.

Each check is a generator of problems, one function per concern. None of them changes anything,
opens a file or connects to a camera.
"""

import fnmatch
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.core import geometry
from pipeline.core.config import Config
from pipeline.core.errors import Problem
from pipeline.core.events import REPORT, is_about_health
from pipeline.core.tasks import Task
from pipeline.deployment.capturing import doors_of, is_door, passing_measures
from pipeline.deployment.model import AskTask, CameraConfig, Deployment, DetectTask, SiteConfig
from pipeline.deployment.problems.suggestions import hint
from pipeline.deployment.samples import CAMERA_TYPES, sample_context, samples_for
from pipeline.deployment.together import followed_together, named_together
from pipeline.deployment.yaml.tree import Path, dotted
from pipeline.rules.base import RuleBase
from pipeline.rules.sequence import SEQUENCE, HappeningConfig, SequenceConfig
from pipeline.tracking.config import TrackerConfig

# First words of questions that cannot be answered with yes or no.
_OPEN_QUESTIONS = ("what", "how", "which", "who", "whose", "where", "when", "why", "describe")


@dataclass(frozen=True, slots=True)
class Checked:
    """A deployment to check, and the paths of the parts that could not be read.

    A reference to a part that could not be read is not a mistake: the part exists.
    """

    deployment: Deployment
    broken: frozenset[Path] = frozenset()

    def names(self, found: Iterable[str], *holder: str) -> list[str]:
        """The names under `holder`: those that were `found`, and those that could not be read."""
        unread = [str(p[-1]) for p in self.broken if p[:-1] == holder]
        return [*found, *sorted(unread)]

    def is_broken(self, *path: str) -> bool:
        """Whether the part at `path`, or anything that contains it, could not be read."""
        return any(path[: len(broken)] == broken for broken in self.broken)

    def tasks(self) -> Iterator[tuple[Path, Task]]:
        """Every task, and every question of a rule, with its path."""
        for camera, config in self.deployment.cameras.items():
            for task in config.questions():
                yield ("cameras", camera, "tasks", task.id), task
            for rule, field, question in config.rule_questions():
                yield ("cameras", camera, "rules", rule, field), question


Check = Callable[[Checked], Iterator[Problem]]


def problems(checked: Checked) -> Iterator[Problem]:
    """Everything that makes the deployment invalid."""
    for check in _CHECKS:
        yield from check(checked)


def missing_sites(checked: Checked) -> Iterator[Problem]:
    """Cameras that name a site that does not exist."""
    known = checked.names(checked.deployment.sites, "sites")
    for camera, config in checked.deployment.cameras.items():
        if config.site is not None and config.site not in known and not checked.is_broken("sites"):
            path = ("cameras", camera, "site")
            yield _problem(path, f"there is no site {config.site!r}", config.site, known)


def open_without_hours(checked: Checked) -> Iterator[Problem]:
    """Rules that keep to opening hours at a site that gives none."""
    for camera, config in checked.deployment.cameras.items():
        place = ("site",) if config.site is None else ("sites", config.site)
        is_known = config.site is None or config.site in checked.deployment.sites
        if not is_known or checked.is_broken(*place) or checked.deployment.site_of(camera).hours:
            continue
        for name, rule in config.rules.items():
            if rule.schedule == "open":
                yield _no_hours(("cameras", camera, "rules", name, "schedule"), place)
    for name, sequence in checked.deployment.sequences.items():
        if sequence.schedule == "open":
            yield from _closed_sequence(checked, name, sequence)


def _closed_sequence(checked: Checked, name: str, sequence: SequenceConfig) -> Iterator[Problem]:
    """An open sequence whose events may be of a camera at a site without hours."""
    about = sequence.first if sequence.then is None else sequence.then
    told: set[tuple[str, ...]] = set()
    for camera, config in checked.deployment.cameras.items():
        if about.camera not in (None, camera) or about.rule not in config.rules:
            continue
        place = ("site",) if config.site is None else ("sites", config.site)
        is_known = config.site is None or config.site in checked.deployment.sites
        if not is_known or checked.is_broken(*place) or checked.deployment.site_of(camera).hours:
            continue
        if place not in told:
            told.add(place)
            yield _no_hours(("sequences", name, "schedule"), place)


def _no_hours(path: Path, place: Path) -> Problem:
    return Problem(
        dotted(path),
        "`open` means the site's opening hours, and there are none; add "
        f"`{dotted(place)}.hours`, such as "
        '{mon-sat: "9:00-20:00", sun: closed}',
    )


def closed_without_hours(checked: Checked) -> Iterator[Problem]:
    """Sites that are armed while they are closed, and never are."""
    sites: dict[tuple[str, ...], SiteConfig] = {("site",): checked.deployment.site}
    sites |= {("sites", name): site for name, site in checked.deployment.sites.items()}
    for place, site in sites.items():
        if site.armed == "closed" and not site.hours and not checked.is_broken(*place):
            yield Problem(
                f"{dotted(place)}.armed",
                "`closed` means outside the site's opening hours, and there are none; add "
                f'`{dotted(place)}.hours`, such as {{mon-sat: "9:00-20:00", sun: closed}}',
            )


def impossible_captures(checked: Checked) -> Iterator[Problem]:
    """Capture rates of rules that do not exist, are elsewhere, or count nobody who passes."""
    for site in (None, *checked.deployment.sites):
        place: tuple[str, ...] = ("site",) if site is None else ("sites", site)
        own = checked.deployment.site if site is None else checked.deployment.sites[site]
        if own.capture is None or checked.is_broken(*place):
            continue
        path = (*place, "capture")
        for field, names in (("passed", own.capture.passed), ("entered", own.capture.entered)):
            for i, name in enumerate(names):
                yield from _wrong_capture(checked, (*path, field, i), name, site)
        for i, name in enumerate(own.capture.entered):
            if name in own.capture.passed:
                yield Problem(
                    dotted((*path, "entered", i)),
                    f"{name!r} is also in `passed`; a rule counts who comes in or who passes by, "
                    "so name it in one of them",
                )
        cannot_know = any(one[0] == "cameras" for one in checked.broken)
        if not own.capture.entered and not cannot_know and not doors_of(checked.deployment, site):
            yield Problem(
                dotted(path),
                "no rule counts who comes in; add a `line_crossing` rule at the door, besides "
                "those in `passed`",
            )


def _wrong_capture(checked: Checked, path: Path, name: str, site: str | None) -> Iterator[Problem]:
    camera, _, rule = name.partition("/")
    known = checked.names(checked.deployment.cameras, "cameras")
    if camera not in known:
        yield _problem(path, f"there is no camera {camera!r}", camera, known)
        return
    config = checked.deployment.cameras.get(camera)
    if config is None:
        return
    if config.site != site:
        theirs = "the file's own `site`" if config.site is None else f"site {config.site!r}"
        yield Problem(
            dotted(path), f"camera {camera!r} is at {theirs}; name a rule of a camera of this site"
        )
        return
    rules = checked.names(config.rules, "cameras", camera, "rules")
    if rule not in rules:
        yield _problem(path, f"camera {camera!r} has no rule {rule!r}", rule, rules)
        return
    found = config.rules.get(rule)
    if found is None:
        return
    if "passed" in path and not passing_measures(found):
        yield Problem(
            dotted(path),
            f"{name!r} is a rule of type {found.type}, which does not count who passes; name a "
            "`line_crossing` or `dwell` rule",
        )
    elif "entered" in path and not is_door(found):
        yield Problem(
            dotted(path),
            f"{name!r} is a rule of type {found.type}, which does not count who comes in by a "
            "door; name a `line_crossing` rule",
        )


def impossible_renames(checked: Checked) -> Iterator[Problem]:
    """Earlier names that are a camera's present name, or an earlier name of two cameras."""
    present = checked.names(checked.deployment.cameras, "cameras")
    claimed: dict[str, str] = {}
    for camera, config in checked.deployment.cameras.items():
        place = dotted(("cameras", camera, "was"))
        for name in config.was:
            if name == camera:
                yield Problem(place, f"{name!r} is this camera's present name; remove it")
            elif name in present:
                yield Problem(
                    place,
                    f"{name!r} is still a camera of this file, and keeps its own history; to swap "
                    "two names, rename one to a third name and start moonwatch in between",
                )
            elif name in claimed:
                yield Problem(place, f"{name!r} is also an earlier name of {claimed[name]!r}")
            claimed.setdefault(name, camera)


def missing_engines(checked: Checked) -> Iterator[Problem]:
    """Tasks that name an engine that does not exist."""
    there = () if checked.is_broken("engines") else checked.deployment.engines
    known = checked.names(there, "engines")
    for path, task in checked.tasks():
        if task.engine and known and task.engine not in known:
            yield _problem(
                (*path, "engine"), f"there is no engine {task.engine!r}", task.engine, known
            )


def unanswerable_tasks(checked: Checked) -> Iterator[Problem]:
    """Tasks that the named engine cannot answer."""
    engines = checked.deployment.engines
    for path, task in checked.tasks():
        if task.engine in engines and (why := engines[task.engine].problem_with(task)):
            yield Problem(dotted(path), f"engine {task.engine!r} cannot answer this: {why}")


def missing_server_engine(checked: Checked) -> Iterator[Problem]:
    """An engine that answers callers and does not exist, or cannot answer them."""
    engines, chosen = checked.deployment.engines, checked.deployment.server.engine
    if chosen is None or checked.is_broken("server") or checked.is_broken("engines", chosen):
        return
    known = checked.names(serving_engines(checked.deployment), "engines")
    if chosen not in engines:
        yield _problem(("server", "engine"), f"there is no engine {chosen!r}", chosen, known)
    elif chosen not in known:
        message = f"{chosen!r} cannot answer callers; only an engine of the type moondream can"
        yield Problem("server.engine", message)


def serving_engines(deployment: Deployment) -> list[str]:
    """The names of the engines that can answer callers over HTTP."""
    # By its type: its class is imported only where a file has such an engine.
    return [name for name, engine in deployment.engines.items() if engine.type == "moondream"]


def impossible_fallbacks(checked: Checked) -> Iterator[Problem]:
    """Engines that stand in for others and do not exist, lead back, or cannot answer the tasks."""
    engines = checked.deployment.engines
    known = checked.names(engines, "engines")
    for name, engine in engines.items():
        other, path = engine.falls_back_to, ("engines", name, "fallback")
        if other is not None and other not in known:
            yield _problem(path, f"there is no engine {other!r}", other, known)
        elif name in (chain := checked.deployment.fallbacks_of(name)):
            way = " to ".join([name, *chain])
            yield Problem(dotted(path), f"leads back to itself ({way}); the last needs none")
    for task_path, task in checked.tasks():
        for other in checked.deployment.fallbacks_of(task.engine or ""):
            if why := engines[other].problem_with(task):
                yield Problem(
                    dotted(task_path),
                    f"engine {other!r}, the fallback of {task.engine!r}, cannot answer this: {why}",
                )


def open_engines(checked: Checked) -> Iterator[Problem]:
    """Tasks without an engine that several engines, or none, could answer."""
    if any(path[0] == "engines" for path in checked.broken):
        return
    engines = checked.deployment.engines
    for path, task in checked.tasks():
        able = able_engines(checked.deployment, task)
        if task.engine or len(able) == 1:
            continue
        if able:
            message = f"several engines can answer this ({', '.join(able)}); name one: `engine:`"
            yield Problem(dotted(path), message)
        else:
            reasons = [f"{name}: {engine.problem_with(task)}" for name, engine in engines.items()]
            yield Problem(dotted(path), f"no engine can answer this; {'; '.join(reasons)}")


def able_engines(deployment: Deployment, task: Task) -> list[str]:
    """The names of the engines that can answer a task."""
    return [name for name, e in deployment.engines.items() if e.problem_with(task) is None]


def is_open_question(question: str) -> bool:
    """Whether yes and no cannot answer a question, by its first word."""
    words = question.split()
    return bool(words) and words[0].strip(",:.!?").lower() in _OPEN_QUESTIONS


def yes_no_questions(checked: Checked) -> Iterator[Problem]:
    """Open questions that are asked as if yes or no could answer them."""
    for camera, config in checked.deployment.cameras.items():
        for name, task in config.tasks.items():
            if not isinstance(task, AskTask) or "answers" in task.model_fields_set:
                continue
            if task.answers == "yes/no" and is_open_question(task.ask):
                yield Problem(
                    dotted(("cameras", camera, "tasks", name, "ask")),
                    "this is not a yes/no question; choose the kind of answer: `answers: number`, "
                    "`answers: text` or `choices: [...]`",
                )
        for rule, field, question in config.rule_questions():
            first = question.question.split()[0].strip(",:.!?").lower()
            if question.answers == "yes/no" and first in _OPEN_QUESTIONS:
                yield Problem(
                    dotted(("cameras", camera, "rules", rule, field, "ask")),
                    "this is not a yes/no question; name its answers, such as "
                    "`choices: [person, animal]`, and the one that confirms: `is: person`",
                )


def missing_tasks(checked: Checked) -> Iterator[Problem]:
    """Rules for a task that the camera does not have."""
    for camera, config in checked.deployment.cameras.items():
        known = checked.names(config.tasks, "cameras", camera, "tasks")
        if checked.is_broken("cameras", camera, "tasks"):
            continue
        for name, rule in config.rules.items():
            path = ("cameras", camera, "rules", name, "of")
            if rule.of not in known and not checked.is_broken(*path):
                yield _problem(path, f"this camera has no task {rule.of!r}", rule.of, known)
            for other in rule.references().tasks:
                if other not in known and not checked.is_broken(*path[:-1]):
                    said = f"this camera has no task {other!r}"
                    yield _problem((*path[:-1], key_of(rule, other)), said, other, known)


def distant_tasks(checked: Checked) -> Iterator[Problem]:
    """Rules that look at another task, which they would not see in the same picture."""
    for camera, config in checked.deployment.cameras.items():
        tasks = config.tasks
        for name, rule in config.rules.items():
            for other in rule.references().tasks:
                if rule.of not in tasks or other not in tasks:
                    continue
                path = dotted(("cameras", camera, "rules", name, key_of(rule, other)))
                if not isinstance(tasks[other], DetectTask):
                    yield Problem(path, f"{other!r} is not a detect task; name one that is")
                elif tasks[other].engine != tasks[rule.of].engine:
                    yield Problem(
                        path,
                        f"{other!r} asks another engine than {rule.of!r}, so the two are not known "
                        "of the same picture; give them the same `engine:`",
                    )


def key_of(rule: RuleBase, task: str) -> str:
    """The key under which a rule names another task."""
    own = (key for key in type(rule).model_fields if key != "of")
    return next((key for key in own if getattr(rule, key) == task), "of")


def unfit_tasks(checked: Checked) -> Iterator[Problem]:
    """Rules for a task whose answers they cannot evaluate."""
    for camera, config in checked.deployment.cameras.items():
        tasks = {task.id: task for task in config.questions()}
        for name, rule in config.rules.items():
            path = ("cameras", camera, "rules", name)
            if rule.of not in tasks or checked.is_broken(*path, "type"):
                continue
            if why := rule.problem_with(tasks[rule.of]):
                yield Problem(dotted((*path, "of")), why)


def unequal_companions(checked: Checked) -> Iterator[Problem]:
    """Tasks that follow the same things by name, but differently, or that look for the same."""
    for camera, config in checked.deployment.cameras.items():
        for (_, together), names in named_together(config).items():
            first, *more = names
            known = {_plain(config, first)[1]: first}
            for name in more:
                settings, label = _plain(config, name)
                path = dotted(("cameras", camera, "tasks", name))
                if settings != _plain(config, first)[0]:
                    yield Problem(
                        f"{path}.track",
                        f"is `together: {together}` with task {first!r}, but its other settings "
                        "differ; things that are followed together are followed alike, so write "
                        "the same `track` for both",
                    )
                if label in known:
                    yield Problem(
                        f"{path}.detect",
                        f"{label!r} is also what task {known[label]!r} looks for, and they are "
                        f"`together: {together}`; remove one of them, or its `together`",
                    )
                known.setdefault(label, name)


def divided_looks(checked: Checked) -> Iterator[Problem]:
    """Tasks that follow the same things and look at different places, or whose engine has tiles."""
    engines = checked.deployment.engines
    for camera, config in checked.deployment.cameras.items():
        detecting = {name: t for name, t in config.tasks.items() if isinstance(t, DetectTask)}
        for name, first in followed_together(config).items():
            where = detecting[name].where
            if where != detecting[first].where:
                yield Problem(
                    dotted(("cameras", camera, "tasks", name, "where")),
                    f"is `where: {where}`, and task {first!r}, with which it is followed together, "
                    f"is `where: {detecting[first].where}`; write the same for both, or keep them "
                    "apart by `track: {together: no}`",
                )
        for name, task in detecting.items():
            engine = engines.get(task.engine or "")
            if task.engine is None and len(engines) == 1:
                engine = next(iter(engines.values()))
            parts = engine.looks_at_parts if engine is not None else None
            if task.where == "motion" and parts is not None:
                yield Problem(
                    dotted(("cameras", camera, "tasks", name, "where")),
                    f"its engine has `{parts}`, and looks at all parts of each picture anyway; "
                    "remove that from the engine, or use another engine for this task",
                )


def _plain(camera: CameraConfig, task: str) -> tuple[TrackerConfig | None, str]:
    """The settings and the label of a task that is tracked."""
    config = camera.tasks[task]
    return (config.track, config.detect) if isinstance(config, DetectTask) else (None, "")


def missing_shapes(checked: Checked) -> Iterator[Problem]:
    """Rules that name a line or zone that the camera does not have."""
    for camera, config in checked.deployment.cameras.items():
        for name, rule in config.rules.items():
            path = ("cameras", camera, "rules", name)
            named = rule.references()
            if not checked.is_broken(*path, "line"):
                yield from _missing(checked, rule, path, "line", named.lines, config.lines)
            if not checked.is_broken(*path, "zone"):
                yield from _missing(checked, rule, path, "zone", named.zones, config.zones)


def _missing(
    checked: Checked,
    rule: RuleBase,
    path: Path,
    kind: str,
    named: Sequence[str],
    there: Iterable[str],
) -> Iterator[Problem]:
    camera = str(path[1])
    known = checked.names(there, "cameras", camera, f"{kind}s")
    if checked.is_broken("cameras", camera, f"{kind}s"):
        return
    for name in named:
        if name not in known:
            place = (*path, *_keys_of(rule, kind, name))
            yield _problem(place, f"this camera has no {kind} {name!r}", name, known)


def _keys_of(rule: RuleBase, kind: str, name: str) -> tuple[str, ...]:
    """Under which keys a rule names a line or zone."""
    for key in (kind, *type(rule).model_fields):
        value = getattr(rule, key, None)
        if value == name and key != "of":
            return (key,)
        if isinstance(value, Config) and getattr(value, kind, None) == name:
            return (key, kind)
    return (kind,)


def pointless_lines(checked: Checked) -> Iterator[Problem]:
    """Lines without length."""
    for camera, config in checked.deployment.cameras.items():
        for name, line in config.lines.items():
            if line.from_ == line.to:
                path = dotted(("cameras", camera, "lines", name))
                yield Problem(path, "starts and ends at the same point; move one end")


def crossed_zones(checked: Checked) -> Iterator[Problem]:
    """Zones whose edges cross, or that have no area."""
    for camera, config in checked.deployment.cameras.items():
        for name, zone in config.zones.items():
            path = dotted(("cameras", camera, "zones", name, "polygon"))
            if zone.polygon[0] == zone.polygon[-1]:
                yield Problem(path, "ends where it starts; leave out the last corner")
            elif (crossing := geometry.meeting_edges(zone.polygon)) is not None:
                first, second = crossing
                message = (
                    f"its edges from corner {first + 1} and from corner {second + 1} cross; "
                    "give the corners in order around the zone"
                )
                yield Problem(path, message)
            elif geometry.crosses_itself(zone.polygon):
                yield Problem(path, "has no area: its corners lie on one line")


def shared_outputs(checked: Checked) -> Iterator[Problem]:
    """Two sinks that write to the same file or place."""
    taken: dict[str, str] = {}
    for name, sink in checked.deployment.sinks.items():
        resource = sink.resource()
        if resource is None:
            continue
        if resource in taken:
            path = dotted(("sinks", name))
            what = "file" if resource.startswith(os.sep) else "place"
            yield Problem(
                path, f"writes to the same {what} as sink {taken[resource]!r}; give it another"
            )
        taken.setdefault(resource, name)


def colliding_names(checked: Checked) -> Iterator[Problem]:
    """Names that a sink could not tell apart, as topics know small letters only."""
    deployment = checked.deployment
    rules = {name: list(camera.rules) for name, camera in deployment.cameras.items()}
    for name, sink in deployment.sinks.items():
        for trouble in sink.trouble_with_names(
            deployment.site.name, rules, list(deployment.sequences)
        ):
            yield Problem(dotted(("sinks", name)), trouble)


def unknown_filters(checked: Checked) -> Iterator[Problem]:
    """Sinks whose `only` or `not` matches no rule, camera or event type."""
    known = _event_names(checked)
    for name, sink in checked.deployment.sinks.items():
        for key, words in (("only", sink.only), ("not", sink.without)):
            for word in words:
                if not fnmatch.filter(known, word):
                    path = ("sinks", name, key)
                    yield _problem(
                        path, f"there is no rule, camera or event type {word!r}", word, known
                    )


def unserved_links(checked: Checked) -> Iterator[Problem]:
    """Sinks that send links which nothing could serve."""
    if checked.deployment.web.public_url is not None or checked.is_broken("web"):
        return
    for name, sink in checked.deployment.sinks.items():
        if sink.needs_links:
            yield Problem(
                dotted(("sinks", name)),
                "sends links to pictures, and there is no address to link to; write "
                "`web: {public_url: https://...}`, which leads to `--http` of `run` or `deliver`, "
                "or send the pictures themselves",
            )


def unfit_templates(checked: Checked) -> Iterator[Problem]:
    """Templates that cannot be filled in for an event that their sink gets."""
    for name, sink in checked.deployment.sinks.items():
        uses = list(sink.template_uses())
        if not uses:
            continue
        context = sample_context(checked.deployment, name)
        kinds = {
            (event.type, event.phase, event.rule, *event.data): event
            for event in samples_for(checked.deployment, name)
            if not (sink.words_trouble_itself and is_about_health(event))
        }
        for use in uses:
            for event in kinds.values():
                problem = use.problem_with(event, context)
                if problem is not None:
                    where = f" of camera {event.camera!r}" if event.camera else ""
                    yield Problem(
                        dotted(("sinks", name, *use.path)),
                        f"cannot be filled in for the {event.phase!r} event of {event.rule!r}"
                        f"{where} (type {event.type}): {problem}; such events can be kept from "
                        "this sink with `only`, `not` or `phases`",
                    )
                    break


def missing_receivers(checked: Checked) -> Iterator[Problem]:
    """Reports for sinks, or about sites, that do not exist."""
    sinks = checked.names(checked.deployment.sinks, "sinks")
    sites = checked.names(checked.deployment.sites, "sites")
    for name, report in checked.deployment.reports.items():
        for sink in report.to:
            if sink not in sinks and not checked.is_broken("sinks"):
                yield _problem(("reports", name, "to"), f"there is no sink {sink!r}", sink, sinks)
        if report.site is not None and report.site not in sites and not checked.is_broken("sites"):
            path = ("reports", name, "site")
            yield _problem(path, f"there is no site {report.site!r}", report.site, sites)


def missing_happenings(checked: Checked) -> Iterator[Problem]:
    """Sequences of events that no rule of the file reports."""
    for name, sequence in checked.deployment.sequences.items():
        parts = (("first", sequence.first), ("then", sequence.then), ("without", sequence.without))
        for key, wanted in parts:
            if wanted is not None:
                yield from _missing_happening(checked, name, key, wanted)


def _missing_happening(
    checked: Checked, name: str, key: str, wanted: HappeningConfig
) -> Iterator[Problem]:
    deployment = checked.deployment
    cameras = checked.names(deployment.cameras, "cameras")
    sequences = checked.names(deployment.sequences, "sequences")
    path: Path = ("sequences", name, key)
    if wanted.rule == name:
        message = f"{name!r} would wait for itself; name a rule, or another sequence"
        yield Problem(dotted((*path, "rule")), message)
        return
    if wanted.camera is not None and wanted.camera not in cameras:
        message = f"there is no camera {wanted.camera!r}"
        yield _problem((*path, "camera"), message, wanted.camera, cameras)
        return
    known = [] if key == "without" else list(sequences)
    for camera, config in deployment.cameras.items():
        if wanted.camera in (None, camera):
            known += checked.names(config.rules, "cameras", camera, "rules")
    # A camera, or its rules, that could not be read may well have it.
    unread = any(
        broken[:1] == ("cameras",) and wanted.camera in (None, *broken[1:2])
        for broken in checked.broken
    )
    if wanted.rule in known or unread:
        return
    if key == "without" and wanted.rule in sequences:
        message = (
            f"{wanted.rule!r} is a sequence, and nobody can say that one will not be found any "
            "more; name a rule of a camera"
        )
        yield Problem(dotted((*path, "rule")), message)
        return
    holder = "no camera" if wanted.camera is None else f"camera {wanted.camera!r}"
    article = "a" if wanted.camera is None else "no"
    message = f"{holder} has {article} rule {wanted.rule!r}"
    yield _problem((*path, "rule"), message, wanted.rule, known)


def _event_names(checked: Checked) -> list[str]:
    """Every word that a sink can filter by."""
    deployment = checked.deployment
    names = checked.names(deployment.cameras, "cameras")
    for camera, config in deployment.cameras.items():
        names += checked.names(config.rules, "cameras", camera, "rules")
    names += checked.names(deployment.sequences, "sequences")
    types: set[str] = set()
    for config in deployment.cameras.values():
        types.update(rule.type for rule in config.rules.values())
    if deployment.sequences:
        types.add(SEQUENCE)
    if deployment.reports:
        types.add(REPORT)
    return list(dict.fromkeys([*names, *sorted(types), "camera", *CAMERA_TYPES]))


def _problem(path: Path, message: str, name: str, known: Sequence[str]) -> Problem:
    return Problem(dotted(path), message + hint(name, known))


_CHECKS: tuple[Check, ...] = (
    missing_sites,
    open_without_hours,
    closed_without_hours,
    impossible_captures,
    impossible_renames,
    missing_engines,
    unanswerable_tasks,
    missing_server_engine,
    impossible_fallbacks,
    open_engines,
    yes_no_questions,
    missing_tasks,
    distant_tasks,
    unfit_tasks,
    unequal_companions,
    divided_looks,
    missing_shapes,
    pointless_lines,
    crossed_zones,
    shared_outputs,
    colliding_names,
    missing_happenings,
    missing_receivers,
    unknown_filters,
    unserved_links,
    unfit_templates,
)
