"""A server that runs: the golden model on a CPU, real keys and accounts, uvicorn on loopback."""

import base64
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch
import uvicorn
from PIL import Image

from connectors.stores.sql import SqlStore
from pipeline.core.accounts import KeyLimits, KeyScope, UsageBy, UsageQuestion, UsageSum
from pipeline.core.clock import SystemClock
from pipeline.inference.call_line import CallLimits
from pipeline.inference.callers import Callers
from pipeline.inference.engines._moondream import MoondreamCallers, MoondreamEngine
from pipeline.inference.engines.moondream import MoondreamConfig
from pipeline.server.app import create_app
from pipeline.server.config import ServeConfig
from pipeline.server.fetching import Fetcher
from pipeline.server.keys import make_key
from pipeline.server.ledger import Ledger
from pipeline.server.limits import KeyGate
from pipeline.server.pictures import PictureReader
from pipeline.server.state import ServerState
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import patience, wait_until
from tests.architecture.source_tree import ROOT

GOLDEN = ROOT / "tests" / "golden"
PATIENCE_S = patience(20)
LONG_ANSWER, LONG_ANSWER_AS_JPEG = 31, 14
"""Pictures that the golden model has more than 700 tokens to say about, when asked to
`List everything.`; the other one as Moondream's client sends it.
"""


@dataclass(eq=False)
class Serving:
    """A server at work, and what is behind it."""

    url: str
    """With `/v1`."""
    key: str
    state: ServerState
    engine: MoondreamEngine
    callers: MoondreamCallers
    store: SqlStore
    ledger: Ledger

    def new_key(self, name: str, **limits: Any) -> str:
        """Make a key with limits of its own, which is known at once."""
        secret, record = make_key(name, self.state.clock.now(), limits=KeyLimits(**limits))
        assert self.store.accounts.add_key(record)
        self.state.gate.follow()
        return secret.reveal()

    def usage(self, *by: UsageBy) -> list[UsageSum]:
        """What the ledger has written down, added up."""
        self.ledger.write()
        return list(self.store.accounts.usage(UsageQuestion(by or (UsageBy.KEY,))))

    def post(self, path: str, body: Any, key: str | None = None) -> httpx.Response:
        """Post JSON as a plain client."""
        return self.post_as(path, body, {"authorization": f"Bearer {key or self.key}"})

    def post_as(self, path: str, body: Any, headers: Mapping[str, str]) -> httpx.Response:
        """Post JSON with these headers."""
        return httpx.post(
            self.url + path, json=body, headers=headers, timeout=PATIENCE_S, trust_env=False
        )

    def openapi(self) -> dict[str, Any]:
        """The description of the interface."""
        found: dict[str, Any] = httpx.get(
            self.url.removesuffix("/v1") + "/openapi.json",
            headers={"authorization": f"Bearer {self.key}"},
            timeout=PATIENCE_S,
            trust_env=False,
        ).json()
        return found

    def send(
        self, content: bytes, path: str = "/chat/completions", **headers: str
    ) -> httpx.Response:
        """Post any bytes, as JSON unless the headers say otherwise."""
        given = {
            "authorization": f"Bearer {self.key}",
            "content-type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return httpx.post(
            self.url + path, content=content, headers=given, timeout=PATIENCE_S, trust_env=False
        )

    @property
    def rows(self) -> int:
        """How many rows of the batch are taken."""
        model = self.engine._model
        assert model is not None
        return model.engine.in_use().rows


def picture(seed: int = 0, size: tuple[int, int] = (96, 64)) -> Image.Image:
    """A picture of noise, another one for each seed."""
    noise = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(noise)


def data_uri(seed: int = 0, size: tuple[int, int] = (96, 64)) -> str:
    """Such a picture as a data URI, without loss."""
    buffer = BytesIO()
    picture(seed, size).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


@contextmanager
def serving(
    folder: Path,
    *,
    around: Callable[[Callers], Callers] = lambda callers: callers,
    limits: CallLimits | None = None,
    **settings: Any,
) -> Iterator[Serving]:
    """Serve the golden model until the end of the block; `around` stands before its callers."""
    torch.set_num_threads(1)
    clock = SystemClock()
    config = ServeConfig(**settings)
    store = SqlStore(f"sqlite:///{folder / 'accounts.db'}", clock)
    ledger = Ledger(store.accounts, clock)
    secret, record = make_key("tests", clock.now(), scopes=(KeyScope.ADMIN,), limits=KeyLimits())
    store.accounts.add_key(record)
    gate = KeyGate(store.accounts, ledger, clock)
    engine = MoondreamConfig(model=str(GOLDEN), device="cpu", max_batch=8).build()
    assert isinstance(engine, MoondreamEngine)
    callers = engine.open_callers(limits or CallLimits())
    fetcher = Fetcher()
    reader = PictureReader(fetcher)
    state = ServerState(around(callers), gate, reader, config, Metrics(), clock)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(state), log_config=None, lifespan="off", timeout_graceful_shutdown=1
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started and callers.ready is None)
        yield Serving(
            f"http://127.0.0.1:{port}/v1", secret.reveal(), state, engine, callers, store, ledger
        )
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        listener.close()
        reader.close()
        fetcher.close()
        engine.close()
        gate.close()
        ledger.close()
        store.close()
