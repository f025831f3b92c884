"""The MobileNet-V2 space of MonoNAS: inverted residual blocks with free depth, kernel and expansion.

224×224 input, width multiplier 1.3. Five stages of 2, 3 or 4 blocks and a sixth of one: 5 × 4 + 1 = 21 slots. Every
block has a depthwise kernel of 3, 5 or 7 and an expansion of 3, 4 or 6. Before them a 3×3 convolution and a block
without expansion, after them a 1×1 convolution ("feature mix"), the mean and a classifier of 1000 classes. The widths
are 40, 24, then 32, 56, 104, 128, 248 and 416 of the stages, and 1664.

Sources: B. Lu et al., "One Proxy Device Is Enough for Hardware-Aware Neural Architecture Search", SIGMETRICS 2022
(MonoNAS), which takes the space from H. Cai et al., "Once-for-All", ICLR 2020: class ``OFAProxylessNASNets`` of
https://github.com/mit-han-lab/once-for-all (base widths, strides, the sixth stage of depth 1, rounding to multiples of
8), network ``ofa_proxyless_d234_e346_k357_w1.3``. There sixth-stage kernel and expansion are free like the others.
With base widths of M. Sandler et al., "MobileNetV2", CVPR 2018, the space holds the original MobileNet-V2.

A block table has 90 different blocks of the five stages, 9 of the 21st slot, and the four fixed parts: 103 entries (94
without the choices of the 21st slot).
"""

from __future__ import annotations

import re

import msgspec
import numpy as np

from leadline.core.errors import BadInput
from leadline.core.text import printable
from leadline.search.space.network import (
    Add,
    Conv,
    Depthwise,
    FullyConnected,
    GlobalMean,
    Layer,
    Network,
    Shape,
    chain,
)

KERNELS = (3, 5, 7)
EXPANSIONS = (3, 4, 6)
DEPTHS = (2, 3, 4)
STAGE_DEPTHS = (DEPTHS,) * 5 + ((1,),)  # which depths each stage may have
STAGE_STRIDES = (2, 2, 2, 1, 2, 1)  # of a stage's first block
CLASSES = 1000

PROXYLESS_WIDTHS = (32, 16, 24, 40, 80, 96, 192, 320, 1280)  # stem, first block, six stages, feature mix
MOBILENET_V2_WIDTHS = (32, 16, 24, 32, 64, 96, 160, 320, 1280)


class Choice(msgspec.Struct, frozen=True, order=True):
    """What fills a slot."""

    kernel: int  # of KERNELS
    expansion: int  # of EXPANSIONS


class Architecture(msgspec.Struct, frozen=True, order=True):
    stages: tuple[tuple[Choice, ...], ...]  # six; a stage's depth is its length


class MobileNetV2(msgspec.Struct, frozen=True):
    """The space for one width multiplier and resolution."""

    name: str = "mobilenet_v2"
    base_widths: tuple[int, ...] = PROXYLESS_WIDTHS
    width_multiplier: float = 1.3
    resolution: int = 224

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of stem, first block, six stages and feature mix."""
        return tuple(_divisible(width * self.width_multiplier) for width in self.base_widths)

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Depths, kernels and expansions drawn uniformly and independently, as Once-for-All does. Not uniform over
        networks: most of those have the greatest depth."""

        def choose(options: tuple[int, ...]) -> int:
            return options[rng.integers(len(options))]

        return Architecture(
            tuple(
                tuple(Choice(choose(KERNELS), choose(EXPANSIONS)) for _ in range(choose(depths)))
                for depths in STAGE_DEPTHS
            )
        )

    def encode(self, architecture: Architecture) -> str:
        """``mobilenet_v2:k3e6,k5e4/…/k3e6``: stages by slashes, blocks by commas, k the kernel, e the expansion."""
        check(architecture)
        stages = (",".join(f"k{c.kernel}e{c.expansion}" for c in stage) for stage in architecture.stages)
        return f"{self.name}:{'/'.join(stages)}"

    def decode(self, text: str) -> Architecture:
        space, colon, choices = text.partition(":")
        if not colon or space != self.name:
            raise BadInput(f"architecture '{printable(text)}': does not start with {self.name}:")
        stages = tuple(
            tuple(_decode_choice(slot, stage_at, slot_at) for slot_at, slot in enumerate(stage.split(","), 1))
            for stage_at, stage in enumerate(choices.split("/"), 1)
        )
        architecture = Architecture(stages)
        check(architecture)
        return architecture

    def blocks(self, architecture: Architecture) -> tuple[Network, ...]:
        check(architecture)
        stem, first, *stage_widths, mix = self.widths
        parts = [_stem((1, self.resolution, self.resolution, 3), stem)]
        parts.append(_inverted_residual(parts[-1].shapes()[-1], first, Choice(3, 1), stride=1))
        for stage, width, stage_stride in zip(architecture.stages, stage_widths, STAGE_STRIDES, strict=True):
            for index, choice in enumerate(stage):
                stride = stage_stride if index == 0 else 1
                parts.append(_inverted_residual(parts[-1].shapes()[-1], width, choice, stride=stride))
        parts.append(_feature_mix(parts[-1].shapes()[-1], mix))
        parts.append(_classifier(parts[-1].shapes()[-1]))
        return tuple(parts)

    def network(self, architecture: Architecture) -> Network:
        return chain(self.blocks(architecture), name=self.name, architecture=self.encode(architecture))

    def block_table(self) -> tuple[Network, ...]:
        """Every different block of the space, in order of first appearance: what a lookup table must hold."""
        table: dict[str, Network] = {}
        for kernel in KERNELS:
            for expansion in EXPANSIONS:
                stages = tuple((Choice(kernel, expansion),) * max(depths) for depths in STAGE_DEPTHS)
                table |= {block.name: block for block in self.blocks(Architecture(stages))}
        return tuple(table.values())


