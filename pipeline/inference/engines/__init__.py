"""Engines adapt a model to tasks. One file = one config + one engine, named in the union below."""

from typing import Annotated

from pydantic import Field

from pipeline.inference.engines.coco import CocoConfig
from pipeline.inference.engines.moondream import MoondreamConfig
from pipeline.inference.engines.scripted import ScriptedConfig
from pipeline.inference.engines.transformers import TransformersConfig

EngineConfig = Annotated[
    CocoConfig | MoondreamConfig | ScriptedConfig | TransformersConfig, Field(discriminator="type")
]
"""Any engine a deployment can name."""
