"""The life of a camera: it resumes, begins anew if it is judged by other terms, and retires.

All three compare what is stored with what is planned, rule by rule.

    the rule in the file is        it
    the same                       resumes: concludes what it would have without the break
    edited, or its task is         finishes by its old terms, and begins with what still holds
    new                            begins
    removed                        finishes

A camera that was removed from the file is one with an empty plan.
"""

import logging
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from pipeline.core.edits import RuleEdit, what_changed
from pipeline.core.errors import ConfigError
from pipeline.core.events import JsonValue
from pipeline.core.queues import Delivered
from pipeline.core.rules import Ending, Verdict
from pipeline.core.store import Checkpoint
from pipeline.processing.health import HEALTH_ENGINE, HealthEvents
from pipeline.processing.judge import Judge, Watcher, joined, of_run
from pipeline.processing.kept import KeptLane, KeptRule, read_lane
from pipeline.processing.ordering import InOrder
from pipeline.processing.plan import CameraPlan, LanePlan, RulePlan
from pipeline.rules.context import RuleContext
from pipeline.rules.terms import rule_of, type_in

logger = logging.getLogger(__name__)

# How long to wait for a live camera's missing result before it is skipped.
PATIENCE_S = 2.0


@dataclass(slots=True)
class JudgingLane:
    """One camera and engine: the order of its results and their judge."""

    judge: Judge
    order: InOrder = field(default_factory=lambda: InOrder(PATIENCE_S))
    judged: tuple[str, int, bool] | None = None
    """Run and job of the last result judged, and whether the run has ended."""
    behind: deque[Delivered] = field(default_factory=deque)
    """Results in their order that wait for an answer about a track, and are not judged yet."""

    def exchanged(self, again: Delivered) -> Delivered:
        """A result that came a second time; the first delivery where that one still waits.

        Only the newest delivery can still be acknowledged.
        """
        for number, held in enumerate(self.behind):
            mine, other = held.result, again.result
            if (mine.run, mine.ordinal, mine.last) == (other.run, other.ordinal, other.last):
                self.behind[number] = again
                return held
        return again

    def checkpoint(self, camera: str) -> Checkpoint:
        """Where a restart resumes."""
        run, ordinal, ended = self.judged or ("", -1, False)
        state = self.judge.state()
        return Checkpoint(camera, self.judge.plan.engine, run, ordinal, state, ended)


@dataclass(frozen=True, slots=True)
class LifeTurn:
    """What a turn in a camera's life leads to. All of it is stored together."""

    verdict: Verdict
    checkpoints: tuple[Checkpoint, ...] = ()
    edits: tuple[RuleEdit, ...] = ()
    """Which rules of a live camera count by other terms from now on."""


