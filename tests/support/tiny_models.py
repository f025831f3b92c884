"""Very small .tflite files for tests, written straight as flatbuffers: a few ops and kilobytes, microseconds to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt

from leadline.core.tflite import load_schema as schema

Array = npt.NDArray[Any]


class GraphWriter:
    """Collects tensors and ops; `finish` gives the file's bytes."""

    def __init__(self) -> None:
        self.model = schema().ModelT()
        self.model.version = 3
        self.model.description = "tiny"
        self.model.buffers = [schema().BufferT()]
        self.model.operatorCodes = []
        self.graph = schema().SubGraphT()
        self.graph.name = "main"
        self.graph.tensors = []
        self.graph.operators = []
        self.model.subgraphs = [self.graph]

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str,
        *,
        data: Array | None = None,
        scale: Sequence[float] = (),
        zero_point: int = 0,
        axis: int = 0,
        dynamic_batch: bool = False,
    ) -> int:
        tensor = schema().TensorT()
        tensor.name = name
        tensor.shape = list(shape)
        tensor.type = getattr(schema().TensorType, dtype.upper())
        tensor.buffer = 0
        if dynamic_batch:
            tensor.shapeSignature = [-1, *shape[1:]]
        if data is not None:
            buffer = schema().BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        if scale:
            tensor.quantization = schema().QuantizationParametersT()
            tensor.quantization.scale = list(scale)
            tensor.quantization.zeroPoint = [zero_point] * len(scale)
            tensor.quantization.quantizedDimension = axis
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def op(
        self,
        code: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        *,
        options: Any = None,
        custom: str | None = None,
        version: int = 1,
    ) -> None:
        entry = schema().OperatorCodeT()
        builtin = getattr(schema().BuiltinOperator, code)
        entry.builtinCode = builtin
        entry.deprecatedBuiltinCode = min(builtin, 127)
        entry.version = version
        entry.customCode = custom
        self.model.operatorCodes.append(entry)
        operator = schema().OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs = list(inputs)
        operator.outputs = list(outputs)
        if options is not None:
            operator.builtinOptionsType = getattr(schema().BuiltinOptions, type(options).__name__.removesuffix("T"))
            operator.builtinOptions = options
        self.graph.operators.append(operator)

    def sign(self, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> None:
        """Add a signature: tensors by name, in the order given."""

        def entries(tensors: Mapping[str, int]) -> list[Any]:
            maps = []
            for name, tensor in tensors.items():
                entry = schema().TensorMapT()
                entry.name, entry.tensorIndex = name, tensor
                maps.append(entry)
            return maps

        signature = schema().SignatureDefT()
        signature.signatureKey = "serve"
        signature.subgraphIndex = 0
        signature.inputs, signature.outputs = entries(inputs), entries(outputs)
        self.model.signatureDefs = [signature]

    def finish(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        self.graph.inputs = list(inputs)
        self.graph.outputs = list(outputs)
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


def conv_net(
    dtype: str = "float32",
    *,
    size: int = 16,
    channels: int = 8,
    seed: int = 0,
    undelegated: bool = False,
    dynamic_batch: bool = False,
) -> bytes:
    """Convolution → global mean, in ``float32`` or ``int8``, over (1, size, size, 3).

    Args: undelegated: ends with a CUMSUM, which XNNPACK does not take (float32 only).
    """
    rng = np.random.default_rng(seed)
    writer = GraphWriter()
    weights = rng.normal(0, 0.25, (channels, 3, 3, 3)).astype(np.float32)
    if dtype == "int8":
        scales = np.abs(weights).max(axis=(1, 2, 3)) / 127
        quantized = np.round(weights / scales[:, None, None, None]).astype(np.int8)
        image = writer.tensor("image", (1, size, size, 3), "int8", scale=(1 / 128,))
        kernel = writer.tensor("kernel", weights.shape, "int8", data=quantized, scale=scales.tolist())
        bias = writer.tensor(
            "bias", (channels,), "int32", data=np.zeros(channels, np.int32), scale=(scales / 128).tolist()
        )
        mapped = writer.tensor("map", (1, size, size, channels), "int8", scale=(6 / 255,), zero_point=-128)
        pooled = writer.tensor("pooled", (1, channels), "int8", scale=(6 / 255,), zero_point=-128)
    else:
        image = writer.tensor("image", (1, size, size, 3), "float32", dynamic_batch=dynamic_batch)
        kernel = writer.tensor("kernel", weights.shape, "float32", data=weights)
        bias = writer.tensor("bias", (channels,), "float32", data=rng.normal(0, 0.1, channels).astype(np.float32))
        mapped = writer.tensor("map", (1, size, size, channels), "float32", dynamic_batch=dynamic_batch)
        pooled = writer.tensor("pooled", (1, channels), "float32", dynamic_batch=dynamic_batch)
    conv = schema().Conv2DOptionsT()
    conv.padding = schema().Padding.SAME
    conv.strideH = conv.strideW = conv.dilationHFactor = conv.dilationWFactor = 1
    conv.fusedActivationFunction = schema().ActivationFunctionType.RELU6
    writer.op("CONV_2D", (image, kernel, bias), (mapped,), options=conv, version=3 if dtype == "int8" else 1)
    axes = writer.tensor("axes", (2,), "int32", data=np.array([1, 2], np.int32))
    writer.op("MEAN", (mapped, axes), (pooled,), options=schema().ReducerOptionsT(), version=2)
    result = pooled
    if undelegated:
        axis = writer.tensor("axis", (), "int32", data=np.array(1, np.int32))
        result = writer.tensor("summed", (1, channels), "float32")
        writer.op("CUMSUM", (pooled, axis), (result,), options=schema().CumsumOptionsT())
    return writer.finish((image,), (result,))


def custom_op_net(name: str = "FancyOp") -> bytes:
    """One custom op that no runtime knows."""
    writer = GraphWriter()
    x = writer.tensor("x", (1, 4), "float32")
    y = writer.tensor("y", (1, 4), "float32")
    writer.op("CUSTOM", (x,), (y,), custom=name)
    return writer.finish((x,), (y,))


def infinite_net() -> bytes:
    """Divides by zero: every output is NaN or infinite."""
    writer = GraphWriter()
    x = writer.tensor("x", (1, 8), "float32")
    zero = writer.tensor("zero", (1, 8), "float32", data=np.zeros((1, 8), np.float32))
    y = writer.tensor("y", (1, 8), "float32")
    writer.op("DIV", (x, zero), (y,), options=schema().DivOptionsT())
    return writer.finish((x,), (y,))


def integer_net(dtype: str = "int32", *, signature: bool = False) -> bytes:
    """Adds a wide-integer input to itself, besides a float input doubled: two inputs, two outputs.

    Args: signature: gives it a signature that lists both the other way round.
    """
    writer = GraphWriter()
    numbers = writer.tensor("numbers", (1, 100), dtype)
    reals = writer.tensor("reals", (1, 100), "float32")
    sums = writer.tensor("sums", (1, 100), dtype)
    doubles = writer.tensor("doubles", (1, 100), "float32")
    writer.op("ADD", (numbers, numbers), (sums,), options=schema().AddOptionsT())
    writer.op("ADD", (reals, reals), (doubles,), options=schema().AddOptionsT())
    if signature:
        writer.sign({"a": reals, "b": numbers}, {"a": doubles, "b": sums})
    return writer.finish((numbers, reals), (sums, doubles))


def matrix_net() -> bytes:
    """A fully connected layer over 300 inputs: enough terms for the order of summation to matter."""
    rng = np.random.default_rng(0)
    writer = GraphWriter()
    x = writer.tensor("x", (1, 300), "float32")
    weights = writer.tensor("weights", (70, 300), "float32", data=rng.normal(0, 0.1, (70, 300)).astype(np.float32))
    bias = writer.tensor("bias", (70,), "float32", data=np.zeros(70, np.float32))
    y = writer.tensor("y", (1, 70), "float32")
    writer.op("FULLY_CONNECTED", (x, weights, bias), (y,), options=schema().FullyConnectedOptionsT())
    return writer.finish((x,), (y,))
