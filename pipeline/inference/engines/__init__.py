"""Engines adapt a model to tasks. One file = one config + one engine, named in the union below."""

from typing import TYPE_CHECKING, TypeAlias

from pipeline.core.one_of import one_of

if TYPE_CHECKING:
    from pipeline.inference.engines.coco import CocoConfig
    from pipeline.inference.engines.moondream import MoondreamConfig
    from pipeline.inference.engines.onnx import OnnxConfig
    from pipeline.inference.engines.remote import RemoteConfig
    from pipeline.inference.engines.scripted import ScriptedConfig
    from pipeline.inference.engines.transformers import TransformersConfig

    EngineConfig: TypeAlias = (
        CocoConfig
        | MoondreamConfig
        | OnnxConfig
        | RemoteConfig
        | ScriptedConfig
        | TransformersConfig
    )
    """Any engine a deployment can name."""
else:
    EngineConfig = one_of(
        __name__,
        coco="CocoConfig",
        moondream="MoondreamConfig",
        onnx="OnnxConfig",
        remote="RemoteConfig",
        scripted="ScriptedConfig",
        transformers="TransformersConfig",
    )

__all__ = ["EngineConfig"]
