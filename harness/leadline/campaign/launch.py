"""One launch: warm up until steady, then time inferences until the median is known well enough."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Event

import numpy as np

from leadline.records.ports import RunnerProcess
from leadline.records.trial import Int64s, MeasureProtocol, StopReason
from leadline.stats.stopping import block_size, is_precise, is_steady

# Orders sent ahead of their answers, so that the device goes straight from one block to the next.
_OPEN_REQUESTS = 2

TakeBlock = Callable[[bool], Int64s]


def measure_launch(process: RunnerProcess, protocol: MeasureProtocol, take_block: TakeBlock, stop: Event) -> StopReason:
    """Drive a freshly launched process through one launch of the protocol.

    Args:
        take_block: waits for the process's next block, keeps it, and returns its wall times in ns, shape (n,); its
            argument says whether the block is a warm-up.
        stop: set to end the launch after the block at hand.
    Returns: why the launch ended.
    """
    pace_ns = _warm_up(process, protocol, take_block, stop)
    size = block_size(pace_ns, protocol)
    certain = protocol.max_runs if protocol.half_width is None else protocol.min_runs
    wall_ns: Int64s = np.empty(0, np.int64)
    requested: deque[int] = deque()
    while not stop.is_set():
        while len(requested) < _OPEN_REQUESTS and (missing := certain - wall_ns.size - sum(requested)) > 0:
            requested.append(min(size, missing))
            process.request(requested[-1])
        wall_ns = np.concatenate([wall_ns, take_block(False)])
        requested.popleft()
        if wall_ns.size < certain:
            continue
        if protocol.half_width is None:
            return "fixed"
        if is_precise(wall_ns, protocol):
            return "precise"
        if wall_ns.size >= protocol.max_runs:
            return "cap"
        certain = min(wall_ns.size + size, protocol.max_runs)
    return "interrupted"


def _warm_up(process: RunnerProcess, protocol: MeasureProtocol, take_block: TakeBlock, stop: Event) -> float:
    """Run until steady or at the cap; returns how long an inference takes then, in ns."""
    warm_ns: Int64s = np.empty(0, np.int64)
    while warm_ns.size < protocol.max_warmup and not stop.is_set() and not is_steady(warm_ns, protocol.batch):
        process.request(min(protocol.batch, protocol.max_warmup - warm_ns.size))
        warm_ns = np.concatenate([warm_ns, take_block(True)])
    return float(np.median(warm_ns[-protocol.batch :])) if warm_ns.size else float(process.ready.first_ns)