class CameraLife:
    """Everything that is remembered about one camera: its lanes by engine, and its troubles."""

    def __init__(self, plan: CameraPlan, watcher: Watcher | None = None) -> None:
        self.plan = plan
        self._watcher = watcher
        self.lanes = {lane.engine: self._fresh(lane) for lane in plan.lanes}
        self.troubles = HealthEvents()

    def resume(self, checkpoints: Mapping[str, Checkpoint], now: float) -> LifeTurn:
        """Resume what is judged as before from the store's checkpoints, by engine.

        If any rule of a recording begins anew, the recording is judged from its beginning.
        """
        kept: dict[str, KeptLane] = {}
        for engine, checkpoint in checkpoints.items():
            if engine == HEALTH_ENGINE:
                self.troubles.restore(checkpoint.state)
                continue
            planned = next((lane for lane in self.plan.lanes if lane.engine == engine), None)
            try:
                kept[engine] = read_lane(checkpoint.state, planned)
            except ValueError as error:
                text = "camera %s begins anew on engine %s: its checkpoint cannot be read: %s"
                logger.warning(text, self.plan.camera, engine, error, extra=self._extra)
                kept[engine] = KeptLane()
            if engine in self.lanes and checkpoint.run:
                lane = self.lanes[engine]
                lane.judged = (checkpoint.run, checkpoint.ordinal, checkpoint.ended)
                lane.order.resume(checkpoint.run, checkpoint.ordinal, ended=checkpoint.ended)
        runs = {engine: checkpoint.run for engine, checkpoint in checkpoints.items()}
        return self._turn(kept, now, runs, replays=self.plan.is_recording)

    def begin_anew(self, plan: CameraPlan, now: float) -> LifeTurn:
        """Judge by another plan from now on; lanes that are judged as before are not touched."""
        before = self.lanes
        kept = {
            engine: read_lane(lane.judge.state(), lane.judge.plan)
            for engine, lane in before.items()
        }
        self.plan, self.lanes = plan, {}
        untouched: set[str] = set()
        for planned in plan.lanes:
            lane = self.lanes[planned.engine] = before.get(planned.engine) or self._fresh(planned)
            was = lane.judge.plan
            if was is not planned and (was.terms(), was.paces()) != (
                planned.terms(),
                planned.paces(),
            ):
                lane.judge = self._fresh(planned).judge
            elif planned.engine in before:
                lane.judge.plan = planned  # other objects, but equal
                untouched.add(planned.engine)
        runs = {engine: lane.judged[0] for engine, lane in before.items() if lane.judged}
        return self._turn(kept, now, runs, untouched=untouched)

    def begin_lane_anew(self, engine: str) -> None:
        """Forget what is remembered of a lane whose judge failed; the order of results stays."""
        self.lanes[engine].judge = self._fresh(self.lanes[engine].judge.plan).judge

    def retire(self, now: float) -> LifeTurn:
        """Finish for good: the camera was removed from the file."""
        return self.begin_anew(CameraPlan(self.plan.camera, watched=frozenset()), now)

    @property
    def _extra(self) -> dict[str, str]:
        return {"camera": self.plan.camera}

    def _fresh(self, plan: LanePlan) -> JudgingLane:
        return JudgingLane(Judge(self.plan.camera, plan, self._watcher))

    def _turn(
        self,
        kept: Mapping[str, KeptLane],
        now: float,
        runs: Mapping[str, str],
        *,
        replays: bool = False,
        untouched: Collection[str] = (),
    ) -> LifeTurn:
        """Begin or resume every planned rule, and finish those that are no longer planned."""
        left = {
            (engine, name): replace(rule, run=runs.get(engine, ""))
            for engine, lane in kept.items()
            for name, rule in lane.rules().items()
        }
        begun: dict[str, frozenset[str]] = {}
        for engine, lane in self.lanes.items():
            names = frozenset(name for _, name, _ in lane.judge.plan.rules())
            before = kept.get(engine)
            going_on = frozenset[str]() if before is None else names
            if before is not None and engine not in untouched:
                going_on = lane.judge.resume(before)
            begun[engine] = names - going_on
            for name in going_on:
                del left[engine, name]
        anew = {engine for engine, names in begun.items() if engine in kept and names}
        changed = {*anew, *(kept.keys() - self.lanes.keys()), *(engine for engine, _ in left)}
        # A lane that could not be read was already reported, and so is a rule when it is finished.
        told = {name for engine in anew if kept[engine].tasks for name in begun[engine]}
        verdicts: list[Verdict] = []
        edits: list[RuleEdit] = []
        # Neither at a camera's first start, nor where it is not known what there was.
        is_known = any(lane.tasks for lane in kept.values())
        for engine, names in begun.items():
            if names and replays:
                self.lanes[engine] = self._fresh(self.lanes[engine].judge.plan)
            for name in sorted(names):
                old = _taken(left, engine, name)
                if is_known:
                    edits.append(self._edit(old, engine, name, now))
                if old is not None:
                    changed.add(engine)
                    verdict, was_read = self._replace(old, engine, inherits=not replays)
                    verdicts.append(verdict)
                    told -= set() if was_read else {name}
        self._say("begin anew", told)
        self._say("were removed", {old.name for old in left.values()})
        verdicts += [self._finished(old, "removed", None)[0] for old in left.values()]
        ended = self.troubles.give_up(self.plan.camera, self.plan.watched, now)
        # Lanes that are no longer planned get an empty checkpoint.
        checkpoints = [
            (self.lanes.get(engine) or self._fresh(LanePlan(engine, ()))).checkpoint(
                self.plan.camera
            )
            for engine in sorted(changed)
        ]
        if ended:
            checkpoints.append(self.troubles_checkpoint())
        edits += [RuleEdit(self.plan.camera, rule.name, now, "removed") for rule in left.values()]
        if self.plan.is_recording:
            edits.clear()  # all of it is judged by the same terms
        return LifeTurn(joined([*verdicts, Verdict(ended)]), tuple(checkpoints), tuple(edits))

    def _edit(self, old: KeptRule | None, engine: str, name: str, now: float) -> RuleEdit:
        if old is None:
            return RuleEdit(self.plan.camera, name, now, "added")
        rules = self.lanes[engine].judge.plan.rules()
        planned = next(rule for _, its_name, rule in rules if its_name == name)
        changed = what_changed(old.terms, planned.terms)
        return RuleEdit(self.plan.camera, name, now, "edited", changed)

    def _replace(self, old: KeptRule, engine: str, *, inherits: bool) -> tuple[Verdict, bool]:
        """Finish an edited rule, and let the one in its place begin with what still holds.

        False if its stored state could not be read.
        """
        judge = self.lanes[engine].judge
        planned = next(rule for _, name, rule in judge.plan.rules() if name == old.name)
        verdict, state = self._finished(old, "edited", planned)
        # States without known terms were read by the planned rule itself.
        alike = old.terms is None or type_in(old.terms) == type_in(planned.terms)
        if inherits and alike and state is not None:
            judge.inherit(old.name, state, old.at, old.aspect)
        return verdict, state is not None or old.state is None

    def troubles_checkpoint(self) -> Checkpoint:
        """The checkpoint of the ongoing troubles."""
        return Checkpoint(self.plan.camera, HEALTH_ENGINE, "", -1, self.troubles.state())

    def _finished(
        self, old: KeptRule, why: Ending, planned: RulePlan | None
    ) -> tuple[Verdict, JsonValue | None]:
        """The verdict of a rule's end, and its state after it; None if that is not known."""
        context = RuleContext(self.plan.camera, old.name, every_s=old.every_s, aspect=old.aspect)
        if old.state is None:
            return Verdict(), None  # it never saw anything
        try:
            # The first layout did not store a rule's terms.
            if old.terms is None and planned is not None:
                rule = planned.make(old.aspect)
            else:
                rule = rule_of(old.terms, context)
            rule.restore(old.state)
            return of_run(rule.finish(old.at, why), old.run), rule.state()
        except (ValueError, OverflowError, OSError, ConfigError) as error:
            reason = str(error).splitlines()[0]
            text = "camera %s, rule %s: its stored state cannot be read, so it is not finished: %s"
            logger.warning(text, self.plan.camera, old.name, reason, extra=self._extra)
            return Verdict(), None

    def _say(self, what: str, rules: Collection[str]) -> None:
        if rules:
            text = "camera %s: rules %s %s"
            names = ", ".join(sorted(rules))
            logger.info(text, self.plan.camera, names, what, extra=self._extra)


def _taken(left: dict[tuple[str, str], KeptRule], engine: str, name: str) -> KeptRule | None:
    """The earlier rule of that name: of the same engine, or of one that the task was moved from."""
    places = sorted((key for key in left if key[1] == name), key=lambda key: key[0] != engine)
    return left.pop(places[0]) if places else None
