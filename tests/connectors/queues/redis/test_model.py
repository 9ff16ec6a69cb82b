"""Whatever is called in whatever order, and whatever breaks, Redis holds what it should."""

import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from pipeline.core.errors import LeaseLostError
from pipeline.core.frames import Frame
from pipeline.core.jobs import Job, result_of
from pipeline.core.queues import Claim, Delivered
from pipeline.testing import grey_pixels
from tests.connectors.queues.redis import spec as spec
from tests.connectors.queues.redis.node import Node, View, done
from tests.connectors.queues.redis.spec import Held
from tests.connectors.queues.redis.state import Key, Lane, Pictures, State, read
from tests.connectors.queues.redis.tools import A_WHILE, expire_all
from tests.contracts.queue_tools import TASKS
from tests.redis_server import Redis, leaks, shared

pytestmark = pytest.mark.redis

T = TypeVar("T")

LIVE = {"live": True, "file": False}
ENGINES = ("fast", "slow")
# A worker that answers late does so with one of these.
REMEMBERED = 12
_SETTINGS = settings(
    max_examples=60,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    # Shrinking takes minutes; whoever has a failure to look into may add it.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
_node = st.integers(0, 1)
_engine = st.sampled_from(ENGINES)
_camera = st.sampled_from(sorted(LIVE))
_back = st.integers(1, 2)
_limit = st.integers(1, 8)
_which = st.lists(st.integers(0, REMEMBERED - 1), min_size=1, max_size=4)
# What may happen, how often, and to whom. It is one rule, because of several some are left out.
_CALLS: dict[str, tuple[int, dict[str, st.SearchStrategy[Any]]]] = {
    "put": (5, {"node": _node, "camera": _camera, "engine": _engine}),
    "put_again": (5, {"node": _node, "camera": _camera, "engine": _engine, "back": _back}),
    "claim": (4, {"node": _node, "engine": _engine, "limit": _limit}),
    "answer": (3, {"node": _node, "which": _which, "keep": _camera}),
    "work": (4, {"node": _node, "engine": _engine}),
    "take": (3, {"node": _node, "limit": _limit}),
    "acknowledge": (4, {"node": _node, "which": _which}),
    "judge": (4, {"node": _node}),
    "expire": (3, {}),
    "hand_over": (1, {"number": st.integers(0, spec.PARTITIONS - 1), "to": _node}),
    "judge_letter": (1, {"node": _node, "which": st.integers(0, 1), "drop": st.booleans()}),
    "look": (2, {"node": _node}),
    "forget_scripts": (1, {}),
    "hang_up": (1, {}),
    "lose_an_answer": (1, {"node": _node, "lost_in": st.integers(1, 2)}),
}
_call = st.sampled_from(
    [name for name, (times, _) in _CALLS.items() for _ in range(times)]
).flatmap(lambda name: st.tuples(st.just(name), st.fixed_dictionaries(_CALLS[name][1])))


class Machine(RuleBasedStateMachine):
    """Two processes on one Redis, whose state is compared after every step."""

    def __init__(self, server: Redis) -> None:
        super().__init__()
        self.server = server
        self.prefix = f"test-{uuid.uuid4().hex[:12]}"
        self.nodes = [Node(number, server, self.prefix) for number in range(2)]
        self.state, self.pictures = self.read()
        self.frames: dict[tuple[str, int], Frame] = {}
        self.ordinals: dict[tuple[str, str], int] = {}
        self.held: list[tuple[Claim, Held]] = []
        self.ended: set[tuple[Lane, str]] = set()

    @initialize()
    def own(self) -> None:
        """The first node owns all results."""
        for number in range(spec.PARTITIONS):
            self._acquire(self.nodes[0], number)
        self.nodes[0].look()

    @rule(call=_call)
    def call(self, call: tuple[str, dict[str, Any]]) -> None:
        """One of the processes does something, or something happens to them."""
        name, given = call
        getattr(self, name)(**given)

    def put(self, node: int, camera: str, engine: str) -> None:
        """A sampler puts its camera's next job."""
        following = self.ordinals.get((engine, camera), 0)
        self._put(node, (engine, camera, following))
        if (engine, camera, following) in self.state.flight:
            self.ordinals[engine, camera] = following + 1

    def put_again(self, node: int, camera: str, engine: str, back: int) -> None:
        """A file is played again, or a sampler is unsure whether it was heard."""
        key = (engine, camera, self.ordinals.get((engine, camera), 0) - back)
        if key[2] >= 0 and (not LIVE[camera] or key in self.state.flight):
            self._put(node, key)

    def _put(self, node: int, key: Key) -> None:
        job = self._job(*key)
        expected, accepted, dropped = spec.put(self.state, key, live=job.live)
        work = partial(self.nodes[node].queues.jobs.put, job, 0)
        receipt, lost = self._step(node, work, expected)
        if not lost:
            assert receipt is not None
            assert receipt.accepted == accepted
            assert [one.ordinal for one in receipt.dropped] == dropped

    def claim(self, node: int, engine: str, limit: int) -> None:
        """A worker takes jobs: the oldest first, and those whose lease has ended."""
        before = self.state
        claims, lost = self.nodes[node].call(
            lambda: self.nodes[node].queues.jobs.claim(engine, limit, 0)
        )
        self.state, self.pictures = self.read()
        if lost and self.state == before:
            assert not claims
            return
        count = spec.check_claimed(before, self.state, engine, limit, ended=self.ended)
        if lost:
            assert not claims
            return
        assert claims is not None
        assert len({claim.id for claim in claims}) == count == len(claims)
        for claim in claims:
            held = _held(claim)
            (entry,) = (one for one in self.state.lane(held.lane) if one.id == held.entry)
            assert (entry.key, entry.deliveries) == (held.key, claim.attempts)
            self.held.append((claim, held))
        self.held = self.held[-REMEMBERED:]

    def answer(self, node: int, which: list[int], keep: str) -> None:
        """A worker answers what it holds, in time, late, or once more."""
        if not self.held:
            return
        chosen = [self.held[n % len(self.held)] for n in dict.fromkeys(which)]
        claims = [claim for claim, _ in chosen]
        results = [result_of(claim.job, {}) for claim in claims]
        expected, done = spec.answer(self.state, [held for _, held in chosen])
        work = partial(self.nodes[node].queues.jobs.answer, claims, results, 0, {keep})
        reply, lost = self._step(node, work, expected)
        assert reply == (done and not lost)

    def work(self, node: int, engine: str) -> None:
        """A worker that keeps up."""
        self.held = []
        self.claim(node, engine, 8)
        for n in range(len(self.held)):
            self.answer(node, [n], "file")

    def judge(self, node: int) -> None:
        """A processor that keeps up."""
        while self.take(node, 8):
            self.acknowledge(node, list(range(REMEMBERED)))

    def expire(self) -> None:
        """All workers take too long, or have died."""
        expire_all(self.server.client, self.prefix)
        self.ended = {
            (lane, one.id)
            for lane, jobs in self.state.lanes.items()
            for one in jobs
            if one.deliveries
        }

    def take(self, node: int, limit: int) -> int:
        """A processor takes its results, all of them sooner or later and none twice."""
        one, before = self.nodes[node], self.state
        taken, lost = one.call(lambda: one.view.results.take(limit, 0))
        self.state, self.pictures = self.read()
        self._check_paid(one.view, before, lost=lost)
        assert taken is not None
        assert len(taken) <= limit
        places = {_place(delivered) for delivered in taken}
        for number in range(spec.PARTITIONS):
            for entry in self.state.partition(number):
                if (number, entry.id) in places:
                    assert number in one.view.numbers
                    assert entry.deliveries > 0
        assert places.isdisjoint(one.view.seen)
        one.view.held = [*one.view.held, *taken][-REMEMBERED:]
        one.view.seen |= places
        if not lost and not taken:
            for number in one.view.numbers:
                there = {(number, entry.id) for entry in self.state.partition(number)}
                assert there <= one.view.seen
        return len(taken)

    def acknowledge(self, node: int, which: list[int]) -> None:
        """A processor is done with results; it may say so twice."""
        one, before = self.nodes[node], self.state
        if not one.view.held:
            return
        told = [one.view.held[n % len(one.view.held)] for n in dict.fromkeys(which)]
        one.view.owed += told
        _, lost = one.call(partial(done, one.view.results.acknowledge, told))
        self.state, self.pictures = self.read()
        self._check_paid(one.view, before, lost=lost)

    def hand_over(self, number: int, to: int) -> None:
        """A partition has another owner; the last one can do nothing any more."""
        for one in self.nodes:
            if number in one.tokens:
                token = one.tokens.pop(number)
                one.surely(partial(done, one.queues.leases.release, number, token))
                self._check_fenced(one)
                one.look()
        self._acquire(self.nodes[to], number)
        self.nodes[to].look()

    def judge_letter(self, node: int, which: int, drop: bool) -> None:
        """An operator puts a dead letter back, or forgets it."""
        if not self.state.dead:
            return
        letter = self.state.dead[which % len(self.state.dead)]
        jobs = self.nodes[node].queues.jobs
        work = partial(jobs.drop if drop else jobs.retry, letter.id)
        self._step(node, work, spec.without_letter(self.state, letter, retried=not drop))

    def forget_scripts(self) -> None:
        """Redis was started again, or somebody flushed its scripts."""
        self.server.client.script_flush()

    def hang_up(self) -> None:
        """Every connection breaks."""
        self.server.client.client_kill_filter(_type="normal", skipme=True)

    def lose_an_answer(self, node: int, lost_in: int) -> None:
        """Redis does what it is told, and nobody hears of it."""
        self.nodes[node].lines.lost_in = lost_in

    @invariant()
    def references_are_those_of_jobs(self) -> None:
        """Each picture has as many as there are jobs and dead letters, and is there."""
        wanted, kept = self.state.references(), self.pictures.kept
        assert self.pictures.references == wanted
        assert set(wanted) <= set(kept)
        stay = {place for place, stays in kept.items() if stays}
        assert {place for place in wanted if not LIVE[place[0]]} <= stay <= set(wanted)

    def read(self) -> tuple[State, Pictures]:
        """What is in Redis now."""
        return read(self.server.client, self.prefix)

    def look(self, node: int) -> None:
        """Every key ends or is bounded, and what waits is told."""
        assert leaks(self.server.client, self.prefix) == []
        told = self.nodes[node].surely(self.nodes[node].queues.jobs.backlog)
        waiting = dict.fromkeys(told, 0)
        for engine, camera in self.state.lanes:
            waiting[engine] += len(self.state.waiting((engine, camera)))
        assert {engine: one.length for engine, one in told.items()} == waiting

    def teardown(self) -> None:
        """In the end every job is answered, and nothing is left."""
        try:
            for node in self.nodes:
                node.lines.lost_in = 0
            for number in range(spec.PARTITIONS):
                self.hand_over(number, 0)
            self.look(0)
            self._drain()
            for letter in self.state.dead:
                self.nodes[0].surely(partial(self.nodes[0].queues.jobs.drop, letter.id))
            self.state, self.pictures = self.read()
            assert self.state == State({}, {}, frozenset(), (), self.state.drops)
            self.references_are_those_of_jobs()
        finally:
            for node in self.nodes:
                node.queues.close()
            if keys := self.server.client.keys(f"{{{self.prefix}}}*"):
                self.server.client.delete(*keys)

    def _drain(self) -> None:
        for _ in range(200):
            if not (self.state.lanes or self.state.results):
                return
            self.expire()
            for engine in ENGINES:
                self.work(0, engine)
            self.judge(0)
        raise AssertionError(f"there is no end: {self.state}")

    def _step(self, node: int, work: Callable[[], T], expected: State) -> tuple[T | None, bool]:
        """What is expected happened; or nothing did, where the answer was lost."""
        before = self.state
        reply, lost = self.nodes[node].call(work)
        self.state, self.pictures = self.read()
        if not lost or self.state != before:
            assert self.state.unnamed() == expected.unnamed()
        return reply, lost

    def _check_paid(self, view: View, before: State, *, lost: bool) -> None:
        """What was acknowledged is forgotten; all of it, unless that was not heard."""
        expected = spec.forgotten(before, [_place(one) for one in view.owed])
        found, had = _undelivered(self.state), _undelivered(before)
        if not lost or found != had:
            assert found == _undelivered(expected)
        if not lost:
            view.owed = []

    def _check_fenced(self, node: Node) -> None:
        """A view whose token is old takes nothing and forgets nothing."""
        calls = [partial(done, node.view.results.take, 9, 0)]
        if node.view.held:
            calls.append(partial(done, node.view.results.acknowledge, node.view.held))
        for work in calls:
            with pytest.raises(LeaseLostError):
                node.surely(work)
        assert self.read()[0] == self.state

    def _acquire(self, node: Node, number: int) -> None:
        token = node.surely(partial(node.queues.leases.acquire, number, node.name, A_WHILE))
        assert token is not None
        node.tokens[number] = token

    def _job(self, engine: str, camera: str, ordinal: int) -> Job:
        """A job of a frame that both engines share."""
        frame = self.frames.get((camera, ordinal))
        if frame is None:
            pixels = grey_pixels((16, 16), level=ordinal % 200)
            frame = Frame(camera, "run", ordinal, 1_700_000_000.0 + ordinal, pixels, (16, 16))
            self.frames[camera, ordinal] = frame
        return Job(frame, engine, ordinal, TASKS[:1], LIVE[camera])


def _held(claim: Claim) -> Held:
    job, (_, entry, _) = claim.job, claim.id.split("|")
    key: Key = (job.engine, job.frame.camera, job.ordinal)
    return Held(key[:2], entry, key)


def _place(delivered: Delivered) -> tuple[int, str]:
    number, id_, _ = delivered.id.split("|")
    return int(number), id_


def _undelivered(state: State) -> Any:
    """A state without the deliveries of its results."""
    results = {n: [(one.id, one.key) for one in found] for n, found in state.results.items()}
    return state.lanes, results, state.flight, state.dead, state.drops


@pytest.fixture(name="server", scope="module")
def _server() -> Iterator[Redis]:
    yield from shared()


@pytest.mark.timeout(180)
def test_whatever_happens_redis_holds_what_it_should(server: Redis) -> None:
    """No job or result is lost or doubled, and nothing stays, over breaks and late answers."""

    class _OnServer(Machine):
        def __init__(self) -> None:
            super().__init__(server)

    run_state_machine_as_test(_OnServer, settings=_SETTINGS)
