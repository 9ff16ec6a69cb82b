"""The gate: who may ask, how much, and what became of it.

Everything is decided from memory, in microseconds, so that the event loop never waits for the
store. A thread follows the store: keys that were made, changed or revoked, and what all servers
together took of the limits of a day. Requests a second and requests at once are counted in each
process.
"""

import asyncio
import ipaddress
import logging
import math
import threading
import uuid
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol, Self

from pipeline.core.accounts import (
    DAY_S,
    AccountStore,
    DaySpent,
    KeyLimits,
    KeyRecord,
    KeyScope,
    LedgerEntry,
    RequestOutcome,
    UsageQuestion,
    UsageSum,
    day_of,
)
from pipeline.core.clock import Clock
from pipeline.core.errors import StoreError
from pipeline.core.local_time import local_time
from pipeline.server.errors import ApiError
from pipeline.server.keys import LOCAL, KeyFaultError, fits, key_id
from pipeline.server.ledger import Ledger
from pipeline.server.prices import PricesConfig

logger = logging.getLogger(__name__)

FOLLOW_EVERY_S: Final = 1.0
_READ_ALL_EVERY_S = 30.0
_SAY_USED_EVERY_S = 60.0
_SAY_REFUSED_EVERY_S = 60.0
_STOP_S = 15.0
# Failed log-ins of one address: ten at once, then one in six seconds.
_FAILURES, _FAILURE_EVERY_S = 10, 6.0
_MOST_ADDRESSES = 4096
# Asked again after this time, a place may have become free.
_BUSY_AGAIN_S = 1.0


class CallCosts(Protocol):
    """What a call took, as `pipeline.inference.callers.CallFacts` has it."""

    @property
    def crops(self) -> int:
        """Parts of its picture that were encoded."""
        ...

    @property
    def image_tokens(self) -> int:
        """Tokens of its picture."""
        ...

    @property
    def prompt_tokens(self) -> int:
        """Tokens of its prompt, its picture's included."""
        ...

    @property
    def completion_tokens(self) -> int:
        """Tokens of its answer, reasoning included."""
        ...

    @property
    def reasoning_tokens(self) -> int:
        """Tokens of its reasoning."""
        ...

    @property
    def queued_ms(self) -> float:
        """Waiting for a place in the batch."""
        ...

    @property
    def prefill_ms(self) -> float:
        """Until the first token."""
        ...

    @property
    def decode_ms(self) -> float:
        """From then on."""
        ...


@dataclass(slots=True)
class _Standing:
    """What the requests of one name take at the moment, in this process."""

    tokens: float
    """Requests that may come at once."""
    at: float
    running: int = 0


