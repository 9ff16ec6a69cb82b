"""Keys, limits and the ledger of a server as one thing: opened, followed and closed together."""

import logging
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from connectors.stores import StoreConfig
from pipeline.core.clock import SET_SINCE, Clock
from pipeline.core.config import format_duration
from pipeline.core.errors import ConfigError, StoreError
from pipeline.server.ledger import Ledger
from pipeline.server.limits import KeyGate
from pipeline.server.place import data_folder
from pipeline.server.prices import LedgerConfig, PricesConfig

if TYPE_CHECKING:
    from connectors.stores.sql import SqlStore

logger = logging.getLogger(__name__)

LEDGER_AGED_UNTIL: Final = "ledger retention"
"""The mark up to which the ledger's entries are known to have aged."""
_LOOK_EVERY_S = 3600.0
_BELIEVED_S = 3 * 86400.0
_FORGET_AT_ONCE = 5000
_STOP_S = 15.0


class Accounts:
    """Opens the store of keys and accounts, follows it while a server runs, and closes it."""

    def __init__(
        self,
        config: StoreConfig,
        clock: Clock,
        *,
        prices: PricesConfig | None = None,
        ledger: LedgerConfig | None = None,
        wants_keys: bool = True,
        spool: Path | None = None,
    ) -> None:
        """Raises StoreError where the store cannot be opened: limits would not hold then.

        `spool` is where requests are put aside while the store is away; by default in the folder of
        this user's data.
        """
        self.store: SqlStore = config.build(clock)
        if spool is None:
            try:
                spool = data_folder() / "ledger"
            except ConfigError:
                logger.warning("this user has no home: requests wait in memory alone for the store")
        try:
            self.ledger = Ledger(self.store.accounts, clock, spool, place=_identity(config))
            self.gate = KeyGate(
                self.store.accounts, self.ledger, clock, prices=prices, wants_keys=wants_keys
            )
        except StoreError:
            self.store.close()
            raise
        keep = (ledger or LedgerConfig()).keep
        self.retention = LedgerRetention(self.store, keep, clock)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def troubles(self) -> Sequence[str]:
        """What is wrong with keys and accounts, for `/health`; nothing if all is well."""
        found = (self.gate.trouble, self.ledger.state.trouble, self.retention.trouble)
        return [trouble for trouble in found if trouble is not None]

    def start(self) -> None:
        """Begin to follow keys and to write requests down."""
        self.gate.start()
        self.ledger.start()
        self._thread = threading.Thread(target=self._run, name="accounts", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write down what is left; safe to call twice."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_STOP_S)
            self._thread = None
        self.gate.close()
        self.ledger.close()
        self.store.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.retention.look()
            except Exception:  # what is old waits for the next hour
                logger.exception("old requests could not be forgotten")
            self._stop.wait(_LOOK_EVERY_S)


def _identity(config: StoreConfig) -> str:
    """What tells a store from others, also from one of the same name in another folder."""
    return str(config.file.absolute()) if config.file is not None else str(config.url)


class LedgerRetention:
    """Forgets requests that are older than is kept; the totals of their days stay.

    A clock that is far ahead of what the store remembers is not believed at once, so that a wrong
    one cannot make a server forget everything: age then grows twice as fast as time passes.
    """

    def __init__(self, store: "SqlStore", keep: timedelta | None, clock: Clock) -> None:
        self.trouble: str | None = None
        self._store = store
        self._keep = keep
        self._clock = clock
        self._looked_at = clock.monotonic()

    def look(self) -> int:
        """Forget what is too old; how many requests that were."""
        monotonic = self._clock.monotonic()
        elapsed_s, self._looked_at = monotonic - self._looked_at, monotonic
        now = self._clock.now()
        if now < SET_SINCE:
            return 0
        try:
            aged = self._store.mark(LEDGER_AGED_UNTIL)
            if aged is not None and now - aged - elapsed_s > _BELIEVED_S:
                now = min(now, aged + 2 * elapsed_s)
            self._store.remember(LEDGER_AGED_UNTIL, now)
            if self._keep is None:
                return 0
            forgotten = 0
            while True:
                before = now - self._keep.total_seconds()
                gone = self._store.accounts.forget_entries(before, _FORGET_AT_ONCE)
                forgotten += gone
                if gone < _FORGET_AT_ONCE:
                    break
        except StoreError as error:
            if self.trouble is None:
                logger.error("old requests cannot be forgotten: %s", error)  # noqa: TRY400
            self.trouble = f"old requests cannot be forgotten: {error}"
            return 0
        self.trouble = None
        if forgotten:
            keep = format_duration(self._keep)
            logger.info("forgot %d requests older than %s; totals stay", forgotten, keep)
        return forgotten
