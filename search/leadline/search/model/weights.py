"""Seeded values for the weights of a network, such that its activations keep their scale.

Why not simply random: with weights too small the outputs fade to denormals; with weights too large every ReLU6
saturates and the rounding differences between two CPUs grow to different outputs. So every layer's outputs aim at a
standard deviation of 1 before the activation (K. He et al., "Delving Deep into Rectifiers", ICCV 2015), estimated layer
by layer from the mean square of its inputs. Times do not depend on the values.

Why one blob: a file with weights of its own takes 20 MB, and 60 ms to fill. Instead all layers look at parts of one
random blob, at different offsets; only biases and scales, which are small, are a layer's own. The runtimes pack weights
when they load a model, so that sharing shows in loading and in the size of the file, not in the time of an inference.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from leadline.search.model.counts import weight_shape
from leadline.search.space.network import (
    Add,
    Conv,
    Depthwise,
    FullyConnected,
    GlobalMean,
    Layer,
    Network,
    Pool,
    Shape,
)

DType = Literal["float32", "int8"]

ALIGNMENT = 64  # bytes; the runtimes ask for constant tensors at multiples of 16
SLACK = 4096  # elements by which a region exceeds its largest tensor, so that this one, too, can start at many places
FLOAT_STDS = (1 / 4, 1 / 16)  # one region of the blob for each: float weights cannot be rescaled without a copy
INT8_STD = 127 / math.sqrt(3)  # of integers uniform in [−127, 127]; rescaled by the tensors' own scales
INPUT_SQUARE = 1 / 3  # of the seeded input, uniform in [−1, 1)
BIAS_STD = 0.1  # relative to the outputs'
REACH = 4.5  # standard deviations that the range of an int8 tensor covers on each side


class Quantization(msgspec.Struct, frozen=True):
    """real = scale × (integer − zero_point)"""

    scale: float
    zero_point: int


class Place(msgspec.Struct, frozen=True):
    """A constant tensor's part of the blob, in bytes."""

    offset: int
    size: int


class Constants(msgspec.Struct, frozen=True, eq=False):
    """Weights and bias of one layer."""

    shape: Shape  # of the weights, as .tflite files store them
    weights: Place
    bias: Place
    scales: npt.NDArray[np.float32]  # of the weights, shape (output channels,); 1 for float32


class Plan(msgspec.Struct, frozen=True, eq=False):
    """Everything numeric of a file."""

    blob: tuple[npt.NDArray[np.uint8], ...]  # consecutive parts
    quantizations: tuple[Quantization, ...]  # of every value of the network; meaningful for int8 only
    constants: tuple[Constants | None, ...]  # of every layer; None: it has no weights


class _Value(msgspec.Struct, frozen=True):
    """What is expected of a value of the network."""

    square: float  # mean of squares
    quantization: Quantization


def plan_weights(network: Network, *, seed: int, dtype: DType) -> Plan:
    """Choose a place in the blob, a bias and scales for every layer.

    The same arguments give the same plan on every machine and with every version of numpy: only raw bits are drawn.

    Args: seed: ≥ 0.
    """
    shapes = network.shapes()
    values = [_Value(INPUT_SQUARE, Quantization(1 / 128, 0))]
    stds = []
    for layer in network.layers:
        inputs = [values[value] for value in layer.inputs]
        summed = _fan_in(layer, shapes[layer.inputs[0]]) * inputs[0].square
        stds.append(_weight_std(summed, dtype))
        values.append(_expect(layer, inputs, summed * stds[-1] ** 2))

    weights = [weight_shape(layer, [shapes[value] for value in layer.inputs]) for layer in network.layers]
    blob = _Blob([math.prod(shape) if shape else 0 for shape in weights], stds, dtype, seed)
    ends = np.cumsum([shape[-1] for shape in shapes[1:]])
    noises = _uniform(seed, 1, 2 * int(ends[-1])).reshape(2, -1)
    constants: list[Constants | None] = []
    for index, (layer, shape, std) in enumerate(zip(network.layers, weights, stds, strict=True)):
        if shape is None:
            constants.append(None)
            continue
        noise = noises[:, ends[index] - shapes[index + 1][-1] : ends[index]]
        bias, scales = BIAS_STD * noise[0], np.ones(noise.shape[1], np.float32)
        if dtype == "int8":
            scales = (std / INT8_STD * (1 + noise[1] / 8)).astype(np.float32)
            bias = np.rint(bias / (scales * values[layer.inputs[0]].quantization.scale))
        constants.append(Constants(shape, blob.weights(index), blob.append(bias), scales))
    return Plan(tuple(blob.parts), tuple(value.quantization for value in values), tuple(constants))


def _fan_in(layer: Layer, shape: Shape) -> int:
    """How many products are summed to one output; 0 for layers without weights."""
    match layer.op:
        case Conv() as op:
            return op.kernel**2 * shape[-1]
        case Depthwise() as op:
            return op.kernel**2
        case FullyConnected():
            return shape[-1]
    return 0


