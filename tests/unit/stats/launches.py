"""Launches made of given wall times, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from leadline.records.trial import Block, Launch, Ready

_READY = Ready(
    runtime="LiteRT 2.3.0",
    load_ns=1_000_000,
    prepare_ns=20_000_000,
    first_ns=30_000_000,
    op_count=60,
    delegated_ops=60,
    inputs=(),
    outputs=(),
    fingerprints=(),
)


def a_block(
    wall_ns: npt.ArrayLike,
    *,
    cpu_ns: npt.ArrayLike | None = None,
    switches: npt.ArrayLike | None = None,
    warmup: bool = False,
) -> Block:
    """By default the thread had its CPU for itself."""
    wall = np.asarray(wall_ns, np.int64)
    return Block(
        warmup=warmup,
        wall_ns=wall,
        cpu_ns=wall if cpu_ns is None else np.asarray(cpu_ns, np.int64),
        switches=np.zeros_like(wall) if switches is None else np.asarray(switches, np.int64),
        conditions=None,
    )


def a_launch(*blocks: Block, index: int = 0) -> Launch:
    return Launch(index=index, ready=_READY, peak_rss_bytes=None, stop="cap", blocks=blocks)


def launches_of(walls: Sequence[npt.ArrayLike] | npt.NDArray[np.int64]) -> list[Launch]:
    """One launch of one timed block for each series."""
    return [a_launch(a_block(wall_ns), index=index) for index, wall_ns in enumerate(walls)]
