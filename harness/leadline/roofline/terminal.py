"""A roofline plot in plain text, to be read over SSH."""

from __future__ import annotations

import math
from collections.abc import Sequence

from leadline.roofline.figure import Dot, Figure, Line

_LEAST_COLUMNS = 40
_MARGIN = 8  # columns left of the vertical axis: "  1000 ┤"
_KERNEL = "·"
_ROOF_MARKS = "123456789"
_NETWORK_MARKS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TICKS = tuple(mantissa * 10.0**power for power in range(-6, 7) for mantissa in (1, 2, 5))


def draw(figure: Figure, *, columns: int = 80, rows: int = 20) -> str:
    """The plot and its legend as lines of at most `columns` characters, both axes logarithmic, no colours.

    Rising roofs are drawn with digits that the legend explains, networks with letters, kernels as ``·``; theoretical
    roofs with gaps.
    """
    columns = max(columns, _LEAST_COLUMNS)
    canvas = _Canvas(figure, columns - _MARGIN - 1, rows)
    numbered = [(_mark(_ROOF_MARKS, "#", i), line) for i, line in enumerate(figure.lines)]
    for mark, line in reversed(numbered):
        canvas.roof(line, mark)
    networks = [dot for dot in figure.dots if dot.kind == "network"]
    for dot in figure.dots:
        if dot.kind == "kernel":
            canvas.dot(dot, _KERNEL)
    marked = [(_mark(_NETWORK_MARKS, "*", i), dot) for i, dot in enumerate(networks)]
    for mark, dot in marked:
        canvas.dot(dot, mark)
    text = [figure.title, figure.subtitle, *(["!! " + figure.warning] if figure.warning else [])]
    text += [f"G{figure.unit}/s", *canvas.lines(), f"{f'{figure.unit}/byte':>{columns}}"]
    text += _legend(figure, numbered, marked)
    return "\n".join(_wrapped(text, columns)) + "\n"


class _Canvas:
    """A grid of characters on logarithmic axes; row 0 is the top."""

    def __init__(self, figure: Figure, width: int, height: int) -> None:
        self._x = tuple(math.log10(value) for value in figure.intensities)
        self._y = tuple(math.log10(value) for value in figure.performances)
        self._cells = [[" "] * width for _ in range(height)]
        self._width, self._height = width, height

    def roof(self, line: Line, mark: str) -> None:
        flat = "-" if line.theoretical else "─"
        for column in range(0, self._width, 2 if line.theoretical else 1):
            intensity = 10 ** self._intensity_at(column)
            row = self._row(line.gops(intensity))
            if row is not None:
                self._cells[row][column] = mark if intensity < line.ridge else flat

    def dot(self, dot: Dot, mark: str) -> None:
        row, column = self._row(dot.gops), self._column(dot.intensity)
        if row is not None and 0 <= column < self._width:
            self._cells[row][column] = mark

    def lines(self) -> list[str]:
        """Rows with their axis, and the horizontal axis with its ticks below."""
        ticks = {row: value for value in _TICKS if (row := self._row(value)) is not None}
        body = [
            f"{_number(ticks[row]) if row in ticks else '':>{_MARGIN - 2}} {'┤' if row in ticks else '│'}"
            + "".join(cells).rstrip()
            for row, cells in enumerate(self._cells)
        ]
        rule, labels = ["─"] * self._width, [" "] * (self._width + 3)
        for power in range(-20, 30):
            column = self._column(2.0**power)
            label = f"1/{2**-power}" if power < 0 else str(2**power)
            if not 0 <= column < self._width or power % 2:
                continue
            rule[column] = "┴"
            if not "".join(labels[max(0, column - 1) : column + len(label)]).strip():
                labels[column : column + len(label)] = label
        return [*body, " " * (_MARGIN - 1) + "└" + "".join(rule), " " * _MARGIN + "".join(labels).rstrip()]

    def _intensity_at(self, column: int) -> float:
        """log10 of the intensity in the middle of a column."""
        return self._x[0] + (self._x[1] - self._x[0]) * (column + 0.5) / self._width

    def _column(self, intensity: float) -> int:
        return math.floor((math.log10(intensity) - self._x[0]) / (self._x[1] - self._x[0]) * self._width)

    def _row(self, gops: float) -> int | None:
        """None outside of the plot."""
        height = (math.log10(gops) - self._y[0]) / (self._y[1] - self._y[0])
        row = self._height - 1 - math.floor(height * self._height)
        return row if 0 <= row < self._height else None


def _mark(marks: str, rest: str, index: int) -> str:
    """The character for the `index`-th thing; all that are too many share one."""
    return marks[index] if index < len(marks) else rest


def _legend(figure: Figure, roofs: Sequence[tuple[str, Line]], networks: Sequence[tuple[str, Dot]]) -> list[str]:
    unit = figure.unit
    lines = [
        f"  {mark} {line.name}: {_number(line.gbytes)} GB/s up to {_number(line.peak_gops)} G{unit}/s, "
        f"ridge at {_number(line.ridge)} {unit}/byte"
        for mark, line in roofs
    ]
    for mark, dot in networks:
        at = f"{_number(dot.gops)} G{figure.unit}/s at {_number(dot.intensity)} {figure.unit}/byte"
        lines.append(f"  {mark} {dot.name}: {at}, {dot.detail}")
    return lines


def _number(value: float) -> str:
    """Three significant digits, never in exponents: 0.0123, 4.06, 40.6, 1234."""
    if value >= 100:
        return f"{value:.0f}"
    digits = 2 - math.floor(math.log10(value)) if value > 0 else 0
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _wrapped(lines: Sequence[str], columns: int) -> list[str]:
    """Longer lines are broken at spaces, indented."""
    found = []
    for line in lines:
        rest = line
        while len(rest) > columns:
            cut = rest.rfind(" ", columns // 2, columns + 1)
            cut = cut if cut > 0 else columns
            found.append(rest[:cut].rstrip())
            rest = "      " + rest[cut:].lstrip()
        found.append(rest)
    return found
