"""A trial and what came of it: attempt → launches → blocks of raw samples."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from leadline.records.device import Conditions

Int64s = npt.NDArray[np.int64]


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """The file that runs, named by its SHA-256."""

    sha256: str
    name: str  # what the user calls it; any characters
    path: str  # on the host
    size_bytes: int
    flops: int | None = None  # 2 × multiply-accumulates of one inference
    parameters: int | None = None
    architecture: str | None = None  # the space's encoding, e.g. "mobilenet_v2:d=2,3,…"


class RunConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How an artifact is run."""

    threads: int
    cpus: tuple[int, ...] | None = None  # pinned to these; None: wherever the kernel likes
    cluster: str | None = None  # the cluster that `cpus` came from, if asked for by name
    delegate: str = "xnnpack"  # "xnnpack" | "none"


class MeasureProtocol(msgspec.Struct, frozen=True, kw_only=True):
    """How many inferences, and when to stop. Reads aloud as: `launches` processes, each warmed up until steady, then
    batches until the interval of the median of batch medians is inside ±`half_width`, at most `max_runs`."""

    name: str  # "default" | "paper" | "custom"
    launches: int  # process launches per attempt
    batch: int  # inferences per batch
    min_runs: int  # timed inferences per launch, at least
    max_runs: int  # at most: the cap
    max_warmup: int  # warm-up inferences per launch, at most
    half_width: float | None  # relative, 0.01 = ±1 %; None: always run max_runs
    confidence: float = 0.95


TrialState = Literal["planned", "running", "done", "failed"]


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One artifact × one device × one run configuration."""

    id: str  # UUID, hex
    campaign_id: str
    serial: str  # the device's
    artifact: str  # SHA-256
    model_name: str
    config: RunConfig
    protocol: MeasureProtocol
    state: TrialState = "planned"


class Campaign(msgspec.Struct, frozen=True, kw_only=True):
    id: str  # UUID, hex
    name: str
    created_at: datetime
    versions: dict[str, str]  # Leadline and every package whose version may matter


class TensorInfo(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    dtype: str  # "float32", "int8" …
    shape: tuple[int, ...]


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True):
    """One output tensor for the seeded input, small enough to keep.

    Equal digests are equal bytes. Different digests are compared by the sketch, since floating point may round
    differently on another CPU.
    """

    sha256: str  # of the tensor's bytes, little-endian
    size: int  # number of elements
    mean: float
    rms: float
    head: tuple[float, ...]  # evenly spaced elements, first and last included, at most 64


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """What a runner process says once it has loaded, prepared and run the model once."""

    runtime: str  # "LiteRT 2.3.0"
    load_ns: int  # reading the model file
    prepare_ns: int  # compiling, delegating, allocating
    first_ns: int  # the first inference
    op_count: int | None  # nodes of the graph
    delegated_ops: int | None  # of these, how many the delegate took
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    fingerprints: tuple[Fingerprint, ...]


class Block(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Consecutive inferences without a pause between them. All arrays have shape (n,), in order of execution."""

    warmup: bool  # kept, but never summarized
    wall_ns: Int64s  # CLOCK_MONOTONIC_RAW on the device, > 0
    cpu_ns: Int64s  # CPU time of the invoking thread, ≥ 0
    switches: Int64s  # involuntary context switches of that thread (ru_nivcsw), ≥ 0
    conditions: Conditions | None  # read right after the block


class OpTime(msgspec.Struct, frozen=True, kw_only=True):
    """One op of a per-op profile."""

    index: int
    name: str  # "Convolution (NHWC, F32) IGEMM" …
    delegated: bool
    median_ns: float
    runs: int


StopReason = Literal["precise", "cap", "fixed", "interrupted"]


class Launch(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One process on the device, from load to exit."""

    index: int
    ready: Ready
    peak_rss_bytes: int | None
    stop: StopReason
    blocks: tuple[Block, ...]
    ops: tuple[OpTime, ...] = ()


Outcome = Literal["done", "failed", "interrupted"]
OutputCheck = Literal["equal", "close", "different", "unchecked"]


class Attempt(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One try at a trial, as it is committed: whole, once, never changed."""

    id: str  # UUID, hex
    trial_id: str
    started_at: datetime
    ended_at: datetime
    outcome: Outcome
    error_kind: str | None = None  # class name of core.errors
    error: str | None = None
    runner: str = ""  # "litert" | "litert-python" | …
    agent_version: str = ""
    output_check: OutputCheck = "unchecked"
    warnings: tuple[str, ...] = ()  # what the samples do not tell
    launches: tuple[Launch, ...] = ()


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Derived from an attempt's timed samples; recomputed whenever it is asked for."""

    n: int  # timed samples
    launches: int
    median_ns: float  # median over launches of the launches' medians
    low_ns: float  # interval of the median at `confidence`
    high_ns: float
    confidence: float
    mean_ns: float  # over all samples: what the MonoNAS paper reports
    min_ns: float
    p95_ns: float
    effective_n: float  # samples' worth of information after autocorrelation, in (0, n]
    contention: float  # median wall / CPU time of the invoking thread, −1; 0 = undisturbed
    switches: int  # involuntary context switches, sum


Watched = Mapping[str, str]  # path → text, as the agent read it
