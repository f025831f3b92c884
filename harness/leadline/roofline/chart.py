"""Roofline charts as SVG, PNG or a web page that needs no network.

Altair is imported when a chart is made, and not before: it belongs to the extra ``report``.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, get_args

from leadline.core.errors import BadInput
from leadline.core.text import printable
from leadline.roofline.figure import Figure, Line
from leadline.roofline.labels import Label, Scale, place_labels

if TYPE_CHECKING:
    import altair

Format = Literal["svg", "png", "html"]

_WIDTH, _HEIGHT = 760, 460
_FONT = "Inter, Roboto, Helvetica, Arial, sans-serif"
_LEVEL_COLORS: Mapping[str, str] = {"L1": "#c8553d", "L2": "#d99a2b", "L3": "#3f8f6b", "DRAM": "#2f5d8c"}
_OTHER_COLORS = ("#2f5d8c", "#c8553d", "#3f8f6b", "#8a5a9e", "#d99a2b", "#4fa3b5", "#a0522d", "#6b7280")
_THEORETICAL = "#7a7f87"
_INK, _SOFT, _GRID, _ALARM = "#22262c", "#5c636e", "#e8eaee", "#b3261e"

_AXIS_STYLE = {
    "labelFontSize": 11,
    "labelColor": _SOFT,
    "titleFontSize": 12,
    "titleFontWeight": "normal",
    "titleColor": _INK,
    "titlePadding": 10,
    "gridColor": _GRID,
    "domainColor": _SOFT,
    "tickColor": _SOFT,
}
_LEGEND_STYLE = {
    "orient": "bottom",
    "title": None,
    "columns": 4,
    "columnPadding": 18,
    "labelFontSize": 11,
    "labelColor": _INK,
    "labelLimit": 320,
    "symbolSize": 140,
    "symbolStrokeWidth": 2.4,
}


def save_chart(figure: Figure, path: Path) -> None:
    """Write a chart; the ending of `path` says what kind.

    Raises: BadInput if the ending is not .svg, .png or .html, the folder cannot be written to, or altair is missing.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in get_args(Format):
        raise BadInput(f"{printable(str(path))}: cannot draw a chart of this kind; end the name in .svg, .png or .html")
    content = render(figure, kind)  # type: ignore[arg-type]
    try:
        path.write_bytes(content)
    except OSError as error:
        raise BadInput(f"{printable(str(path))}: {error.strerror or error}; choose another place") from error


def render(figure: Figure, kind: Format) -> bytes:
    """The chart as the bytes of a file. Raises: BadInput if altair is missing."""
    drawing = _drawing(figure)
    if kind == "png":
        binary = io.BytesIO()
        drawing.save(binary, format="png", scale_factor=2)
        return binary.getvalue()
    text = io.StringIO()
    if kind == "html":
        drawing.save(text, format="html", inline=True)  # with Vega in it: it shows without a network
    else:
        drawing.save(text, format="svg")
    return text.getvalue().encode()


def _drawing(figure: Figure) -> altair.LayerChart:
    alt = _altair()
    scale = Scale(width=_WIDTH, height=_HEIGHT, intensities=figure.intensities, performances=figure.performances)
    layers = [*([_watermark(alt)] if figure.warning else []), _roofs(alt, figure), *_dots(alt, figure)]
    for label in place_labels(figure, scale):
        layers += _label(alt, figure, label)
    chart = alt.layer(*layers).properties(width=_WIDTH, height=_HEIGHT, title=_title(figure), background="white")
    drawn: altair.LayerChart = chart.configure(
        font=_FONT, padding=16, view={"stroke": None}, axis=_AXIS_STYLE, legend=_LEGEND_STYLE
    )
    return drawn


def _title(figure: Figure) -> dict[str, Any]:
    return {
        "text": figure.title,
        "subtitle": [figure.subtitle, *([figure.warning] if figure.warning else [])],
        "anchor": "start",
        "fontSize": 17,
        "fontWeight": 600,
        "color": _INK,
        "subtitleFontSize": 12,
        "subtitleColor": _SOFT,
        "subtitlePadding": 6,
        "offset": 14,
    }


def _axes(alt: ModuleType, figure: Figure) -> tuple[altair.X, altair.Y]:
    low, high = figure.intensities
    ticks = [2.0**power for power in range(-30, 31, 2) if low <= 2.0**power <= high]
    rows = [m * 10.0**power for power in range(-6, 7) for m in (1, 2, 5)]
    x = alt.X(
        "intensity:Q",
        title=f"Operational intensity ({figure.unit}/byte)",
        scale=alt.Scale(type="log", base=2, domain=[low, high], nice=False),
        axis=alt.Axis(values=ticks, labelExpr="datum.value < 1 ? '1/' + round(1 / datum.value) : round(datum.value)"),
    )
    y = alt.Y(
        "gops:Q",
        title=f"Performance (G{figure.unit}/s)",
        scale=alt.Scale(type="log", domain=list(figure.performances), nice=False),
        axis=alt.Axis(
            format="~g", values=[row for row in rows if figure.performances[0] <= row <= figure.performances[1]]
        ),
    )
    return x, y


