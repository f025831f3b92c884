"""Where names stand in a roofline chart so that they cover neither each other nor the dots. All lengths in pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from leadline.roofline.figure import MEANINGLESS, Figure, Line

_CHARACTER = 6.2  # average width of one at 11 px
_HEIGHT = 13.0
_ABOVE = 5.0  # from a roof to the foot of its name
_DOT = 7.0  # radius kept free around a network's dot
_PAD = 4.0


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """A text and where its anchor is; pixels count from the top left corner of the plot."""

    text: str
    role: Literal["roof", "peak", "network", "warning"]
    line: str | None  # the roof it names; None: none, or several that share a peak
    x: float
    y: float
    angle: float  # degrees, clockwise
    align: Literal["left", "center", "right"]


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """Logarithmic axes over a plot of `width` × `height`."""

    width: float
    height: float
    intensities: tuple[float, float]
    performances: tuple[float, float]

    def x(self, intensity: float) -> float:
        return self.width * _share(intensity, self.intensities)

    def y(self, gops: float) -> float:
        return self.height * (1.0 - _share(gops, self.performances))

    def intensity(self, x: float) -> float:
        """The inverse of `x`."""
        low, high = self.intensities
        return low * math.pow(high / low, x / self.width)

    @property
    def slope(self) -> float:
        """Angle of a rising roof above the horizontal, radians."""
        rise = self.height / math.log(self.performances[1] / self.performances[0])
        return math.atan2(rise, self.width / math.log(self.intensities[1] / self.intensities[0]))


class _Box(msgspec.Struct, frozen=True):
    """The corners of a text, as a turned rectangle: center, half extents and angle (radians, anticlockwise)."""

    x: float
    y: float
    half_width: float
    half_height: float
    angle: float

    def corners(self) -> list[tuple[float, float]]:
        along = (math.cos(self.angle), -math.sin(self.angle))
        across = (math.sin(self.angle), math.cos(self.angle))
        return [
            (
                self.x + i * self.half_width * along[0] + j * self.half_height * across[0],
                self.y + i * self.half_width * along[1] + j * self.half_height * across[1],
            )
            for i in (-1, 1)
            for j in (-1, 1)
        ]


def place_labels(figure: Figure, scale: Scale) -> list[Label]:
    """Names for all roofs, and for as many networks as find a free place.

    Roofs are named along their rising part, or in the legend only if that is too short; peaks above or below the flat
    part, once for roofs that share it. Networks without a free place tell their name to who points at them.
    """
    dots = [dot for dot in figure.dots if dot.kind == "network"]
    taken = [_Box(scale.x(d.intensity), scale.y(d.gops), _DOT, _DOT, 0.0) for d in dots]
    labels: list[Label] = []
    if figure.warning:  # is said in any case
        label, box = _corner(f"emulated: {MEANINGLESS}", scale)
        labels.append(label)
        taken.append(box)
    candidates = [_flat(line, scale, figure) for line in _one_per_peak(figure.lines)]
    candidates += [_rising(line, scale) for line in figure.lines]
    candidates += [_beside(dot.name, scale.x(dot.intensity), scale.y(dot.gops)) for dot in dots]
    for options in candidates:
        free = [
            (_crossed(box, figure.lines, scale), label, box)
            for label, box in options
            if _inside(box, scale) and not any(_overlap(box, other) for other in taken)
        ]
        if free:
            _, label, box = min(free, key=lambda option: option[0])  # the first of those that cross fewest roofs
            labels.append(label)
            taken.append(box)
    return labels


def _corner(text: str, scale: Scale) -> tuple[Label, _Box]:
    """Bottom right, where no roof comes."""
    half, y = _width(text) / 2, scale.height - _HEIGHT
    label = Label(text=text, role="warning", line=None, x=scale.width - _PAD, y=y, angle=0.0, align="right")
    return label, _Box(scale.width - _PAD - half, y, half, _HEIGHT / 2, 0.0)


def _flat(line: Line, scale: Scale, figure: Figure) -> Iterator[tuple[Label, _Box]]:
    text = f"{line.peak_gops:.3g} G{figure.unit}/s"
    alone = sum(other.peak_gops == line.peak_gops for other in figure.lines) == 1
    half = _width(text) / 2
    x, left = scale.width - _PAD, scale.x(line.ridge)
    while x - 2 * half > left:
        for y in (scale.y(line.peak_gops) - _ABOVE - _HEIGHT / 2, scale.y(line.peak_gops) + _ABOVE + _HEIGHT / 2):
            label = Label(text=text, role="peak", line=line.name if alone else None, x=x, y=y, angle=0.0, align="right")
            yield label, _Box(x - half, y, half, _HEIGHT / 2, 0.0)
        x -= 20


def _rising(line: Line, scale: Scale) -> Iterator[tuple[Label, _Box]]:
    text = f"{line.name}  {line.gbytes:.3g} GB/s"
    half, angle = _width(text) / 2, scale.slope
    low = max(scale.intensities[0], scale.performances[0] / line.gbytes)
    start = (scale.x(low), scale.y(line.gops(low)))
    length = (scale.x(line.ridge) - start[0]) / math.cos(angle)
    for side in (1, -1):  # above, else below
        along = half + 3 * _PAD
        while along + half < length:
            foot = (start[0] + along * math.cos(angle), start[1] - along * math.sin(angle))
            rise = side * (_ABOVE + _HEIGHT / 2)
            x, y = foot[0] - rise * math.sin(angle), foot[1] - rise * math.cos(angle)
            label = Label(text=text, role="roof", line=line.name, x=x, y=y, angle=-math.degrees(angle), align="center")
            yield label, _Box(x, y, half, _HEIGHT / 2, angle)
            along += 12


def _beside(text: str, x: float, y: float) -> Iterator[tuple[Label, _Box]]:
    """Right of a network's dot, left, above or below: nearer to it than to any other dot."""
    half, gap, rise = _width(text) / 2, _DOT + 2, _DOT + _HEIGHT / 2 + 1
    spots: tuple[tuple[float, float, float, Literal["left", "center", "right"]], ...] = (
        (gap, half, 0.0, "left"),
        (-gap, -half, 0.0, "right"),
        (0.0, 0.0, -rise, "center"),
        (0.0, 0.0, rise, "center"),
    )
    for dx, middle, dy, align in spots:
        label = Label(text=text, role="network", line=None, x=x + dx, y=y + dy, angle=0.0, align=align)
        yield label, _Box(x + dx + middle, y + dy, half, _HEIGHT / 2, 0.0)