SPACE = MobileNetV2()


def check(architecture: Architecture) -> None:
    """Raises: BadInput naming the stage, or the stage and block, that does not fit."""
    if len(architecture.stages) != len(STAGE_DEPTHS):
        raise BadInput(f"architecture: has {len(architecture.stages)} stages, but the space has {len(STAGE_DEPTHS)}")
    for stage_at, (stage, depths) in enumerate(zip(architecture.stages, STAGE_DEPTHS, strict=True), 1):
        _require(len(stage), depths, f"stage {stage_at}: depth")
        for slot_at, choice in enumerate(stage, 1):
            _require(choice.kernel, KERNELS, f"stage {stage_at}, block {slot_at}: kernel")
            _require(choice.expansion, EXPANSIONS, f"stage {stage_at}, block {slot_at}: expansion")


def _require(value: int, allowed: tuple[int, ...], what: str) -> None:
    if value not in allowed:
        raise BadInput(f"architecture: {what} {value} is not one of {', '.join(map(str, allowed))}")


def _decode_choice(text: str, stage_at: int, slot_at: int) -> Choice:
    match = re.fullmatch(r"k([0-9]{1,3})e([0-9]{1,3})", text)
    if not match:
        raise BadInput(f"architecture: stage {stage_at}, block {slot_at}: '{printable(text)}' is not written like k3e6")
    return Choice(int(match[1]), int(match[2]))


def _divisible(width: float, divisor: int = 8) -> int:
    """The nearest multiple of 8, but never more than a tenth below `width`."""
    rounded = max(divisor, int(width + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * width else rounded + divisor


def _size(shape: Shape) -> str:
    return "x".join(map(str, shape[1:]))


def _stem(shape: Shape, width: int) -> Network:
    return Network(f"stem-{_size(shape)}-{width}", shape, (Layer("conv", Conv(width, 3, 2, "relu6"), (0,)),))


def _inverted_residual(shape: Shape, width: int, choice: Choice, *, stride: int) -> Network:
    """Expand 1×1, depthwise k×k, project 1×1 without activation; the input is added where the shapes agree."""
    channels = shape[-1]
    layers = []
    if choice.expansion != 1:
        layers.append(Layer("expand", Conv(channels * choice.expansion, 1, 1, "relu6"), (0,)))
    layers.append(Layer("depthwise", Depthwise(choice.kernel, stride, "relu6"), (len(layers),)))
    layers.append(Layer("project", Conv(width, 1), (len(layers),)))
    if stride == 1 and channels == width:
        layers.append(Layer("add", Add(), (len(layers), 0)))
    name = f"block-{_size(shape)}-{width}-k{choice.kernel}e{choice.expansion}s{stride}"
    return Network(name, shape, tuple(layers))


def _feature_mix(shape: Shape, width: int) -> Network:
    return Network(f"mix-{_size(shape)}-{width}", shape, (Layer("conv", Conv(width, 1, 1, "relu6"), (0,)),))


def _classifier(shape: Shape) -> Network:
    layers = (Layer("mean", GlobalMean(), (0,)), Layer("classify", FullyConnected(CLASSES), (1,)))
    return Network(f"classifier-{_size(shape)}-{CLASSES}", shape, layers)
