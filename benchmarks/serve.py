"""The model server beside its engine called directly: `python -m benchmarks.serve [--out JSON]`.

One process holds the small random model of the golden set and the server; the load comes from a
second process that writes plain HTTP, so that no client library is measured. At each number of
callers the engine is asked directly, from as many threads, and over HTTP, in turns, three times
each; every request has a picture (JPEG, 640 x 480) that was not asked about lately. Then: a flood
by one key while another goes on asking, thousands of requests beside the process's memory,
connections that drip, and bodies of 30 MB.
"""

import argparse
import asyncio
import base64
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch
from PIL import Image

from connectors.stores import StoreConfig
from pipeline.core.accounts import KeyLimits
from pipeline.core.clock import SystemClock
from pipeline.core.frames import Pixels
from pipeline.inference.callers import Call, Callers
from pipeline.inference.engines.moondream import MoondreamConfig
from pipeline.moondream import QueryRequest
from pipeline.server.accounts import Accounts
from pipeline.server.config import ServeConfig
from pipeline.server.keys import make_key
from pipeline.server.run import ModelServer, open_callers
from pipeline.telemetry.metrics import Metrics

ROOT = Path(__file__).parents[1]
PICTURES = 128
QUESTION, TOKENS = "What is this?", 16


def picture(seed: int) -> tuple[Pixels, str]:
    """Soft noise, as large as a photograph when it is coded: its pixels, and a data URI."""
    coarse = np.random.default_rng(seed).integers(0, 255, (30, 40, 3), np.uint8)
    image = Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC)
    coded = BytesIO()
    image.save(coded, "JPEG", quality=95)
    uri = "data:image/jpeg;base64," + base64.b64encode(coded.getvalue()).decode()
    return np.asarray(Image.open(coded).convert("RGB")), uri


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Percentiles in milliseconds."""
    if not seconds:
        return {"n": 0}
    found = np.percentile(np.array(seconds) * 1000, [50, 99, 100])
    return {
        "n": len(seconds),
        "p50_ms": round(float(found[0]), 1),
        "p99_ms": round(float(found[1]), 1),
        "max_ms": round(float(found[2]), 1),
    }


# --- the second process: load


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str, body: bytes
) -> int:
    """One request on an open connection; its status."""
    writer.write(
        b"POST /v1/query HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
        b"authorization: Bearer %s\r\ncontent-length: %d\r\n\r\n%s"
        % (key.encode(), len(body), body)
    )
    await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line[15:])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length:")
    )
    await reader.readexactly(length)
    return int(head[9:12])


async def load(order: dict[str, Any]) -> dict[str, Any]:
    """As many callers as ordered, each asking again as soon as it is answered."""
    place = urlsplit(order["url"])
    bodies = [json.dumps(body).encode() for body in json.loads(Path(order["bodies"]).read_text())]
    until = time.monotonic() + order["seconds"]
    answered: list[float] = []
    refused: list[float] = []
    statuses: dict[int, int] = {}
    asked = iter(range(order["requests"]))

    async def caller(number: int) -> None:
        await asyncio.sleep(order["spread"] * number / order["callers"])
        reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=1 << 20)
        for count in asked:
            if time.monotonic() > until:
                break
            began = time.perf_counter()
            status = await ask(reader, writer, order["key"], bodies[count % len(bodies)])
            took_s = time.perf_counter() - began
            statuses[status] = statuses.get(status, 0) + 1
            (answered if status == 200 else refused).append(took_s)
            if status != 200:
                await asyncio.sleep(order["pause"])
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(caller(number) for number in range(order["callers"])))
    seconds = time.perf_counter() - began
    return {
        "a_second": round(len(answered) / seconds, 2),
        "answered": spread(answered),
        "refused": spread(refused),
        "statuses": statuses,
    }


def loaded(**order: Any) -> "subprocess.Popen[str]":
    """The load in a process of its own; it prints what it found."""
    given = {"seconds": 600.0, "requests": 10**9, "pause": 0.02, "spread": 0.0, **order}
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.serve", "--load", json.dumps(given)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def found_by(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """What a load found."""
    out, _ = process.communicate()
    found: dict[str, Any] = json.loads(out)
    return found


# --- the first process: engine and server


class Bench:
    """The engine, the server in front of it, and the pictures."""

    def __init__(self, folder: Path, queue: int) -> None:
        clock = SystemClock()
        settings = ServeConfig.model_validate(
            {"listen": "127.0.0.1:0", "queue": queue, "wait": "60s", "connections": 256}
        )
        store = StoreConfig.model_validate({"url": f"sqlite:///{folder / 'serve.db'}"})
        accounts = Accounts(store, clock, spool=folder / "spool")
        self.keys = []
        for name in ("steady", "flood"):
            secret, record = make_key(name, clock.now(), limits=KeyLimits())
            accounts.store.accounts.add_key(record)
            self.keys.append(secret.reveal())
        accounts.gate.follow()
        self.engine = MoondreamConfig(
            model=str(ROOT / "tests" / "golden"), device="cpu", max_crops=1, max_batch=8
        ).build()
        self.callers: Callers = open_callers(self.engine, "vlm", settings)
        self.server = ModelServer(self.callers, accounts, settings, Metrics(), clock)
        self.server.start()
        while self.callers.ready is not None:
            time.sleep(0.05)
        made = [picture(seed) for seed in range(PICTURES)]
        self.pixels = [pixels for pixels, _ in made]
        asked = {"question": QUESTION, "settings": {"max_tokens": TOKENS, "temperature": 0}}
        self.bodies, self.texts = folder / "pictures.json", folder / "texts.json"
        self.bodies.write_text(json.dumps([{**asked, "image_url": uri} for _, uri in made]))
        short = {"question": QUESTION, "settings": {"max_tokens": 1}}
        self.texts.write_text(json.dumps([{**short, "image_url": made[0][1]}]))
        self.body_bytes = int(np.mean([len(uri) for _, uri in made]))

    def over_http(self, callers: int, requests: int) -> dict[str, Any]:
        """Requests over HTTP."""
        used = time.process_time()
        found = found_by(
            loaded(
                url=self.server.address, key=self.keys[0], bodies=str(self.bodies),
                callers=callers, requests=requests,
            )
        )  # fmt: skip
        return {**found, "cpu_ms": round((time.process_time() - used) * 1000 / requests, 1)}

    def directly(self, callers: int, requests: int) -> dict[str, Any]:
        """The same requests, put to the engine without a server."""
        request = QueryRequest(QUESTION, max_tokens=TOKENS)

        def one(number: int) -> float:
            began, over = time.perf_counter(), threading.Event()
            ticket = self.callers.submit(Call(request, self.pixels[number % PICTURES]))
            ticket.listen(lambda: over.set() if ticket.is_done else None)
            over.wait()
            return time.perf_counter() - began

        began, used = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(callers) as pool:
            took = list(pool.map(one, range(requests)))
        return {
            "a_second": round(requests / (time.perf_counter() - began), 2),
            "answered": spread(took),
            "cpu_ms": round((time.process_time() - used) * 1000 / requests, 1),
        }


def throughput(bench: Bench, requests: int, times: int) -> list[dict[str, Any]]:
    """Both ways at each number of callers, in turns."""
    rows = []
    bench.directly(8, 32)
    for callers in (1, 8, 32, 64):
        count = max(8, requests // 8) if callers == 1 else requests
        pairs = [
            (bench.directly(callers, count), bench.over_http(callers, count)) for _ in range(times)
        ]
        ratios = [http["a_second"] / direct["a_second"] for direct, http in pairs]
        rows.append(
            {"callers": callers, "ratio": round(float(np.median(ratios)), 3),
             "ratios": [round(ratio, 3) for ratio in ratios],
             "cpu_ratio": round(float(np.median([d["cpu_ms"] / h["cpu_ms"] for d, h in pairs])), 3),
             "direct": pairs[-1][0], "http": pairs[-1][1]}
        )  # fmt: skip
        print(json.dumps(rows[-1]), flush=True)
    return rows


def flood(bench: Bench, seconds: float) -> dict[str, Any]:
    """Eight callers of one key: alone, beside as many of another as there is room for, and beside
    more than that.

    What the refused ones cost is the difference between the last two.
    """
    place = {"url": bench.server.address, "bodies": str(bench.bodies), "seconds": seconds}
    found: dict[str, Any] = {"alone": found_by(loaded(key=bench.keys[0], callers=8, **place))}
    for name, callers, spread_s in (("full", 80, 1.0), ("flood", 200, 1.0), ("burst", 200, 0.0)):
        # As long as a refusal says at least.
        others = loaded(key=bench.keys[1], callers=callers, pause=1.0, spread=spread_s, **place)
        found[name] = {"steady": found_by(loaded(key=bench.keys[0], callers=8, **place))}
        found[name]["others"] = found_by(others)
    return found


def rss_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * resource.getpagesize() / 1e6, 1)


def memory(bench: Bench, requests: int) -> list[dict[str, float]]:
    """Memory beside the number of requests so far."""
    found = []
    for part in range(5):
        done = found_by(
            loaded(
                url=bench.server.address, key=bench.keys[0], bodies=str(bench.texts),
                callers=16, requests=requests // 5,
            )
        )  # fmt: skip
        found.append(
            {"requests": (part + 1) * (requests // 5), "rss_mb": rss_mb(),
             "a_second": done["a_second"]}
        )  # fmt: skip
        print(json.dumps(found[-1]), flush=True)
    return found


async def attack(order: dict[str, Any]) -> dict[str, Any]:
    """Silent and dripping connections, then large bodies, beside a caller that must get through."""
    place = urlsplit(order["url"])
    small = Path(order["bodies"]).read_bytes()[1:-1]
    found: dict[str, Any] = {}

    async def asked() -> float:
        began = time.perf_counter()
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        assert await ask(reader, writer, order["key"], small) == 200
        writer.close()
        return time.perf_counter() - began

    quiet = [await asked() for _ in range(20)]
    slow = []
    for _ in range(400):
        _, writer = await asyncio.open_connection(place.hostname, place.port)
        writer.write(b"POST /v1/query HTTP/1.1\r\nx-a: ")
        slow.append(writer)
    beside = [await asked() for _ in range(20)]
    found["dripping"] = {"quiet": spread(quiet), "beside_400": spread(beside)}
    for writer in slow:
        writer.close()
    body = b'{"question": "a", "image_url": "' + b"A" * 29_000_000 + b'"}'

    async def large(key: str) -> int:
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        status = await ask(reader, writer, key, body)
        writer.close()
        return status

    for name, key in (("strangers", "nobody"), ("callers", order["key"])):
        began = time.perf_counter()
        statuses = await asyncio.gather(*(large(key) for _ in range(20)))
        found[f"large_of_{name}"] = {
            "statuses": {str(status): statuses.count(status) for status in set(statuses)},
            "seconds": round(time.perf_counter() - began, 2),
        }
    return found


def attacked(bench: Bench) -> dict[str, Any]:
    """What attacks do to the server, and to its process's memory."""
    before = peak = rss_mb()
    process = loaded(
        url=bench.server.address, key=bench.keys[0], bodies=str(bench.texts), attack=True
    )
    while process.poll() is None:
        peak = max(peak, rss_mb())
        time.sleep(0.01)
    memory = {"before": before, "peak": peak, "after": rss_mb()}
    return {**found_by(process), "rss_mb": memory}