def _one_per_peak(lines: Sequence[Line]) -> list[Line]:
    """Roofs that share a peak have one flat part."""
    return list({(line.peak_gops, line.theoretical): line for line in reversed(lines)}.values())[::-1]


def _width(text: str) -> float:
    return _CHARACTER * len(text) + _PAD


def _share(value: float, limits: tuple[float, float]) -> float:
    return math.log(value / limits[0]) / math.log(limits[1] / limits[0])


def _inside(box: _Box, scale: Scale) -> bool:
    return all(0 <= x <= scale.width and 0 <= y <= scale.height for x, y in box.corners())


def _crossed(box: _Box, lines: Sequence[Line], scale: Scale) -> int:
    """How many roofs go through a rectangle: those with corners of it on both sides."""
    corners = [(scale.intensity(x), y) for x, y in box.corners()]
    return sum(len({y < scale.y(line.gops(intensity)) for intensity, y in corners}) == 2 for line in lines)


def _overlap(a: _Box, b: _Box) -> bool:
    """Whether two turned rectangles meet: no side of either separates them (separating axis theorem)."""
    for angle in (a.angle, b.angle):
        for axis in ((math.cos(angle), -math.sin(angle)), (math.sin(angle), math.cos(angle))):
            first = [x * axis[0] + y * axis[1] for x, y in a.corners()]
            second = [x * axis[0] + y * axis[1] for x, y in b.corners()]
            if max(first) < min(second) or max(second) < min(first):
                return False
    return True
