"""From a network to the bytes of a .tflite file, written straight as a FlatBuffer.

The file is a FlatBuffer followed by one blob that holds the weights; every `Buffer` points into it with ``offset`` and
``size``, counted from the start of the file. Runs in LiteRT (ai-edge-litert 2.3.0) and TFLite (tflite-runtime 2.14), as
one XNNPACK delegate in float32.
"""

from __future__ import annotations

import struct
from typing import Any

import flatbuffers
import numpy as np

from leadline.core.errors import BadInput
from leadline.core.tflite import IDENTIFIER, load_schema
from leadline.search.model.counts import builtin_name
from leadline.search.model.weights import (
    ALIGNMENT,
    Constants,
    DType,
    Plan,
    Quantization,
    plan_weights,
)
from leadline.search.space.network import (
    Add,
    Conv,
    Depthwise,
    FullyConnected,
    GlobalMean,
    Layer,
    Network,
    Op,
    Pool,
    Shape,
)

ARCHITECTURE_KEY = "leadline.architecture"  # metadata entry: the space's encoding, UTF-8
PLACEHOLDER = 2  # a buffer's offset 0 means inside the FlatBuffer, and 1 is reserved

# the first version of each op that takes int8; 1 takes float32
INT8_VERSIONS = {
    "ADD": 2,
    "AVERAGE_POOL_2D": 2,
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "FULLY_CONNECTED": 4,
    "MAX_POOL_2D": 2,
    "MEAN": 2,
}


def write_model(network: Network, *, seed: int = 0, dtype: DType = "float32") -> bytes:
    """The bytes of a .tflite file that computes `network` with weights drawn from `seed`.

    The same arguments give the same bytes. int8 is full-integer: input, output, weights and activations; weights have a
    scale per output channel.

    Args: seed: ≥ 0.
    Raises: BadInput for a negative seed; ValueError if the network does not fit together.
    """
    if seed < 0:
        raise BadInput(f"seed {seed}: must be 0 or greater")
    plan = plan_weights(network, seed=seed, dtype=dtype)
    builder = flatbuffers.Builder(1 << 17)
    builder.Finish(_Writer(network, plan, dtype).model().Pack(builder), file_identifier=IDENTIFIER)
    head = builder.Output()
    head += bytes(-len(head) % ALIGNMENT)
    _point_into_blob(head)
    return b"".join([head, *(part.data for part in plan.blob)])


def _point_into_blob(head: bytearray) -> None:
    """Move the placeholder offsets of the buffers behind the FlatBuffer, now that its length is known."""
    model = load_schema().Model.GetRootAs(head)
    for index in range(model.BuffersLength()):
        table = model.Buffers(index)._tab
        if field := table.Offset(6):
            (offset,) = struct.unpack_from("<Q", head, table.Pos + field)
            struct.pack_into("<Q", head, table.Pos + field, offset - PLACEHOLDER + len(head))