def main() -> None:
    """Measure, and print everything as JSON."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--load", help=argparse.SUPPRESS)
    options.add_argument("--requests", type=int, default=256)
    options.add_argument("--times", type=int, default=3)
    options.add_argument("--seconds", type=float, default=20.0)
    options.add_argument("--memory-requests", type=int, default=10_000)
    options.add_argument("--only", choices=("throughput", "flood", "attack", "memory"))
    options.add_argument("--out", type=Path)
    given = options.parse_args()
    if given.load:
        order = json.loads(given.load)
        print(json.dumps(asyncio.run(attack(order) if "attack" in order else load(order))))
        return
    torch.set_num_threads(1)
    report: dict[str, Any] = {"cores": os.cpu_count(), "load_before": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), queue=64)
        report["body_bytes"] = bench.body_bytes
        try:
            parts: dict[str, Callable[[], Any]] = {
                "throughput": lambda: throughput(bench, given.requests, given.times),
                "flood": lambda: flood(bench, given.seconds),
                "attack": lambda: attacked(bench),
                "memory": lambda: memory(bench, given.memory_requests),
            }
            for name, measure in parts.items():
                if given.only in (None, name):
                    report[name] = measure()
                    print(name, json.dumps(report[name]), flush=True)
        finally:
            bench.server.stop(5.0)
            bench.engine.close()
    report["load_after"] = os.getloadavg()[0]
    if given.out is not None:
        given.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