def _roofs(alt: ModuleType, figure: Figure) -> altair.Chart:
    rows = [
        {
            "roof": line.name,
            "intensity": intensity,
            "gops": line.gops(intensity),
            "kind": "theoretical" if line.theoretical else "measured",
            "bandwidth": f"{line.gbytes:.4g} GB/s",
            "peak": f"{line.peak_gops:.4g} G{figure.unit}/s",
            "ridge": f"{line.ridge:.3g} {figure.unit}/byte",
        }
        for line in figure.lines
        for intensity in _corners(figure, line)
    ]
    x, y = _axes(alt, figure)
    drawn: altair.Chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(strokeWidth=2.4, strokeJoin="round", clip=True)
        .encode(
            x=x,
            y=y,
            color=_color(alt, figure),
            strokeDash=alt.StrokeDash(
                "kind:N", scale=alt.Scale(domain=["measured", "theoretical"], range=[[1, 0], [7, 5]]), legend=None
            ),
            tooltip=["roof:N", "bandwidth:N", "peak:N", "ridge:N"],
        )
    )
    return drawn


def _dots(alt: ModuleType, figure: Figure) -> list[altair.Chart]:
    x, y = _axes(alt, figure)
    drawn = []
    for kind in ("kernel", "network"):
        rows = [
            {"name": d.name, "roof": d.line, "intensity": d.intensity, "gops": d.gops, "detail": d.detail}
            for d in figure.dots
            if d.kind == kind
        ]
        if not rows:
            continue
        chart = alt.Chart(alt.Data(values=rows))
        tooltip = [
            "name:N",
            alt.Tooltip("intensity:Q", format=".3g", title=f"{figure.unit}/byte"),
            alt.Tooltip("gops:Q", format=".3g", title=f"G{figure.unit}/s"),
            "detail:N",
        ]
        if kind == "kernel":
            mark = chart.mark_point(filled=True, size=26, opacity=0.45, clip=True)
            drawn.append(mark.encode(x=x, y=y, color=_color(alt, figure), tooltip=tooltip))
        else:
            mark = chart.mark_point(
                filled=True, size=70, shape="diamond", opacity=1, fill=_INK, stroke="white", strokeWidth=1.2, clip=True
            )
            drawn.append(mark.encode(x=x, y=y, tooltip=tooltip))
    return drawn


def _watermark(alt: ModuleType) -> altair.Chart:
    drawn: altair.Chart = alt.Chart(alt.Data(values=[{"text": "EMULATED"}])).mark_text(
        text="EMULATED", x=_WIDTH * 0.62, y=_HEIGHT * 0.62, fontSize=84, fontWeight=700, color=_ALARM, opacity=0.08
    )
    return drawn


def _label(alt: ModuleType, figure: Figure, label: Label) -> list[altair.Chart]:
    """The text over a white shadow of itself, so that grid and roofs do not cross it."""
    color = _ALARM if label.role == "warning" else _INK if label.line is None else _colors(figure)[label.line]
    base = alt.Chart(alt.Data(values=[{"text": label.text}]))
    where = {"x": label.x, "y": label.y, "angle": label.angle % 360, "align": label.align, "baseline": "middle"}
    what = {"text": label.text, "fontSize": 11, "fontWeight": 600 if label.role in ("peak", "warning") else 500}
    return [
        base.mark_text(**where, **what, stroke="white", strokeWidth=3.5, strokeJoin="round", color="white"),
        base.mark_text(**where, **what, color=color),
    ]


def _color(alt: ModuleType, figure: Figure) -> altair.Color:
    colors = _colors(figure)
    scale = alt.Scale(domain=list(colors), range=list(colors.values()))
    chosen: altair.Color = alt.Color("roof:N", scale=scale, legend=alt.Legend(symbolType="stroke", symbolOpacity=1.0))
    return chosen


def _colors(figure: Figure) -> dict[str, str]:
    """Roof → color: memory levels have theirs, data sheets are grey."""
    colors: dict[str, str] = {}
    for line in figure.lines:
        own = _THEORETICAL if line.theoretical else _LEVEL_COLORS.get(line.name)
        colors[line.name] = own or _OTHER_COLORS[len(colors) % len(_OTHER_COLORS)]
    return colors


def _corners(figure: Figure, line: Line) -> tuple[float, float, float]:
    low, high = figure.intensities
    return low, line.ridge, high


def _altair() -> ModuleType:
    """Raises: BadInput if altair, or what turns its charts into pictures, is not installed."""
    try:
        import altair
        import vl_convert  # noqa: F401  # altair would ask for it only while saving
    except ImportError as error:
        raise BadInput(
            f"charts: {error.name} is not installed; try: pip install 'leadline[report]' (the plot in the terminal "
            "needs nothing)"
        ) from error
    return altair