class KeyGate:
    """Lets requests in by their key and its limits; usable from any thread."""

    def __init__(
        self,
        accounts: AccountStore,
        ledger: Ledger,
        clock: Clock,
        *,
        prices: PricesConfig | None = None,
        wants_keys: bool = True,
    ) -> None:
        """Reads keys and what was spent, so that limits hold from the first request on; raises
        StoreError. Without `wants_keys` everybody may do everything, under the name `local`.
        """
        self.ledger = ledger
        self.prices = prices or PricesConfig()
        self.wants_keys = wants_keys
        self.let_in: Counter[str] = Counter()
        """Requests that were let in, by the key's name."""
        self.refused: Counter[str] = Counter()
        """Requests that were not, by reason."""
        self.trouble: str | None = None
        """Why keys and limits may be out of date; None if all is well."""
        self._accounts = accounts
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: Mapping[str, KeyRecord] = {}
        self._version = -1
        self._read_all_at = self._said_used_at = float("-inf")
        self._said_refused_at = clock.monotonic()
        self._standing: dict[str, _Standing] = {}
        self._stored: dict[tuple[str, int], DaySpent] = {}
        self._sending: dict[tuple[str, int], DaySpent] = {}
        self._pending: dict[tuple[str, int], DaySpent] = {}
        self._used: dict[str, float] = {}
        self._failures: OrderedDict[str, _Standing] = OrderedDict()
        self._unsaid: Counter[str] = Counter()
        self._told: tuple[Counter[str], int, int] = (Counter(), 0, 0)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._follow()

    def start(self) -> None:
        """Follow the store from now on; without it, `follow` does it once."""
        self._thread = threading.Thread(target=self._run, name="keys", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Tell the store what was spent; safe to call twice."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_STOP_S)
            self._thread = None
        self._said_used_at = float("-inf")
        self.follow()

    def identify(
        self,
        authorization: str | None,
        moondream_auth: str | None,
        *,
        client_host: str,
        scope: KeyScope = KeyScope.SERVE,
    ) -> KeyRecord:
        """Whose key this is, if it opens `scope`; takes nothing of its limits. Raises ApiError."""
        if not self.wants_keys:
            return _ANYBODY
        try:
            key = self._known(authorization, moondream_auth)
        except ApiError:
            self._slow_down(client_host)
            raise
        if scope not in key.scopes and KeyScope.ADMIN not in key.scopes:
            self._refuse("scope", client_host)
            raise ApiError(
                403,
                f"the key {key.name} does not open this; it needs the scope {scope.value}",
                "permission_error",
                code="insufficient_permissions",
                should_retry=False,
            )
        return key

    def enter(
        self,
        authorization: str | None,
        moondream_auth: str | None,
        *,
        pictures: int,
        client_host: str,
        scope: KeyScope = KeyScope.SERVE,
        is_noted: bool = True,
    ) -> "GatePass":
        """Let a request in and take its place; `async with` frees that. Raises ApiError.

        What asks nothing of the model need not be `is_noted` in the ledger.
        """
        key = self.identify(authorization, moondream_auth, client_host=client_host, scope=scope)
        now, monotonic = self._clock.now(), self._clock.monotonic()
        day = day_of(now)
        with self._lock:
            standing = self._standing_of(key, monotonic)
            try:
                self._check_running(key, standing)
                self._check_rate(key, standing)
                self._check_day(key, pictures, now)
            except ApiError as error:
                error.also = self._headers(key, standing, now)
                raise
            if key.limits.requests_per_second is not None:
                standing.tokens -= 1
            standing.running += 1
            self._add(key.name, day, DaySpent(pictures=pictures))
            self.let_in[key.name] += 1
            self._used[key.id] = now
            headers = self._headers(key, standing, now)
        return GatePass(self, key, self._clock, pictures, now, headers, is_noted=is_noted)

    @property
    def remarks(self) -> Sequence[str]:
        """What is wrong with keys and accounts, as a stranger may know it."""
        state = self.ledger.state
        said = {
            "keys and limits are as they were last known": self.trouble is not None,
            "requests wait to be written to the accounts": state.waiting + state.spooled > 0
            and state.trouble is not None,
            "requests are missing in the accounts": state.lost > 0,
        }
        return [remark for remark, is_so in said.items() if is_so]

    def usage(self, question: UsageQuestion) -> Sequence[UsageSum]:
        """Accounts added up, which may take a moment. Raises StoreError."""
        return self._accounts.usage(question)

    def news(self) -> tuple[Counter[str], int, int]:
        """What was refused, by reason, written down and lost since this was asked last."""
        state = self.ledger.state
        with self._lock:
            now = (Counter(self.refused), state.written, state.lost)
            before, self._told = self._told, now
        return now[0] - before[0], now[1] - before[1], now[2] - before[2]

    def leave(self, name: str) -> None:
        """For passes: free a place."""
        with self._lock:
            standing = self._standing.get(name)
            if standing is not None:
                standing.running = max(0, standing.running - 1)

    def settle(self, name: str, day: int, spent: DaySpent) -> None:
        """For passes: what a request took beside its place, or gives back."""
        with self._lock:
            self._add(name, day, spent)

    def spent(self, name: str, day: int) -> DaySpent:
        """What was taken of a day's limits, by all servers as far as is known."""
        with self._lock:
            return self._spent(name, day)

    def follow(self) -> None:
        """Exchange what changed with the store; what fails is said and tried again."""
        try:
            self._follow()
        except StoreError as error:
            trouble = f"keys and limits are as they were last known: {error}"
            if self.trouble is None:
                logger.error("%s", trouble)  # noqa: TRY400 - a state that lasts
            self.trouble = trouble
        else:
            if self.trouble is not None:
                logger.info("keys and limits are followed again")
            self.trouble = None
        self._say_refused()

    def _run(self) -> None:
        while not self._stop.wait(FOLLOW_EVERY_S):
            try:
                self.follow()
            except Exception:  # revoked keys would open this server for ever
                logger.exception("keys could not be followed; it is tried again")

    def _follow(self) -> None:
        monotonic = self._clock.monotonic()
        version = self._accounts.keys_version()
        # Now and then anyway: another file may have been put in the place of the store.
        if version != self._version or monotonic - self._read_all_at >= _READ_ALL_EVERY_S:
            self._keys = {key.id: key for key in self._accounts.keys()}  # noqa: SIM118
            self._version, self._read_all_at = version, monotonic
        self._exchange_spent()
        if self._used and monotonic - self._said_used_at >= _SAY_USED_EVERY_S:
            with self._lock:
                used, self._used = self._used, {}
            try:
                self._accounts.used({key: at for key, at in used.items() if key})
            except StoreError:
                with self._lock:
                    self._used = {**used, **self._used}
                raise
            self._said_used_at = monotonic
        self._forget_idle()

    def _exchange_spent(self) -> None:
        since = day_of(self._clock.now()) - 1
        with self._lock:
            self._sending, self._pending = self._pending, {}
        more = {place: spent for place, spent in self._sending.items() if spent != DaySpent()}
        try:
            stored = dict(self._accounts.spend(more, since))
        except StoreError:
            with self._lock:
                for (name, day), spent in self._sending.items():
                    self._add(name, day, spent)
                self._sending = {}
            raise
        with self._lock:
            self._stored, self._sending = stored, {}

    def _forget_idle(self) -> None:
        """Drop what only old keys or past failures need, so that memory is bounded."""
        monotonic = self._clock.monotonic()
        names = {key.name for key in self._keys.values()} | {LOCAL}
        with self._lock:
            for name, standing in list(self._standing.items()):
                if name not in names and not standing.running:
                    del self._standing[name]
            while self._failures:
                host, failures = next(iter(self._failures.items()))
                if monotonic - failures.at < _FAILURES * _FAILURE_EVERY_S:
                    break
                del self._failures[host]

    def _known(self, authorization: str | None, moondream_auth: str | None) -> KeyRecord:
        """The first key that opens anything; what is wrong with the first one otherwise."""
        faults = []
        for text in _presented(authorization, moondream_auth):
            try:
                key = self._keys.get(key_id(text))
            except KeyFaultError as error:
                faults.append(str(error))
                continue
            if not fits(text, key) or key is None:
                faults.append("this key is not known here; ask for another one")
            elif not key.is_valid(self._clock.now()):
                faults.append(_ended(key))
            else:
                return key
        raise ApiError(
            401,
            faults[0] if faults else _NO_KEY,
            "authentication_error",
            code="invalid_api_key",
            should_retry=False,
            also={"www-authenticate": "Bearer"},
        )

    def _slow_down(self, client_host: str) -> None:
        """Answer an address that fails again and again less and less often; raises ApiError.

        Only failures are held back: somebody behind the same proxy with a valid key is let in.
        """
        self._refuse("key", client_host)
        host, now = _network(client_host), self._clock.monotonic()
        with self._lock:
            failures = self._failures.pop(host, None) or _Standing(_FAILURES, now)
            refilled = failures.tokens + (now - failures.at) / _FAILURE_EVERY_S
            failures.tokens, failures.at = min(float(_FAILURES), refilled), now
            is_over = failures.tokens < 1
            if not is_over:
                failures.tokens -= 1
            self._failures[host] = failures
            while len(self._failures) > _MOST_ADDRESSES:
                self._failures.popitem(last=False)
            wait_s = (1 - failures.tokens) * _FAILURE_EVERY_S
        if is_over:
            raise ApiError(
                429,
                "too many requests from this address had no valid key; check the key",
                "rate_limit_error",
                code="rate_limit_exceeded",
                retry_after_s=wait_s,
                should_retry=False,
            )

    def _refuse(self, reason: str, client_host: str = "") -> None:
        with self._lock:
            self.refused[reason] += 1
            if client_host and (client_host in self._unsaid or len(self._unsaid) < _MOST_ADDRESSES):
                self._unsaid[client_host] += 1

    def _say_refused(self) -> None:
        now = self._clock.monotonic()
        if not self._unsaid or now - self._said_refused_at < _SAY_REFUSED_EVERY_S:
            return
        with self._lock:
            unsaid, self._unsaid = self._unsaid, Counter()
        self._said_refused_at = now
        host, most = unsaid.most_common(1)[0]
        logger.warning(
            "%d requests had no key that opens what they asked for, from %d addresses; most, %d, "
            "from %s",
            unsaid.total(),
            len(unsaid),
            most,
            _shown(host),
        )

    def _standing_of(self, key: KeyRecord, now: float) -> _Standing:
        burst = _burst(key.limits)
        standing = self._standing.setdefault(key.name, _Standing(burst, now))
        rate = key.limits.requests_per_second
        if rate is not None:
            standing.tokens = min(burst, standing.tokens + max(0.0, now - standing.at) * rate)
        standing.at = now
        return standing

    def _check_running(self, key: KeyRecord, standing: _Standing) -> None:
        most = key.limits.at_once
        if most is not None and standing.running >= most:
            self.refused["at_once"] += 1
            raise ApiError(
                429,
                f"the key {key.name} may have {most} requests at once, and so many are running",
                "rate_limit_error",
                code="rate_limit_exceeded",
                retry_after_s=_BUSY_AGAIN_S,
                should_retry=True,
            )

    def _check_rate(self, key: KeyRecord, standing: _Standing) -> None:
        rate = key.limits.requests_per_second
        if rate is not None and standing.tokens < 1:
            self.refused["rate"] += 1
            wait_s = (1 - standing.tokens) / rate
            raise ApiError(
                429,
                f"the key {key.name} may make {rate:g} requests a second; wait {_short(wait_s)}",
                "rate_limit_error",
                code="rate_limit_exceeded",
                retry_after_s=wait_s,
                should_retry=True,
            )

    def _check_day(self, key: KeyRecord, pictures: int, now: float) -> None:
        spent = self._spent(key.name, day_of(now))
        limits = key.limits
        over = None
        most = limits.pictures_per_day
        if most is not None and pictures and spent.pictures + pictures > most:
            over = f"{most} pictures a day, and {spent.pictures} are used"
        if limits.tokens_per_day is not None and spent.tokens >= limits.tokens_per_day:
            over = f"{limits.tokens_per_day} tokens a day, and {spent.tokens} are used"
        if over is not None:
            self.refused["day"] += 1
            raise ApiError(
                429,
                f"the key {key.name} may use {over}; a new day begins at 00:00 UTC",
                "insufficient_quota",
                code="insufficient_quota",
                retry_after_s=_until_tomorrow(now),
                should_retry=False,
            )

    def _headers(self, key: KeyRecord, standing: _Standing, now: float) -> dict[str, str]:
        """How much is left, as OpenAI's server says it."""
        said: dict[str, str] = {}
        limits = key.limits
        if limits.requests_per_second is not None:
            missing = _burst(limits) - standing.tokens
            said |= _left(
                "requests",
                int(_burst(limits)),
                int(standing.tokens),
                missing / limits.requests_per_second,
            )
        spent = self._spent(key.name, day_of(now))
        if limits.tokens_per_day is not None:
            left = limits.tokens_per_day - spent.tokens
            said |= _left("tokens", limits.tokens_per_day, left, _until_tomorrow(now))
        if limits.pictures_per_day is not None:
            left = limits.pictures_per_day - spent.pictures
            said |= _left("pictures", limits.pictures_per_day, left, _until_tomorrow(now))
        return said

    def _add(self, name: str, day: int, spent: DaySpent) -> None:
        place = (name, day)
        self._pending[place] = self._pending.get(place, DaySpent()).plus(spent)

    def _spent(self, name: str, day: int) -> DaySpent:
        place, none = (name, day), DaySpent()
        parts = (self._stored, self._sending, self._pending)
        total = none
        for part in parts:
            total = total.plus(part.get(place, none))
        return DaySpent(max(0, total.pictures), max(0, total.tokens))


class GatePass:
    """A request that was let in. `async with` frees its place; `finish` writes it down, once."""

    def __init__(
        self,
        gate: KeyGate,
        key: KeyRecord,
        clock: Clock,
        pictures: int,
        at: float,
        headers: Mapping[str, str],
        *,
        is_noted: bool = True,
    ) -> None:
        self.key = key
        self.entry: LedgerEntry | None = None
        """What was written down of it; None until it is finished."""
        self._gate = gate
        self._clock = clock
        self._pictures = pictures
        self._day = day_of(at)
        self._at = at
        self._since = clock.monotonic()
        self._headers = headers
        self._is_inside = True
        self._is_noted = is_noted

    @property
    def key_name(self) -> str:
        """Whose request it is, for accounts, metrics and turns."""
        return self.key.name

    def headers(self) -> Mapping[str, str]:
        """What is left of the key's limits, as headers `x-ratelimit-...`."""
        return self._headers

    def finish(
        self,
        *,
        request_id: str,
        skill: str,
        model: str,
        status: int = 200,
        error: str = "",
        is_cancelled: bool = False,
        bytes_in: int = 0,
        costs: CallCosts | None = None,
    ) -> LedgerEntry:
        """Write the request down at its end; only the first call counts, and none ever waits.

        What failed costs nothing, and gives its pictures back to the limits. So does what was
        cancelled before the model began with it; after that, the picture counts, and the tokens of
        the prompt and those that were generated.
        """
        if self.entry is not None:
            return self.entry
        outcome = RequestOutcome.DONE
        if is_cancelled:
            outcome, status = RequestOutcome.CANCELLED, 499
        elif status >= 400:
            outcome = RequestOutcome.FAILED
        queued_ms = 0.0 if costs is None else costs.queued_ms
        if is_cancelled and costs is not None and not costs.prefill_ms:
            costs = None  # what it would have taken
        is_billed = outcome is RequestOutcome.DONE or (is_cancelled and costs is not None)
        pictures = self._pictures if is_billed else 0
        crops, image_tokens, prompt_tokens, completion_tokens, reasoning_tokens = (
            (0, 0, 0, 0, 0)
            if costs is None
            else (
                costs.crops,
                costs.image_tokens,
                costs.prompt_tokens,
                costs.completion_tokens,
                costs.reasoning_tokens,
            )
        )
        prices = self._gate.prices
        cost = tokens = 0
        if is_billed:
            tokens = prompt_tokens + completion_tokens
            cost = prices.cost(pictures, image_tokens, prompt_tokens, completion_tokens)
        self.entry = LedgerEntry(
            id=_new_id(self._at),
            at=self._at,
            request_id=request_id,
            key_id=self.key.id,
            key_name=self.key.name,
            skill=skill,
            model=model,
            outcome=outcome,
            status=status,
            error=error,
            pictures=pictures,
            crops=crops,
            image_tokens=image_tokens,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            reasoning_tokens=reasoning_tokens,
            bytes_in=bytes_in,
            queued_ms=queued_ms,
            prefill_ms=0.0 if costs is None else costs.prefill_ms,
            decode_ms=0.0 if costs is None else costs.decode_ms,
            seconds=self._clock.monotonic() - self._since,
            cost=cost,
            currency=prices.currency if prices.is_paid else "",
        )
        # The day it was let in on: what was taken then is given back there.
        self._gate.settle(self.key.name, self._day, DaySpent(pictures - self._pictures, tokens))
        self._gate.ledger.note(self.entry)
        return self.entry

    def release(self) -> None:
        """Free the place; safe to call twice."""
        if self._is_inside:
            self._is_inside = False
            self._gate.leave(self.key.name)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
        if self.entry is None and self._is_noted:
            # Whoever forgot to finish it: it was a request all the same.
            status = error.status if isinstance(error, ApiError) else 500
            code = error.code or "" if isinstance(error, ApiError) else ""
            self.finish(
                request_id="",
                skill="",
                model="",
                status=status if error is not None else 200,
                error=code,
                is_cancelled=isinstance(error, asyncio.CancelledError),
            )


_NO_KEY = "a key is needed: send `Authorization: Bearer KEY`, or `X-Moondream-Auth: KEY`"
_ANYBODY = KeyRecord(id="", name=LOCAL, digest="", scopes=(KeyScope.ADMIN,))


def _presented(authorization: str | None, moondream_auth: str | None) -> Iterator[str]:
    """The keys in the two headers, each once."""
    first = None
    scheme, _, rest = (authorization or "").strip().partition(" ")
    if scheme.lower() == "bearer" and rest.strip():
        first = rest.strip()
        yield first
    other = (moondream_auth or "").strip()
    if other and other != first:
        yield other


def _ended(key: KeyRecord) -> str:
    if key.revoked_at is not None:
        return f"the key {key.name} was revoked; ask for another one"
    assert key.expires_at is not None
    return f"the key {key.name} expired at {local_time(key.expires_at, 'UTC')}; ask for another one"


def _network(host: str) -> str:
    """What one sender can easily change is one: a network of IPv6 has as many as one likes."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host[:64]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
    return str(address)


def _shown(host: str) -> str:
    return host[:64] if host.isprintable() else ascii(host[:64])


def _burst(limits: KeyLimits) -> float:
    if limits.burst is not None:
        return float(limits.burst)
    return float(max(1, math.ceil(limits.requests_per_second or 1)))


def _left(what: str, limit: int, left: int, reset_s: float) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{what}": str(limit),
        f"x-ratelimit-remaining-{what}": str(max(0, left)),
        f"x-ratelimit-reset-{what}": _short(reset_s),
    }


def _short(seconds: float) -> str:
    """As OpenAI writes it: `120ms`, `1s`, `6m0s`, `1h2m3s`."""
    if seconds < 1:
        return f"{max(0, math.ceil(seconds * 1000))}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    said = f"{hours}h" if hours else ""
    said += f"{minutes}m" if hours or minutes else ""
    return f"{said}{rest}s"


def _until_tomorrow(now: float) -> float:
    return DAY_S - now % DAY_S


def _new_id(at: float) -> str:
    """Unique, and in the order of time: that keeps an index of millions small."""
    return f"{max(0, int(at * 1000)):012x}{uuid.uuid4().hex[:20]}"
