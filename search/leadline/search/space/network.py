"""What a space yields: a network as frozen records, independent of any file format.

A network is a list of layers in order of execution. *Value* 0 is its input and value ``i + 1`` is what layer ``i``
yields; the last value is the output. All values are images of batch 1, shape ``(1, height, width, channels)``, or after
`GlobalMean` vectors of shape ``(1, channels)``. Batch normalization is folded: every `Conv`, `Depthwise` and
`FullyConnected` has a bias. Padding is TFLite's SAME: a stride of s divides height and width by s, rounded up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

Shape = tuple[int, ...]
Activation = Literal["none", "relu", "relu6"]


class Conv(msgspec.Struct, frozen=True, tag=True):
    channels: int  # of the output
    kernel: int  # height and width
    stride: int = 1
    activation: Activation = "none"


class Depthwise(msgspec.Struct, frozen=True, tag=True):
    kernel: int
    stride: int = 1
    activation: Activation = "none"


class Add(msgspec.Struct, frozen=True, tag=True):
    """Sum of two values of one shape."""

    activation: Activation = "none"


class Pool(msgspec.Struct, frozen=True, tag=True):
    kind: Literal["average", "max"]
    kernel: int
    stride: int


class GlobalMean(msgspec.Struct, frozen=True, tag=True):
    """Mean over height and width: ``(1, h, w, c)`` → ``(1, c)``."""


class FullyConnected(msgspec.Struct, frozen=True, tag=True):
    units: int
    activation: Activation = "none"


Op = Conv | Depthwise | Add | Pool | GlobalMean | FullyConnected


class Layer(msgspec.Struct, frozen=True):
    name: str
    op: Op
    inputs: tuple[int, ...]  # values; (n,) with n the layer's own index: what the layer before yields


class Network(msgspec.Struct, frozen=True):
    """A whole network, a block of one, or a single layer.

    `name` of a block or layer says all that its latency may depend on: equal names, equal work.
    """

    name: str
    input_shape: Shape
    layers: tuple[Layer, ...]
    architecture: str | None = None  # the space's encoding, for whole networks

    def shapes(self) -> tuple[Shape, ...]:
        """The shape of every value; the last is the output's.

        Raises: ValueError naming the layer whose inputs do not fit: the space that built it is wrong.
        """
        if not self.layers:
            raise ValueError(f"{self.name}: has no layers")
        shapes = [self.input_shape]
        for index, layer in enumerate(self.layers):
            if not all(0 <= value <= index for value in layer.inputs):
                raise ValueError(f"{self.name}: layer {layer.name} takes a value that is not there yet: {layer.inputs}")
            try:
                shapes.append(output_shape(layer.op, [shapes[value] for value in layer.inputs]))
            except ValueError as error:
                raise ValueError(f"{self.name}: layer {layer.name}: {error}") from None
        return tuple(shapes)


def output_shape(op: Op, inputs: Sequence[Shape]) -> Shape:
    """The shape that `op` makes of `inputs`. Raises: ValueError if they do not fit."""
    match op, inputs:
        case Conv(), [(1, height, width, _)]:
            return 1, -(-height // op.stride), -(-width // op.stride), op.channels
        case ((Depthwise() | Pool()), [(1, height, width, channels)]):
            return 1, -(-height // op.stride), -(-width // op.stride), channels
        case Add(), [left, right] if left == right:
            return left
        case GlobalMean(), [(1, _, _, channels)]:
            return 1, channels
        case FullyConnected(), [(1, _)]:
            return 1, op.units
    raise ValueError(f"{type(op).__name__} cannot take {' and '.join(map(str, inputs)) or 'nothing'}")


def single(op: Op, input_shape: Shape) -> Network:
    """One layer as a network. An `Add` takes its input twice."""
    size = "x".join(map(str, input_shape[1:]))
    what = "-".join(str(value) for value in msgspec.structs.astuple(op) if value != "none")
    name = f"{type(op).__name__.lower()}-{what}-{size}" if what else f"{type(op).__name__.lower()}-{size}"
    return Network(name, input_shape, (Layer("layer", op, (0, 0) if isinstance(op, Add) else (0,)),))


def chain(parts: Sequence[Network], *, name: str, architecture: str | None = None) -> Network:
    """One network that runs `parts` one after the other; layers are renamed ``<index of the part>.<layer>``.

    Raises: ValueError if a part does not take what the one before yields.
    """
    layers: list[Layer] = []
    shape = parts[0].input_shape
    for index, part in enumerate(parts):
        if part.input_shape != shape:
            raise ValueError(f"{name}: {part.name} takes {part.input_shape}, but gets {shape}")
        first = len(layers)
        for layer in part.layers:
            inputs = tuple(first + value for value in layer.inputs)
            layers.append(Layer(f"{index}.{layer.name}", layer.op, inputs))
        shape = part.shapes()[-1]
    return Network(name, parts[0].input_shape, tuple(layers), architecture)
