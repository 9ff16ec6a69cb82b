"""Asks a model elsewhere: any server with an OpenAI- or Moondream-compatible interface, such as
vLLM, Ollama, Moondream Station, Moondream Cloud, or `moonwatch serve` on another machine.
"""

import importlib
import ipaddress
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from pipeline.core.address import Address, Secret, scheme_check
from pipeline.core.config import Config, PositiveDuration
from pipeline.core.machine import Lack, unreadable_file
from pipeline.core.spending import Allowance, Period, allowance
from pipeline.core.tasks import Detect, Point, Task
from pipeline.inference.engines.base import EngineConfigBase

if TYPE_CHECKING:
    from pipeline.core.clock import Clock
    from pipeline.core.events import JsonValue
    from pipeline.inference.engines._remote.engine import RemoteEngine

Api = Literal["openai", "moondream"]
# A picture is sent no larger than this: 12 crops of Moondream show 1176 pixels of a side, and most
# other models fewer.
_USUAL_SIDE = 1568
# One crop of Moondream.
_CROP_SIDE = 378
_NAMES_AT_HOME = (".local", ".lan", ".internal", ".home.arpa", ".localdomain")


class BudgetConfig(Config):
    """What may be asked at most; then tasks fail, or are answered by the `fallback`."""

    per_hour: int | None = Field(None, ge=1, description="The most in an hour of the clock.")
    per_day: int | None = Field(
        None, ge=1, description="The most from midnight to midnight at the deployment's site."
    )
    of: Literal["pictures", "requests"] = Field(
        "pictures",
        description="What is counted: `pictures` once each, however much is asked about one, or "
        "`requests`, retries included.",
    )

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.per_hour is None and self.per_day is None:
            raise ValueError("limits nothing; give `per_day`, `per_hour` or both")
        return self


def _is_base(address: Address) -> Address:
    if "?" in address.reveal() or "#" in address.reveal():
        raise ValueError("has a ? or #, which the base of an interface cannot have; leave it out")
    if address.login() is not None:
        raise ValueError("has a user in it; give the server's key as `key` or `key_file`")
    return address


