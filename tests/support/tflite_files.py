"""Small .tflite files made directly with the generated schema, independent of Leadline's own writer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np

from leadline.core.tflite import IDENTIFIER, load_schema


def pack(model: Any) -> bytes:
    """A `ModelT` as the bytes of a file."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def model_of(
    tensors: Sequence[tuple[str, tuple[int, ...], np.ndarray | None]],
    ops: Sequence[tuple[int | str, Sequence[int], Sequence[int]]],
    *,
    inputs: Sequence[int] = (0,),
    outputs: Sequence[int] = (-1,),
    options: Any = None,
) -> Any:
    """A `ModelT` of one graph of float32 tensors.

    Args: tensors: name, shape, constant value or None. ops: builtin code, or the name of a custom op; input and output
        tensor indices. options: builtin options of every op, as ``(type, object)``.
    """
    s = load_schema()
    model = s.ModelT(version=3, description="made by hand", buffers=[s.BufferT()], operatorCodes=[], subgraphs=[])
    graph = s.SubGraphT(name="main", tensors=[], operators=[], inputs=list(inputs))
    graph.outputs = [index % len(tensors) for index in outputs]
    for name, shape, value in tensors:
        buffer = 0
        if value is not None:
            buffer = len(model.buffers)
            model.buffers.append(s.BufferT(data=np.frombuffer(value.astype("<f4").tobytes(), np.uint8)))
        graph.tensors.append(s.TensorT(name=name, shape=list(shape), type=s.TensorType.FLOAT32, buffer=buffer))
    for index, (code, sources, targets) in enumerate(ops):
        if isinstance(code, str):
            model.operatorCodes.append(
                s.OperatorCodeT(deprecatedBuiltinCode=32, builtinCode=32, customCode=code, version=1)
            )
        else:
            model.operatorCodes.append(
                s.OperatorCodeT(deprecatedBuiltinCode=min(code, 127), builtinCode=code, version=1)
            )
        operator = s.OperatorT(opcodeIndex=index, inputs=list(sources), outputs=list(targets))
        if options is not None:
            operator.builtinOptionsType, operator.builtinOptions = options
        graph.operators.append(operator)
    model.subgraphs.append(graph)
    return model


def doubling_model() -> Any:
    """``y = x + x`` on four numbers, with a constant that nobody uses at the end of the file's reach."""
    s = load_schema()
    weights = np.arange(64, dtype=np.float32)
    return model_of(
        [("x", (1, 4), None), ("unused", (64,), weights), ("y", (1, 4), None)],
        [(s.BuiltinOperator.ADD, (0, 0), (2,))],
        options=(s.BuiltinOptions.AddOptions, s.AddOptionsT()),
    )
