"""Small .tflite files whose parts a test can spoil before they are packed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np

from leadline.core.tflite import IDENTIFIER, load_schema
from tests.support.tiny_models import Array, GraphWriter


def pack(model: Any) -> bytes:
    """A `ModelT` of the schema as the bytes of a file."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def model_of(
    tensors: Sequence[tuple[str, tuple[int, ...], Array | None]], ops: Sequence[tuple[str, tuple[int, ...], int]]
) -> Any:
    """A `ModelT` of one graph of float32 tensors, from the first tensor to the last.

    Args: tensors: name, shape, constant value or None. ops: name, in capitals as in the schema or else that of a custom
        op; input tensors; output tensor.
    """
    writer = GraphWriter()
    for name, shape, value in tensors:
        writer.tensor(name, shape, "float32", data=value)
    for name, inputs, output in ops:
        if name.isupper():
            writer.op(name, inputs, (output,))
        else:
            writer.op("CUSTOM", inputs, (output,), custom=name)
    writer.graph.inputs, writer.graph.outputs = [0], [len(tensors) - 1]
    return writer.model


def doubling_model() -> Any:
    """``y = x + x`` on four numbers, and a constant of 64 that nobody uses."""
    tensors = [("x", (1, 4), None), ("unused", (64,), np.arange(64, dtype=np.float32)), ("y", (1, 4), None)]
    model = model_of(tensors, [("ADD", (0, 0), 2)])
    model.subgraphs[0].operators[0].builtinOptionsType = load_schema().BuiltinOptions.AddOptions
    model.subgraphs[0].operators[0].builtinOptions = load_schema().AddOptionsT()
    return model
