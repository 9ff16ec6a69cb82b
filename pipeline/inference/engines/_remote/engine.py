"""The engine: pictures are encoded and asked about elsewhere, as many at a time as it may be.

One thread runs all requests. What a request waits for (its turn, the server, a retry) ends with
its frame's deadline.
"""

import asyncio
import base64
import itertools
import logging
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from pipeline.core.answers import Answer, Failed
from pipeline.core.clock import Clock, SystemClock
from pipeline.core.engines import Engine, EngineRequest, Ticket
from pipeline.core.errors import MoonwatchError
from pipeline.core.frames import Pixels
from pipeline.core.local_time import local_time
from pipeline.core.retrying import Backoff, Rests
from pipeline.core.spending import Allowance, BudgetSpent, Spending, SpendingHere
from pipeline.core.tasks import Task, subject_label
from pipeline.inference.engines._remote.breaker import Breaker
from pipeline.inference.engines._remote.forms import form_of
from pipeline.inference.engines._remote.reading import UnusableError, failed
from pipeline.inference.engines._remote.transport import Blame, RefusedError, Transport
from pipeline.inference.engines.remote import RemoteConfig
from pipeline.inference.line import RequestLine

logger = logging.getLogger(__name__)

# Between two attempts; a server that asks for more gets it, as long as the frame has the time.
_RESTS = Rests(first_s=0.5, longest_s=8.0)
# Requests that are taken from the line together; how many run is up to `concurrency`.
_AT_ONCE = 256
# The share of a frame's time after which it is given up here, so that what is said is why.
_OWN_SHARE = 0.95
# The share that is for this engine where another one can answer in its place.
_WITH_FALLBACK = 0.5


