"""Small nets in ONNX files, one for each layout of outputs, whose values are known.

Each output is a table of random numbers plus `mean of the input × slope`: with a black picture it
is the table itself.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
Size = int | str
"""A name is a size that is not fixed."""


def write_net(
    path: Path,
    tables: Mapping[str, Array],
    slopes: Mapping[str, float | Array] | None = None,
    *,
    side: tuple[int, int] = (64, 64),
    batch: Size = 1,
    input_name: str = "images",
    input_type: int = TensorProto.FLOAT,
    channels_first: bool = True,
    extra_inputs: Mapping[str, tuple[Sequence[Size], int]] | None = None,
    metadata: Mapping[str, str] | None = None,
    per_picture: bool = True,
    declare: bool = True,
    open_sides: bool = False,
) -> Path:
    """Write a net that gives `tables`, one for each picture (the tables have no batch's size).

    Where `per_picture` is false the tables are given as they are, once for the whole batch.
    """
    width, height = side
    sides: list[Size] = ["height", "width"] if open_sides else [height, width]
    shape: list[Size] = [batch, 3, *sides] if channels_first else [batch, *sides, 3]
    inputs = [helper.make_tensor_value_info(input_name, input_type, shape)]
    for name, (sizes, kind) in (extra_inputs or {}).items():
        inputs.append(helper.make_tensor_value_info(name, kind, list(sizes)))
    nodes = [
        helper.make_node("Cast", [input_name], ["as_float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["as_float", "axes"], ["mean"], keepdims=0),
    ]
    weights = [numpy_helper.from_array(np.array([1, 2, 3], np.int64), "axes")]
    outputs = []
    for name, table in tables.items():
        slope = (slopes or {}).get(name, 0.0)
        is_int = np.issubdtype(table.dtype, np.integer)
        given: list[Size]
        weights.append(numpy_helper.from_array(np.asarray(table, np.float32), f"{name}_table"))
        if per_picture:
            ones = np.array([-1, *[1] * table.ndim], np.int64)
            weights.append(numpy_helper.from_array(ones, f"{name}_shape"))
            weights.append(numpy_helper.from_array(np.array(slope, np.float32), f"{name}_slope"))
            nodes += [
                helper.make_node("Reshape", ["mean", f"{name}_shape"], [f"{name}_mean"]),
                helper.make_node("Mul", [f"{name}_mean", f"{name}_slope"], [f"{name}_more"]),
                helper.make_node("Add", [f"{name}_more", f"{name}_table"], [f"{name}_float"]),
            ]
            given = [batch, *table.shape]
        else:
            nodes.append(helper.make_node("Identity", [f"{name}_table"], [f"{name}_float"]))
            given = [f"{name}_rows", *table.shape[1:]]
        kind = {np.dtype(np.int64): TensorProto.INT64, np.dtype(np.int32): TensorProto.INT32}.get(
            table.dtype, TensorProto.FLOAT16 if table.dtype == np.float16 else TensorProto.FLOAT
        )
        assert is_int == (kind in (TensorProto.INT64, TensorProto.INT32))
        nodes.append(helper.make_node("Cast", [f"{name}_float"], [name], to=kind))
        if not declare:
            given = [f"{name}_{n}" for n in range(len(given))]
        outputs.append(helper.make_tensor_value_info(name, kind, given))
    graph = helper.make_graph(nodes, "net", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    for key, text in (metadata or {}).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, text
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def ultralytics(
    names: Sequence[str], task: str = "detect", model: str = "YOLOv8n"
) -> dict[str, str]:
    """The metadata that Ultralytics writes."""
    return {
        "description": f"Ultralytics {model} model trained on coco.yaml",
        "author": "Ultralytics",
        "task": task,
        "stride": "32",
        "imgsz": "[64, 64]",
        "names": str(dict(enumerate(names))),
    }