def _weight_std(summed: float, dtype: DType) -> float:
    """The standard deviation of weights that gives outputs of 1, or the nearest on offer.

    Args: summed: expected sum of squares of the inputs that make one output.
    """
    if not summed:
        return 0.0
    wanted = 1 / math.sqrt(summed)
    return wanted if dtype == "int8" else min(FLOAT_STDS, key=lambda std: abs(math.log(std / wanted)))


def _expect(layer: Layer, inputs: list[_Value], weighted_square: float) -> _Value:
    """What to expect of a layer's output.

    Args: weighted_square: mean square of the weighted sum, for layers with weights.
    """
    match layer.op:
        case Pool():
            return inputs[0]  # the schema wants the scales of input and output equal
        case GlobalMean():
            return _Value(inputs[0].square / 2, inputs[0].quantization)  # between (mean)² and mean of squares
        case Add(activation=activation):
            std = math.sqrt(sum(value.square for value in inputs))
        case Conv(activation=activation) | Depthwise(activation=activation) | FullyConnected(activation=activation):
            std = math.sqrt(weighted_square * (1 + BIAS_STD**2))
    if activation == "none":
        return _Value(std**2, Quantization(REACH * std / 127, 0))
    limit = 6.0 if activation == "relu6" else math.inf
    return _Value(_rectified_square(std, limit), Quantization(min(limit, REACH * std) / 255, -128))


def _rectified_square(std: float, limit: float) -> float:
    """Mean of min(max(z, 0), limit)² for normal z of mean 0; rounded, lest a libm's last bit change a file."""
    if math.isinf(limit):
        return std**2 / 2
    a = limit / std
    below = math.erf(a / math.sqrt(2)) / 2  # P(0 < z < limit)
    density = math.exp(-(a**2) / 2) / math.sqrt(2 * math.pi)
    return round(std**2 * (below - a * density) + limit**2 * (0.5 - below), 6)


class _Blob:
    """The random bytes of a file: one region of weights for each standard deviation on offer, then the biases."""

    def __init__(self, sizes: list[int], stds: list[float], dtype: DType, seed: int) -> None:
        """Args: sizes: elements of every layer's weights, 0 for none; stds: of every layer's weights."""
        self.parts: list[npt.NDArray[np.uint8]] = []
        self._end = 0
        self._sizes = sizes
        self._type = np.dtype("<f4" if dtype == "float32" else "i1")
        self._region_of = [std if dtype == "float32" else INT8_STD for std in stds]
        self._regions: dict[float, Place] = {}
        for region in sorted({std for std, size in zip(self._region_of, sizes, strict=True) if size}):
            inside = [size for std, size in zip(self._region_of, sizes, strict=True) if std == region and size]
            room = max(inside) + (SLACK if len(inside) > 1 else 0)
            self._regions[region] = self._append(_random_weights(seed, region, room, dtype))

    def weights(self, index: int) -> Place:
        """The place of a layer's weights: somewhere in their region, each layer elsewhere."""
        region, size = self._regions[self._region_of[index]], self._sizes[index] * self._type.itemsize
        starts = (region.size - size) // ALIGNMENT + 1
        return Place(region.offset + index * 40_503 % starts * ALIGNMENT, size)

    def append(self, bias: npt.NDArray[np.float32]) -> Place:
        """Add a layer's bias."""
        return self._append(bias.astype("<f4" if self._type.itemsize == 4 else "<i4").view(np.uint8))

    def _append(self, part: npt.NDArray[np.uint8]) -> Place:
        start = -(-self._end // ALIGNMENT) * ALIGNMENT
        self.parts += [np.zeros(start - self._end, np.uint8), part]
        self._end = start + part.size
        return Place(start, part.size)


@lru_cache(maxsize=2)
def _random_weights(seed: int, std: float, count: int, dtype: DType) -> npt.NDArray[np.uint8]:
    """The bytes of one region. Kept, because the networks of one sample mostly share their largest layer."""
    if dtype == "int8":
        return np.maximum(_bits(seed, 0, count).view(np.int8), np.int8(-127)).view(np.uint8)
    weights = _uniform(seed, 0, count)
    weights *= np.float32(std)
    return weights.astype("<f4", copy=False).view(np.uint8)


def _uniform(seed: int, stream: int, count: int) -> npt.NDArray[np.float32]:
    """Uniform numbers of mean 0 and standard deviation 1, shape (count,); never zero, so never denormal."""
    numbers = _bits(seed, stream, 2 * count).view("<u2").astype(np.float32)
    numbers -= np.float32(32767.5)
    numbers *= np.float32(math.sqrt(12) / 65536)
    return numbers


def _bits(seed: int, stream: int, count: int) -> npt.NDArray[np.uint8]:
    """Random bytes, shape (count,): the raw output of PCG64, which numpy promises never to change."""
    words = np.random.PCG64([seed, stream]).random_raw(-(-count // 8))
    return words.astype("<u8", copy=False).view(np.uint8)[:count]
