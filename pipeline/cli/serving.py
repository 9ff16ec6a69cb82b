"""The application beside a run, where the file says where it answers."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from pipeline.core.clock import SystemClock
from pipeline.core.queues import Queues
from pipeline.runtime.reload import DeploymentFile
from pipeline.web.run import WebServer, open_state
from pipeline.web.state import WebState


@contextmanager
def serving(file: DeploymentFile, queues: Queues | None) -> Iterator[None]:
    """Serve the application until the end of the block, at the file's `web.listen`.

    `queues` are those of a run in this process, whose pictures are then shown live. Raises
    ConfigError where it cannot answer there, and StoreError.
    """
    state = open_state(file.path, file.overrides, SystemClock(), queues=queues)
    try:
        server = WebServer(state)
        server.start()
        # Not into the output, which is the run's.
        typer.echo(f"the application answers on {server.address}", err=True)
        say_links(state, server.address, guest=False, err=True)
        try:
            yield
        finally:
            server.stop()
    finally:
        state.store.close()


def say_links(state: WebState, address: str, *, guest: bool, err: bool = False) -> None:
    """How to come in without a name so far: to whoever started it, and never into the log."""
    if guest:
        link = f"{address}/sign-in#guest={state.entrance.offer_guest()}"
        typer.echo(f"look without a name, once: {link}", err=err)
    elif not state.entrance.has_people():
        link = f"{address}/set-up#{state.entrance.offer_set_up()}"
        typer.echo(f"there are no users yet; make the first one, an admin: {link}", err=err)