class RemoteConfig(EngineConfigBase):
    """A model elsewhere, asked over an OpenAI- or Moondream-compatible interface."""

    type: Literal["remote"] = "remote"
    api: Api = Field(
        description="The interface: `openai` (vLLM, SGLang, Ollama, LM Studio, OpenAI) asks, "
        "captions and counts; `moondream` (Moondream Station and Cloud, `moonwatch serve`) also "
        "detects and points."
    )
    url: Annotated[
        Address,
        AfterValidator(scheme_check("http", "https", host="10.0.0.9:8080")),
        AfterValidator(_is_base),
    ] = Field(
        description="Where it is, such as `https://gpu.example.com/v1`; `/v1` may be left out."
    )
    model: str | None = Field(
        None,
        min_length=1,
        description="The model's name there; `check --probe` shows which there are. "
        "`api: openai` needs it.",
    )
    key: Secret | None = Field(
        None, description="The key that the server wants; `key_file` names a file with it."
    )
    ca: Path | None = Field(
        None, description="PEM file of the authorities to trust instead of the usual ones."
    )
    proxy: Address | None = Field(
        None, description="URL of a proxy; those of the environment are not used."
    )
    deadline: PositiveDuration = Field(
        timedelta(seconds=60),
        description="How long it may take for a frame, including waiting and retries; then its "
        "tasks fail. With a `fallback`, half of it is left for that. Keep it below the queue's "
        "`visibility`.",
    )
    timeout: PositiveDuration = Field(
        timedelta(seconds=30), description="How long one request may take."
    )
    retries: int = Field(
        2,
        ge=0,
        le=10,
        description="How often a request is repeated that was refused for now or did not get "
        "through, after waits that grow.",
    )
    concurrency: int = Field(4, ge=1, le=256, description="The most requests at the same time.")
    encoding: Literal["jpeg", "png"] = Field(
        "jpeg",
        description="How pictures are sent; `png` loses nothing and takes several times as much.",
    )
    quality: int = Field(90, ge=1, le=100, description="Of JPEG.")
    largest_side: int = Field(
        _USUAL_SIDE,
        alias="max_side",
        ge=32,
        le=8192,
        description="Larger pictures are reduced to this many pixels before they are sent.",
    )
    structured: Literal["auto", "json_schema", "none"] = Field(
        "auto",
        description="How `api: openai` is made to answer in a form that can be read: `auto` takes "
        "the probabilities of yes and no, and a JSON schema, where the server has them, "
        "`json_schema` only the latter; `none` reads its words.",
    )
    instruct: bool | None = Field(
        None,
        description="Whether questions get a sentence that says in which form to answer; by "
        "default yes for `api: openai`, and no for `api: moondream`, whose models know.",
    )
    budget: BudgetConfig | None = Field(None, description="The most that may be asked.")
    fallback: str | None = Field(
        None,
        description="Another engine that answers what this one cannot: when it is out of reach, "
        "fails, or its budget is spent.",
    )

    operating: ClassVar[frozenset[str]] = EngineConfigBase.operating | {
        "key",
        "ca",
        "proxy",
        "timeout",
        "retries",
        "concurrency",
        "budget",
        "fallback",
    }

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if self.api == "openai" and self.model is None:
            raise ValueError(
                "needs the name of the `model` with `api: openai`; `check --probe` shows which "
                "the server has"
            )
        if self.key is not None and self.url.scheme == "http" and not _is_at_home(self.url.host):
            raise ValueError(
                f"would send the key to {self.url.host} unencrypted; write https:// in `url`"
            )
        if self.key is not None and not self.key.reveal():
            raise ValueError("has an empty `key`; leave it out where the server wants none")
        if self.key is not None and not re.fullmatch(r"[!-~]+", self.key.reveal()):
            raise ValueError(
                "has a key with a space or a character that HTTP cannot carry; see whether it "
                "was copied whole"
            )
        return self

    @property
    def base(self) -> str:
        """The URL below which the interface is, without a slash at its end."""
        url = self.url.reveal().rstrip("/")
        for path in ("/chat/completions", "/query", "/models"):
            url = url.removesuffix(path)
        has_path = "/" in url.partition("://")[2]
        return url if has_path else f"{url}/v1"

    @property
    def place(self) -> str:
        """Where it is, for sentences: the host, and the port where it is not the usual one."""
        port = f":{self.url.port}" if self.url.port else ""
        return f"{self.url.host}{port}"

    @property
    def max_side(self) -> int:
        """Longest picture side in pixels that is sent."""
        return self.largest_side

    @property
    def cut_side(self) -> int:
        """The side of a crop, for Moondream; what most nets have for others."""
        return _CROP_SIDE if self.api == "moondream" else super().cut_side

    @property
    def falls_back_to(self) -> str | None:
        """The engine that answers what this one cannot, by its name; None without one."""
        return self.fallback

    def allowances(self, now: float, timezone: str) -> list[Allowance]:
        """What its budget allows in the hour and day of the site that contain `now`."""
        budget = self.budget
        if budget is None:
            return []
        limits: tuple[tuple[Period, int | None], ...]
        limits = (("hour", budget.per_hour), ("day", budget.per_day))
        return [
            allowance(period, most, now, timezone, budget.of) for period, most in limits if most
        ]

    @property
    def is_instructing(self) -> bool:
        """Whether questions say in which form to answer."""
        return self.api == "openai" if self.instruct is None else self.instruct

    def identity(self) -> "JsonValue":
        """Where it is and what it is shown; the fallback's is added by who knows it."""
        told = super().identity()
        assert isinstance(told, dict)
        return {**told, "url": self.base}

    def problem_with(self, task: Task) -> str | None:
        """Why this engine cannot answer a task, with the way out; None when it can."""
        if self.api == "openai" and isinstance(task, Detect | Point):
            return (
                "the interface `openai` has no way to ask for boxes and points; write "
                "`api: moondream` where the server has it, as moonwatch and Moondream do, or use "
                "an engine that finds things, such as coco"
            )
        return None

    def lacks(self) -> Iterator[Lack]:
        """Whether the file of authorities is here, and what others could read on the way."""
        yield from unreadable_file("ca", self.ca)
        if self.url.scheme == "http" and not _is_this_machine(self.url.host):
            sent = "pictures" if self.key is None else "the key and pictures"
            yield Lack(
                "url",
                f"{sent} are sent to {self.place} unencrypted, for everybody on the way to see; "
                "use https:// unless nobody else is in that network",
                is_fatal=False,
            )

    def probe(self) -> Iterator[str]:
        """Ask the server which models it has; yields what is wrong, as sentences."""
        module = importlib.import_module("pipeline.inference.engines._remote.probing")
        yield from module.probe(self)

    def build(self, clock: "Clock | None" = None) -> "RemoteEngine":
        """The engine; nothing is connected before its first question. Raises EngineError."""
        # Imported by name, so that a check of a file need not wait for what it takes to answer.
        module = importlib.import_module("pipeline.inference.engines._remote.engine")
        built: RemoteEngine = module.build(self, clock)
        return built


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _is_at_home(host: str) -> bool:
    """Whether a host is in a network of one's own, by its name or number."""
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        return _is_this_machine(host) or "." not in host or host.endswith(_NAMES_AT_HOME)
    return number.is_private or number.is_link_local or number.is_loopback
