"""How many inferences, and when to stop: the two protocols that have a name, and how to make others from them."""

from __future__ import annotations

import math

import msgspec

from leadline.core.errors import BadInput
from leadline.records.trial import MeasureProtocol

DEFAULT = MeasureProtocol(
    name="default",
    launches=3,
    batch=3,
    min_runs=12,
    max_runs=18,
    max_warmup=9,
    half_width=0.01,
)
"""At most 3 × (1 first + 9 warm-up + 18 timed) = 84 inferences, 57 where nothing disturbs. The price of three process
launches is part of a trial's device time, so that the runs per launch are few. Chosen by replay: docs/statistics.md."""

PAPER = MeasureProtocol(
    name="paper",
    launches=1,
    batch=10,
    min_runs=1000,
    max_runs=1000,
    max_warmup=10,
    half_width=None,
)
"""1000 runs in one process, to be summarized by their mean, as the MonoNAS paper reports latency."""

_MOST_LAUNCHES = 1_000
_MOST_RUNS = 1_000_000  # 24 MB of raw samples a launch: beyond this somebody mistyped


def custom(
    base: MeasureProtocol = DEFAULT,
    *,
    launches: int | None = None,
    batch: int | None = None,
    min_runs: int | None = None,
    max_runs: int | None = None,
    max_warmup: int | None = None,
    half_width: float | None = None,
    confidence: float | None = None,
) -> MeasureProtocol:
    """`base` with what is given changed, named "custom"; None leaves a value as it is.

    Asking for more runs at least than `base` allows at most raises that limit along, and the other way round.

    Raises: BadInput if a value is out of range or two contradict each other.
    """
    if min_runs is not None and max_runs is None:
        max_runs = max(base.max_runs, min_runs)
    if max_runs is not None and min_runs is None:
        min_runs = max_runs if base.half_width is None and half_width is None else min(base.min_runs, max_runs)
    given = {
        "launches": launches,
        "batch": batch,
        "min_runs": min_runs,
        "max_runs": max_runs,
        "max_warmup": max_warmup,
        "half_width": half_width,
        "confidence": confidence,
    }
    changed = {key: value for key, value in given.items() if value is not None}
    return validated(msgspec.structs.replace(base, name="custom", **changed))


def fixed(runs: int, *, base: MeasureProtocol = DEFAULT, launches: int | None = None) -> MeasureProtocol:
    """Exactly `runs` timed inferences per launch, however precise they are; the rest as in `base`.

    Raises: BadInput as `custom`.
    """
    without_target = msgspec.structs.replace(base, half_width=None)
    return custom(without_target, batch=min(base.batch, max(1, runs)), max_runs=runs, launches=launches)


def validated(protocol: MeasureProtocol) -> MeasureProtocol:
    """The same protocol, if it can be carried out.

    Raises: BadInput naming the field, its value and what it may be.
    """
    p = protocol
    _require_count("launches", p.launches, 1, _MOST_LAUNCHES)
    _require_count("max_runs", p.max_runs, 1, _MOST_RUNS)
    _require_count("min_runs", p.min_runs, 1, p.max_runs)
    _require_count("batch", p.batch, 1, p.max_runs)
    _require_count("max_warmup", p.max_warmup, 0, _MOST_RUNS)
    _require_fraction("confidence", p.confidence)
    if p.half_width is not None:
        _require_fraction("half_width", p.half_width)
        if p.max_runs < 2 * p.batch:
            raise BadInput(
                f"protocol: {p.max_runs} runs in batches of {p.batch} cannot show a half-width of {p.half_width:g}, "
                "which takes two batches or more; raise max_runs, lower batch, or ask for a fixed number of runs"
            )
    elif p.min_runs != p.max_runs:
        raise BadInput(
            f"protocol: min_runs {p.min_runs} and max_runs {p.max_runs} differ, but without a half-width nothing "
            "decides between them; give a half_width or make them equal"
        )
    return protocol


def _require_count(field: str, value: int, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BadInput(f"protocol: {field} is {value!r}; give a whole number from {least} to {most}")


def _require_fraction(field: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 < value < 1.0 or math.isnan(value):
        raise BadInput(f"protocol: {field} is {value!r}; give a fraction between 0 and 1, for example 0.01 for 1 %")
