"""FLOPs, parameters and bytes moved, of an op, a layer or a network.

One rule of counting for networks that we write and for files of others: an op is known by its name in the TFLite schema
and the shapes of its tensors. FLOPs are 2 × multiply-accumulates; ops without any (additions, activations, pooling,
reshaping) count 0, as in the published tables of MobileNets and Once-for-All. None: the name does not tell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from leadline.search.space.network import Conv, Depthwise, FullyConnected, GlobalMean, Layer, Network, Pool, Shape

# Ops that multiply and accumulate as their tensors' shapes tell.
_COUNTED = frozenset(
    {
        "BATCH_MATMUL",
        "CONV_2D",
        "CONV_3D",
        "CONV_3D_TRANSPOSE",
        "DEPTHWISE_CONV_2D",
        "FULLY_CONNECTED",
        "TRANSPOSE_CONV",
    }
)
# Ops that do so in another graph, in foreign code, or as more than shapes tell.
_UNCOUNTED = frozenset(
    {
        "BIDIRECTIONAL_SEQUENCE_LSTM",
        "BIDIRECTIONAL_SEQUENCE_RNN",
        "CALL",
        "CALL_ONCE",
        "CONCAT_EMBEDDINGS",
        "CUSTOM",
        "DELEGATE",
        "EMBEDDING_LOOKUP_SPARSE",
        "IF",
        "LSTM",
        "RFFT2D",
        "RNN",
        "SKIP_GRAM",
        "STABLEHLO_COMPOSITE",
        "STABLEHLO_CONVOLUTION",
        "STABLEHLO_CUSTOM_CALL",
        "STABLEHLO_DOT_GENERAL",
        "STABLEHLO_REDUCE_WINDOW",
        "STABLEHLO_WHILE",
        "SVDF",
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        "UNIDIRECTIONAL_SEQUENCE_RNN",
        "WHILE",
    }
)


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    flops: int | None  # 2 × multiply-accumulates; None: some op does not tell
    parameters: int  # elements of constant floating-point or quantized tensors: weights and biases
    bytes_moved: int | None  # inputs + constants + outputs of every op, once each; None: some tensor's size is unknown


def op_macs(name: str, inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> int | None:
    """Multiply-accumulates of one op.

    Args: name: as in the schema's BuiltinOperator. inputs, outputs: shapes of its tensors; None for one left out.
    Returns: None if this op's name and shapes do not tell.
    """
    if name in _UNCOUNTED:
        return None
    if name not in _COUNTED:
        return 0
    if len(inputs) < 2 or not outputs or inputs[0] is None or inputs[1] is None:
        return None
    weights, out = inputs[1], math.prod(outputs[0])
    data = inputs[2] if name.endswith(("TRANSPOSE", "TRANSPOSE_CONV")) and len(inputs) > 2 else inputs[0]
    match name, weights:
        case "CONV_2D", (_, height, width, channels):  # channels are those of one group
            return out * height * width * channels
        case "CONV_3D", (depth, height, width, channels, _):
            return out * depth * height * width * channels
        case "DEPTHWISE_CONV_2D", (_, height, width, _):
            return out * height * width
        case "FULLY_CONNECTED", (_, channels):
            return out * channels
        case "TRANSPOSE_CONV", (channels, height, width, _) if data:
            return math.prod(data) * height * width * channels
        case "CONV_3D_TRANSPOSE", (depth, height, width, channels, _) if data:
            return math.prod(data) * depth * height * width * channels
        case "BATCH_MATMUL", _ if data and len(data) >= 2 and len(outputs[0]) >= 2:
            # the sum runs over the one dimension of the left side, transposed or not, that is not the output's rows
            return out * (data[-1] * data[-2] // max(outputs[0][-2], 1))
    return None


def builtin_name(layer: Layer) -> str:
    """The op that a layer becomes in a .tflite file."""
    match layer.op:
        case Conv():
            return "CONV_2D"
        case Depthwise():
            return "DEPTHWISE_CONV_2D"
        case FullyConnected():
            return "FULLY_CONNECTED"
        case GlobalMean():
            return "MEAN"
        case Pool(kind="max"):
            return "MAX_POOL_2D"
        case Pool():
            return "AVERAGE_POOL_2D"
    return "ADD"


def weight_shape(layer: Layer, inputs: Sequence[Shape]) -> Shape | None:
    """The shape of a layer's weights as .tflite files store them; None if it has none. Its bias has one element per
    output channel."""
    channels = inputs[0][-1]
    match layer.op:
        case Conv() as op:
            return op.channels, op.kernel, op.kernel, channels
        case Depthwise() as op:
            return 1, op.kernel, op.kernel, channels
        case FullyConnected() as op:
            return op.units, channels
    return None


def layer_counts(network: Network, *, element_bytes: int = 4) -> tuple[Counts, ...]:
    """Counts of every layer.

    Args: element_bytes: 4 for float32; 1 for int8, whose biases have 4.
    """
    shapes = network.shapes()
    counts = []
    for layer, out in zip(network.layers, shapes[1:], strict=True):
        inputs = [shapes[value] for value in layer.inputs]
        weights = weight_shape(layer, inputs)
        macs = op_macs(builtin_name(layer), [*inputs, weights] if weights else inputs, [out])
        weight_count = math.prod(weights) if weights else 0
        bias_count = out[-1] if weights else 0
        axes_bytes = 8 if isinstance(layer.op, GlobalMean) else 0  # the reduced axes are a constant of two int32
        activations = math.prod(out) + sum(math.prod(shape) for shape in inputs)
        counts.append(
            Counts(
                flops=None if macs is None else 2 * macs,
                parameters=weight_count + bias_count,
                bytes_moved=element_bytes * (activations + weight_count) + 4 * bias_count + axes_bytes,
            )
        )
    return tuple(counts)


def network_counts(network: Network, *, element_bytes: int = 4) -> Counts:
    """The sums over a network's layers."""
    return total(layer_counts(network, element_bytes=element_bytes))


def total(counts: Sequence[Counts]) -> Counts:
    """Sums; unknown where any part is."""
    return Counts(
        flops=sum_known([c.flops for c in counts]),
        parameters=sum(c.parameters for c in counts),
        bytes_moved=sum_known([c.bytes_moved for c in counts]),
    )


def sum_known(values: Sequence[int | None]) -> int | None:
    """The sum, or None if any value is."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
