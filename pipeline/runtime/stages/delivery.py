"""The delivery stage: the sinks of a deployment, served by one process while others stand by."""

import logging
from collections.abc import Collection
from dataclasses import replace

from pipeline.core.audits import Audits
from pipeline.core.clock import Clock
from pipeline.core.errors import StoreError
from pipeline.core.store import History, LeaseProof, Store
from pipeline.delivery import Delivery, LaneStatus
from pipeline.delivery import SinkLane as SinkLane
from pipeline.deployment.model import Deployment
from pipeline.runtime.assembly import routes_of
from pipeline.runtime.ownership import StoreLease, keeping
from pipeline.runtime.planned_arming import ArmingDesk
from pipeline.runtime.scheduled_reports import ReportDesk
from pipeline.runtime.sequences import cursor_of, cursors_of, lane_of
from pipeline.runtime.site_watch import ReadsReports, SiteWatch
from pipeline.runtime.stages.base import StageContext
from pipeline.runtime.switch_desk import SwitchDesk
from pipeline.runtime.today import TodaysNumbers

logger = logging.getLogger(__name__)
# How long to wait for sinks that were busy when the lease was lost; they send nothing more.
_LET_GO_S = 1.0
_STORE_RETRY_S = 1.0


class DeliveryStage:
    """Delivers while it holds the lease, each time from where the sinks are by then."""

    name = "delivery"
    engines: Collection[str] = ()
    finished = False

    def __init__(
        self,
        context: StageContext,
        store: Store,
        lease: StoreLease,
        history: History | None = None,
        audits: Audits | None = None,
        reports: ReadsReports = tuple,
    ) -> None:
        """Does not ask for the lease before `start`, nor send anything before it has it.

        Sequences are judged, and reports made, where there is a `history` to look into; reports
        quote `audits`. Sinks that show states learn from the processes' `reports` which cameras
        work.
        """
        self._context = context
        self._store = store
        self._history = history
        self._today: TodaysNumbers | None = None
        self._site: SiteWatch | None = None
        self._reports = reports
        self._audits = audits
        self._lease = lease
        self._keeper = keeping("delivery-lease", lease, clock=context.clock)
        self._proof: LeaseProof | None = None
        self._delivery: Delivery | None = None
        self._desk: ReportDesk | None = None
        self._arming: ArmingDesk | None = None
        self._switches: SwitchDesk | None = None
        self._retry_at = float("-inf")
        self._said: str | None = None

    def start(self) -> None:
        """Ask for the lease, and begin to deliver once it is ours; raises StoreError."""
        # Before any events are stored: a sink that is new to the store begins with the next one.
        introduce_sinks(self._context.deployment, self._store)
        self._keeper.start()
        self.poll()

    def poll(self) -> None:
        """Start or stop delivering as the lease is won or lost; look for new events."""
        proof = self._lease.proof
        if self._delivery is not None and proof != self._proof:
            self._release(self._delivery)
        if proof is not None and self._delivery is None:
            self._begin(proof)
        if self._delivery is not None:
            self._delivery.nudge()
        if self._today is not None:
            self._today.look()
        if self.stands_by:
            self._say(logging.INFO, "another process is delivering; standing by")

    def update(self, deployment: Deployment) -> None:
        """Serve the sinks of another version of the file; those that are equal are not disturbed.

        Raises SinkError or StoreError; then everything is as before.
        """
        before, self._context = self._context, replace(self._context, deployment=deployment)
        if self._delivery is None or self._proof is None:
            return
        same_context = _seen_by_all(before.deployment) == _seen_by_all(deployment)
        old, new = before.deployment.sinks, deployment.sinks
        kept = {
            name
            for name in new
            if same_context
            and old.get(name) == new[name]
            and before.deployment.reports_to(name) == deployment.reports_to(name)
        }
        judged, judging = before.deployment.sequences, deployment.sequences
        # By which cameras' tasks, and by which clocks, they are judged may have changed as well.
        same_place = all(
            getattr(before.deployment, part) == getattr(deployment, part)
            for part in ("site", "sites", "cameras")
        )
        same = {name for name in judging if same_place and judged.get(name) == judging[name]}
        kept |= {cursor_of(name) for name in same}
        lanes = [lane for lane in self._delivery.lanes if lane.route.sink in kept]
        try:
            changed = {name: config for name, config in new.items() if name not in kept}
            others = {name: config for name, config in judging.items() if name not in same}
            part = deployment.model_copy(update={"sinks": changed, "sequences": others})
            lanes += self._lanes(part, self._proof)
            self._delivery.update(lanes)
            if self._desk is not None:
                self._desk.use(deployment)
            if self._arming is not None:
                self._arming.use(deployment)
            if self._switches is not None:
                self._switches.use(deployment)
        except Exception:
            self._context = before
            raise
        if self._today is not None:
            self._today.update(deployment)
        if self._site is not None:
            self._site.update(deployment)

    def stop(self, within_s: float) -> None:
        """Deliver what is left to the sinks that respond, then let another process take over."""
        delivery = self._delivery
        has_ended = self._desk is None or self._desk.stop(within_s)
        has_ended = (self._arming is None or self._arming.stop(within_s)) and has_ended
        has_ended = (self._switches is None or self._switches.stop(within_s)) and has_ended
        has_ended = (delivery is None or delivery.stop(within_s)) and has_ended
        self._context.metrics.delivering.set(0)
        self._end_today()
        self._keeper.stop(within_s)
        if has_ended:
            self._lease.end()

    @property
    def failure(self) -> str | None:
        """Why the thread that renews the lease has failed."""
        return self._keeper.failure

    @property
    def stands_by(self) -> bool:
        """Whether another process is delivering."""
        return self._lease.is_anothers

    def status(self) -> tuple[LaneStatus, ...]:
        """The state of each sink; empty while another process is delivering."""
        delivery = self._delivery
        return delivery.status() if delivery is not None else ()

    def ready(self) -> str | None:
        """Why no sink accepts events, or why it is not known whether to deliver.

        A process that stands by is ready: in a rolling update the old one can end then.
        """
        if self._delivery is not None:
            sinks = self._context.deployment.sinks
            lanes = [lane for lane in self.status() if lane.sink in sinks]
            if lanes and all(lane.error for lane in lanes):
                return f"no sink accepts events; {lanes[0].sink}: {lanes[0].error}"
            return None
        if self._lease.proof is not None or self._lease.trouble is not None:
            return "the store is not responding yet"
        if self.stands_by:
            return None
        return "has not found out yet whether another process is delivering"

    def remark(self) -> str | None:
        """Which sinks fail or have refused events, although others accept them."""
        said = [f"sink {lane.sink}: {lane.error}" for lane in self.status() if lane.error]
        for lane in self.status():
            # Another command may have sent or dropped them since the lane counted.
            refused = self._refused(lane.sink) if lane.undelivered else 0
            if refused:
                events = "1 event" if refused == 1 else f"{refused} events"
                shows = "`moonwatch undelivered list FILE` shows why"
                said.append(f"sink {lane.sink} refused {events}; {shows}")
        return "; ".join([*said, *self.troubles]) or None

    @property
    def troubles(self) -> list[str]:
        """What needs an operator's attention beside the sinks, as sentences."""
        desk, others = self._desk, (self._arming, self._switches)
        reports = {} if desk is None else desk.troubles
        said = [f"report {name} cannot be made: {why}" for name, why in reports.items()]
        return said + [one.trouble for one in others if one is not None and one.trouble]

    def _refused(self, sink: str) -> int:
        try:
            return self._store.undelivered_counts().get(sink, 0)
        except StoreError:
            return 0  # whoever delivers reports it

    def _lanes(self, deployment: Deployment, proof: LeaseProof) -> list[SinkLane]:
        """Lanes for all sinks and sequences of a deployment, or of a part of it."""
        context, history = self._context, self._history
        store, clock, metrics = self._store, context.clock, context.metrics
        lanes: list[SinkLane] = []
        if history is not None:  # first: what they find is delivered too
            lanes += [
                lane_of(name, deployment, store, history, clock, metrics, proof)
                for name in deployment.sequences
            ]
        site = self._site.state if self._site is not None else None
        lanes += [
            SinkLane(route, sink, store, clock, metrics, proof, site, self._is_recording)
            for route, sink in routes_of(deployment, store, clock)
        ]
        return lanes

    def _is_recording(self, camera: str) -> bool:
        """Whether a camera is a recording by the file as it is now."""
        config = self._context.deployment.cameras.get(camera)
        return config is not None and config.source.is_recording

    def _begin(self, proof: LeaseProof) -> None:
        clock: Clock = self._context.clock
        now = clock.monotonic()
        if now < self._retry_at:
            return
        context = self._context
        if self._history is not None:
            self._today = TodaysNumbers(
                context.deployment, self._history, context.metrics, context.clock
            )
            self._site = SiteWatch(
                context.deployment,
                self._store,
                self._history,
                self._today,
                self._reports,
                context.clock,
            )
        lanes = self._lanes(context.deployment, proof)
        delivery = Delivery(lanes, self._store, clock, lambda: self._lease.holds(proof))
        try:
            delivery.start()
        except StoreError as error:
            self._retry_at = now + _STORE_RETRY_S
            self._say(logging.ERROR, f"store is not responding; retrying: {error}")
            self._end_today()
            return
        self._delivery, self._proof = delivery, proof
        if self._history is not None:
            self._desk = ReportDesk(
                self._context.deployment,
                self._store,
                self._history,
                clock,
                proof,
                lambda: self._lease.holds(proof),
                self._audits,
            )
            self._desk.use(self._context.deployment)
        self._arming = ArmingDesk(
            self._context.deployment, self._store, clock, proof, lambda: self._lease.holds(proof)
        )
        self._arming.use(self._context.deployment)
        self._switches = SwitchDesk(self._store, clock, proof, lambda: self._lease.holds(proof))
        self._switches.use(self._context.deployment)
        self._context.metrics.delivering.set(1)
        self._say(logging.INFO, "delivering")

    def _release(self, delivery: Delivery) -> None:
        self._say(logging.WARNING, "the delivery lease was lost; closing the sinks")
        self._delivery, self._proof = None, None
        desk, self._desk = self._desk, None
        if desk is not None:
            desk.stop(0.0)
        arming, self._arming = self._arming, None
        if arming is not None:
            arming.stop(0.0)
        switches, self._switches = self._switches, None
        if switches is not None:
            switches.stop(0.0)
        delivery.stop(_LET_GO_S)
        self._context.metrics.delivering.set(0)
        self._end_today()
        for lane in delivery.status():
            self._context.metrics.sink_behind.labels(lane.sink).set(0)

    def _end_today(self) -> None:
        """The numbers of today are another's to show."""
        if self._today is not None:
            self._today.forget()
        self._today = self._site = None

    def _say(self, level: int, sentence: str) -> None:
        """Log a sentence, once until it changes."""
        if sentence != self._said:
            logger.log(level, "%s", sentence)
        self._said = sentence


def introduce_sinks(deployment: Deployment, store: Store) -> None:
    """Register these sinks before anything is stored for them; raises StoreError.

    Removing sinks that are no longer in the file is left to the process that delivers.
    """
    oldest = [name for name, config in deployment.sinks.items() if config.from_beginning]
    known = [*deployment.sinks, *cursors_of(deployment)]
    store.register_sinks(known, oldest, dismiss_others=False)


def _seen_by_all(deployment: Deployment) -> tuple[object, ...]:
    """What every sink is built with: names and times of the cameras' sites, where media are."""
    return (
        deployment.site.name,
        deployment.site.timezone,
        deployment.site_names(),
        deployment.site_timezones(),
        deployment.store,
        deployment.web,
    )