class RemoteEngine:
    """Asks a server elsewhere, and another engine where that fails."""

    def __init__(self, config: RemoteConfig, clock: Clock | None = None) -> None:
        """Nothing is connected before the first request; raises EngineError for unusable files."""
        self._config = config
        self._clock = clock or SystemClock()
        self._transport = Transport(config, self._clock)
        self._form = form_of(config)
        self._breaker = Breaker(self._clock)
        self._spending: Spending = SpendingHere()
        self._name, self._timezone = "", "UTC"
        self._fallback: tuple[str, Engine] | None = None
        self._owns_fallback = False
        self._counts: Counter[str] = Counter()
        self._spent_out: tuple[str, float] | None = None
        self._line = RequestLine(self._work, lambda: None, self._clock)
        # Its threads are started by its first picture.
        self._encoding = ThreadPoolExecutor(2, "pictures elsewhere")
        self._turns = asyncio.Semaphore(config.concurrency)

    @property
    def max_side(self) -> int:
        """Longest picture side in pixels that is sent."""
        return self._config.max_side

    @property
    def trouble(self) -> str | None:
        """Why it cannot be asked now, in a sentence; None while it can."""
        reason, spent_out = self._breaker.reason, self._spent_out
        if reason is not None:
            return f"{reason}; it is left alone and tried again once a minute or sooner"
        return spent_out[0] if spent_out and self._clock.now() < spent_out[1] else None

    @property
    def has_fallback(self) -> bool:
        """Whether another engine answers what this one cannot."""
        return self._fallback is not None

    @property
    def requests(self) -> Mapping[str, int]:
        """How many requests had which outcome: answered, refused, failed; and those repeated,
        spared by a server being left alone, or for which the budget had nothing left. Only grows.
        """
        return dict(self._counts)

    @property
    def stood_in(self) -> int:
        """How many tasks the fallback was asked instead. Only grows."""
        return self._counts["fallback"]

    def name_as(self, name: str, timezone: str, spending: Spending | None) -> None:
        """Count what is spent under a name, by the site's time, where workers share it.

        To be called before the first request.
        """
        self._name, self._timezone = name, timezone
        self._spending = spending or self._spending

    def fall_back_to(self, name: str, engine: Engine, *, owned: bool) -> None:
        """Ask another engine what this one cannot answer. To be called before the first request.

        An engine that is `owned` is closed with this one.
        """
        self._fallback, self._owns_fallback = (name, engine), owned

    def spent(self) -> Sequence[BudgetSpent]:
        """What is spent of its budget; raises QueueError or StoreError."""
        return self._spending.spent(self._name, self._allowances())

    def submit(self, request: EngineRequest) -> Ticket:
        """Put a request in line; returns at once."""
        return self._line.submit(request)

    def close(self) -> None:
        """Fail everything outstanding and let go of the connections. Safe to repeat."""
        self._line.close()
        if self._fallback is not None and self._owns_fallback:
            self._fallback[1].close()

    def _work(self) -> None:
        """Hand requests to the thread that runs them, until the line is closed."""
        loop = asyncio.new_event_loop()
        # No executor's thread: those would be waited for at the end of a process that fails.
        running = threading.Thread(target=loop.run_forever, name="requests elsewhere", daemon=True)
        running.start()
        at_work: set[asyncio.Task[None]] = set()

        def begin(tickets: Sequence[Ticket]) -> None:
            for ticket in tickets:
                going = loop.create_task(self._answer(ticket))
                at_work.add(going)
                going.add_done_callback(at_work.discard)
                # Settled by its deadline, or cancelled: nobody waits for it any more.
                ticket.add_done_callback(partial(_end, loop, going))

        async def finish() -> None:
            for going in at_work:
                going.cancel()
            await asyncio.gather(*at_work, return_exceptions=True)
            await self._transport.close()
            await loop.shutdown_asyncgens()
            await loop.shutdown_default_executor()

        try:
            while tickets := self._line.take(_AT_ONCE, 0.0):
                loop.call_soon_threadsafe(begin, tickets)
        finally:
            asyncio.run_coroutine_threadsafe(finish(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            running.join()
            loop.close()
            self._encoding.shutdown(wait=False)

    async def _answer(self, ticket: Ticket) -> None:
        asked, within_s = ticket.request, ticket.request.within_s
        own_s = None
        if within_s is not None:
            own_s = within_s * (_WITH_FALLBACK if self._fallback else _OWN_SHARE)
        began = self._clock.monotonic()
        limit = "" if own_s is None else f" within {own_s:g} s"
        answers: list[Answer] = [
            Failed(task.engine, f"{self._config.place} did not answer{limit}")
            for task in asked.tasks
        ]
        try:
            with suppress(TimeoutError):
                # A little later than each request, which says more about why.
                async with asyncio.timeout(None if own_s is None else own_s * 1.02):
                    await self._ask_here(asked, answers, began, own_s)
            if self._fallback is not None:
                left_s = None if within_s is None else began + within_s - self._clock.monotonic()
                await self._ask_there(asked, answers, left_s)
        except Exception as error:
            # Whatever it is, it must not leave the frame waiting for its deadline.
            logger.exception("engine %s failed on a picture", self._name or "remote")
            ticket.fail(f"{type(error).__name__} while asking {self._config.place}", batch=1)
        else:
            ticket.settle(answers)

    async def _ask_here(
        self, asked: EngineRequest, answers: list[Answer], began: float, own_s: float | None
    ) -> None:
        """Ask the server; answers are put in the places of their tasks as they come."""
        problem = _problem_with(asked.pixels)
        problems = [problem or self._problem_of(task) for task in asked.tasks]
        for number, (task, why) in enumerate(zip(asked.tasks, problems, strict=True)):
            if why is not None:
                answers[number] = Failed(task.engine, why)
        wanted = [number for number, why in enumerate(problems) if why is None]
        if not wanted:
            return
        why = self._left_alone() or await self._pay(1, "pictures")
        if why is not None:
            for number in wanted:
                answers[number] = Failed(asked.tasks[number].engine, why)
            return
        loop = asyncio.get_running_loop()
        picture = await loop.run_in_executor(self._encoding, _encoded, asked.pixels, self._config)
        due = None if own_s is None else began + own_s

        async def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
            return await self._post(path, body, due)

        async def one(number: int) -> None:
            task = asked.tasks[number]
            try:
                answers[number] = await self._form.ask(task, picture, post)
            except RefusedError as refusal:
                answers[number] = Failed(task.engine, str(refusal))
            except UnusableError as error:
                answers[number] = failed(task, self._config.place, error)

        await asyncio.gather(*map(one, wanted))

    async def _ask_there(
        self, asked: EngineRequest, answers: list[Answer], left_s: float | None
    ) -> None:
        """Ask the fallback what has failed here; its answers bear its name."""
        assert self._fallback is not None
        name, engine = self._fallback
        wanted = [n for n, answer in enumerate(answers) if isinstance(answer, Failed)]
        if not wanted or _problem_with(asked.pixels) is not None:
            return
        self._counts["fallback"] += len(wanted)
        tasks = [replace(asked.tasks[number], engine=name) for number in wanted]
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        ticket = engine.submit(EngineRequest(asked.pixels, tasks, left_s))

        def tell(_: Ticket) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(done.set)

        ticket.add_done_callback(tell)
        try:
            await done.wait()
        finally:
            ticket.cancel()
        for number, answer in zip(wanted, ticket.result(0.0), strict=True):
            before = answers[number]
            if isinstance(answer, Failed) and isinstance(before, Failed):
                why = f"{before.reason}; and {name}, in its place: {answer.reason}"
                answers[number] = Failed(before.engine, why)
            else:
                answers[number] = answer

    async def _post(self, path: str, body: dict[str, Any], due: float | None) -> dict[str, Any]:
        """What the server answers, after as many attempts as it takes; raises RefusedError."""
        backoff = Backoff(_RESTS)
        for attempt in itertools.count():
            async with self._turns:
                try:
                    read = await self._attempt(path, body, due)
                except RefusedError as refusal:
                    rest_s = backoff.next_s(refusal.after_s)
                    # Without time for an answer after it, another attempt is none.
                    has_time = due is None or self._clock.monotonic() + rest_s < due
                    is_last = attempt >= self._config.retries or self._breaker.is_on_trial
                    if not refusal.can_repeat or is_last or not has_time:
                        self._note(refusal)
                        raise
                else:
                    self._well()
                    return read
            self._counts["repeated"] += 1
            await asyncio.sleep(rest_s)
        raise AssertionError("attempts have no end of their own")

    async def _attempt(self, path: str, body: dict[str, Any], due: float | None) -> dict[str, Any]:
        if not self._breaker.may_ask():
            self._counts["spared"] += 1
            raise RefusedError(self._left_alone() or self._config.place, Blame.NOBODY)
        has_outcome = False
        try:
            if why := await self._pay(1, "requests"):
                raise RefusedError(why, Blame.NOBODY)
            try:
                within_s = None if due is None else due - self._clock.monotonic()
                read = await self._transport.post(path, body, within_s)
            except RefusedError as refusal:
                has_outcome = refusal.blame is not Blame.NOBODY
                self._counts["refused" if refusal.blame is Blame.REQUEST else "failed"] += 1
                raise
            has_outcome = True
        finally:
            if not has_outcome:
                self._breaker.given_up()
        self._counts["answered"] += 1
        return read

    def _note(self, refusal: RefusedError) -> None:
        """Learn from a request that failed for good what it says of the next one."""
        if refusal.blame is Blame.NOBODY:
            return
        if refusal.blame is Blame.REQUEST:
            self._well()
        elif self._breaker.failed(str(refusal), for_good=refusal.blame is Blame.SHUT):
            logger.warning("engine %s: %s", self._name or "remote", self.trouble)

    def _well(self) -> None:
        if self._breaker.answered():
            logger.info("engine %s: %s answers again", self._name or "remote", self._config.place)

    def _left_alone(self) -> str | None:
        """Why the server is not asked now."""
        if not self._breaker.is_resting:
            return None
        left_s = self._breaker.left_s()
        when = f"it is asked again in {left_s:.0f} s" if left_s else "it is being tried again"
        return f"{self._breaker.reason}; {when}"

    def _allowances(self) -> list[Allowance]:
        return self._config.allowances(self._clock.now(), self._timezone)

    async def _pay(self, amount: int, kind: str) -> str | None:
        """Take from the budget, if it counts this kind; why not, in a sentence, if it cannot."""
        budget = self._config.budget
        if budget is None or budget.of != kind:
            return None
        try:
            short = await asyncio.to_thread(
                self._spending.spend, self._name, amount, self._allowances()
            )
        except MoonwatchError as error:
            # What cannot be counted is not spent.
            return f"the budget cannot be counted: {error}"
        if short is None:
            self._spent_out = None
            return None
        until = local_time(short.ends_at, self._timezone)
        period = "an hour" if short.period == "hour" else "a day"
        said = f"the budget of {short.most} {kind} {period} is spent until {until}"
        self._counts["unpaid"] += 1
        if self._spent_out != (said, short.ends_at):
            logger.warning("engine %s: %s", self._name or "remote", said)
        self._spent_out = (said, short.ends_at)
        return said

    def _problem_of(self, task: Task) -> str | None:
        label = subject_label(task)
        if label is not None and not label.strip():
            return "there are no words to look for"
        return self._config.problem_with(task)


def build(config: RemoteConfig, clock: Clock | None) -> RemoteEngine:
    """The engine; raises EngineError."""
    return RemoteEngine(config, clock)


def _end(loop: asyncio.AbstractEventLoop, going: "asyncio.Task[None]", _: Ticket) -> None:
    with suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(going.cancel)


def _problem_with(pixels: Pixels) -> str | None:
    import numpy as np

    if pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8 and pixels.size:
        return None
    return (
        f"the picture cannot be used: expected (H, W, 3) uint8, got {pixels.shape} {pixels.dtype}"
    )


def _encoded(pixels: Pixels, config: RemoteConfig) -> str:
    """A picture as a data URI, no larger than wanted. It holds pixels and nothing else."""
    import cv2
    import numpy as np

    height, width = pixels.shape[:2]
    scale = config.max_side / max(height, width)
    if scale < 1.0:
        size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = np.asarray(cv2.resize(pixels, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
    settings = [cv2.IMWRITE_JPEG_QUALITY, config.quality] if config.encoding == "jpeg" else []
    suffix = ".jpg" if config.encoding == "jpeg" else ".png"
    _, encoded = cv2.imencode(suffix, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), settings)
    text = base64.b64encode(encoded.tobytes()).decode("ascii")
    return f"data:image/{config.encoding};base64,{text}"