class _Writer:
    """Collects one graph in the generated object API (``…T`` classes)."""

    def __init__(self, network: Network, plan: Plan, dtype: DType) -> None:
        self.schema = load_schema()
        self.network, self.plan, self.int8 = network, plan, dtype == "int8"
        self.shapes = network.shapes()
        self.buffers = [self.schema.BufferT()]  # buffer 0: of tensors without constant data
        self.tensors: list[Any] = []
        self.codes: dict[str, int] = {}

    def model(self) -> Any:
        s = self.schema
        element = s.TensorType.INT8 if self.int8 else s.TensorType.FLOAT32
        values = [self._tensor("input", self.shapes[0], element, self.plan.quantizations[0])]
        operators = []
        for index, layer in enumerate(self.network.layers):
            inputs = [values[value] for value in layer.inputs] + self._constants(layer, self.plan.constants[index])
            values.append(self._tensor(layer.name, self.shapes[index + 1], element, self.plan.quantizations[index + 1]))
            kind, options = _options(s, layer.op)
            operator = s.OperatorT(self._code(builtin_name(layer)), _ints(inputs), _ints(values[-1:]))
            operator.builtinOptionsType, operator.builtinOptions = kind, options
            operators.append(operator)
        graph = s.SubGraphT(self.tensors, _ints(values[:1]), _ints(values[-1:]), operators, self.network.name)
        return s.ModelT(
            version=3,
            operatorCodes=[self._operator_code(name) for name in self.codes],
            subgraphs=[graph],
            description=f"Leadline: {self.network.name}",
            buffers=self.buffers,
            metadata=self._metadata(),
        )

    def _tensor(self, name: str, shape: Shape, element: int, quantization: Quantization | None, buffer: int = 0) -> int:
        parameters = None
        if self.int8 and quantization:
            parameters = self.schema.QuantizationParametersT(
                scale=np.array([quantization.scale], np.float32),
                zeroPoint=np.array([quantization.zero_point], np.int64),
            )
        tensor = self.schema.TensorT(_ints(shape), element, buffer, name, parameters)
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def _constants(self, layer: Layer, constants: Constants | None) -> list[int]:
        """The constant inputs of a layer: weights and bias, or the axes of a mean."""
        s = self.schema
        if isinstance(layer.op, GlobalMean):
            self.buffers.append(s.BufferT(np.array([1, 2], "<i4").view(np.uint8)))
            return [self._tensor(f"{layer.name}.axes", (2,), s.TensorType.INT32, None, len(self.buffers) - 1)]
        if constants is None:
            return []
        made = []
        channels = len(constants.scales)
        bias_type = s.TensorType.INT32 if self.int8 else s.TensorType.FLOAT32
        weight_type = s.TensorType.INT8 if self.int8 else s.TensorType.FLOAT32
        for role, shape, element, place in (
            ("weights", constants.shape, weight_type, constants.weights),
            ("bias", (channels,), bias_type, constants.bias),
        ):
            self.buffers.append(s.BufferT(None, place.offset + PLACEHOLDER, place.size))
            index = self._tensor(f"{layer.name}.{role}", shape, element, None, len(self.buffers) - 1)
            made.append(index)
            if self.int8:
                scales = constants.scales
                if role == "bias":
                    scales = scales * np.float32(self.plan.quantizations[layer.inputs[0]].scale)
                axis = 3 if role == "weights" and isinstance(layer.op, Depthwise) else 0
                self.tensors[index].quantization = s.QuantizationParametersT(
                    scale=scales, zeroPoint=np.zeros(channels, np.int64), quantizedDimension=axis
                )
        return made

    def _code(self, name: str) -> int:
        return self.codes.setdefault(name, len(self.codes))

    def _operator_code(self, name: str) -> Any:
        code = getattr(self.schema.BuiltinOperator, name)
        version = INT8_VERSIONS[name] if self.int8 else 1
        return self.schema.OperatorCodeT(deprecatedBuiltinCode=code, version=version, builtinCode=code)

    def _metadata(self) -> list[Any] | None:
        if self.network.architecture is None:
            return None
        text = np.frombuffer(self.network.architecture.encode(), np.uint8)
        self.buffers.append(self.schema.BufferT(text))
        return [self.schema.MetadataT(ARCHITECTURE_KEY, len(self.buffers) - 1)]


def _ints(values: list[int] | Shape) -> np.ndarray[Any, np.dtype[np.int32]]:
    return np.array(values, np.int32)


def _options(s: Any, op: Op) -> tuple[int, Any]:
    """The options table of an op and its number in the schema's union."""
    union, same = s.BuiltinOptions, s.Padding.SAME
    fused = getattr(s.ActivationFunctionType, getattr(op, "activation", "none").upper())
    match op:
        case Conv(stride=stride):
            return union.Conv2DOptions, s.Conv2DOptionsT(same, stride, stride, fused)
        case Depthwise(stride=stride):
            return union.DepthwiseConv2DOptions, s.DepthwiseConv2DOptionsT(same, stride, stride, 1, fused)
        case Add():
            return union.AddOptions, s.AddOptionsT(fused)
        case Pool(kernel=kernel, stride=stride):
            return union.Pool2DOptions, s.Pool2DOptionsT(same, stride, stride, kernel, kernel, fused)
        case GlobalMean():
            return union.ReducerOptions, s.ReducerOptionsT(keepDims=False)
        case FullyConnected():
            return union.FullyConnectedOptions, s.FullyConnectedOptionsT(fused)
