"""A runner that runs nothing: samples drawn from a seeded model of a noisy device.

Ships, because schedules, stopping rules and stores are developed and tested against it to the letter.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from leadline.core.errors import BadInput, DeviceError
from leadline.records.trial import Artifact, Fingerprint, OpTime, Ready, RunConfig, TensorInfo, Watched
from leadline.runner.process import RunnerBlock


class FakeBehaviour(msgspec.Struct, frozen=True, kw_only=True):
    """How the pretended device behaves. Times multiply: median × noise × drift × launch."""

    median_ns: float = 4e6
    noise: float = 0.01  # standard deviation of log time between inferences
    autocorrelation: float = 0.3  # lag-1 correlation of that noise, in [0, 1)
    drift: float = 0.0  # log time gained per 1000 inferences: heat
    warmup: float = 0.0  # extra log time of a launch's first inference, halved every 5 inferences
    launch_noise: float = 0.01  # standard deviation of log time between launches
    contention: float = 0.0  # wall / CPU − 1
    peak_rss_bytes: int = 20 * 2**20
    output: str = "00"  # hexadecimal byte of which the output's digest is made
    watched: Mapping[str, str] = {}  # path → text, of every watched path that it knows


class FakeFault(msgspec.Struct, frozen=True):
    """Raise `error` at block number `block` (0-based, over all launches) or, if None, at the next launch."""

    error: DeviceError
    block: int | None = None
    times: int = 1  # so often, then never again


class FakeRunner:
    """See `leadline.records.ports.Runner`. The same seed and the same orders give the same samples."""

    name = "fake"

    def __init__(
        self, behaviour: FakeBehaviour | None = None, *, seed: int = 0, faults: Sequence[FakeFault] = ()
    ) -> None:
        self.behaviour = behaviour or FakeBehaviour()
        self.launches = 0
        self.blocks = 0
        self.prepared: list[str] = []  # digests, in order
        self._rng = np.random.default_rng(seed)
        self._faults = [(fault, [fault.times]) for fault in faults]

    def prepare(self, artifact: Artifact) -> None:
        self.prepared.append(artifact.sha256)

    def launch(
        self, artifact: Artifact, config: RunConfig, *, watch: Sequence[str] = (), profile: bool = False
    ) -> FakeProcess:
        self._fail_if_due(None)
        self.launches += 1
        pace = self.behaviour.launch_noise * self._rng.standard_normal()
        return FakeProcess(self, pace, watch, profile)

    def _fail_if_due(self, block: int | None) -> None:
        for fault, left in self._faults:
            if left[0] and fault.block == block:
                left[0] -= 1
                raise fault.error


class FakeProcess:
    """See `leadline.records.ports.RunnerProcess`."""

    def __init__(self, runner: FakeRunner, pace: float, watch: Sequence[str], profiled: bool) -> None:
        behaviour = runner.behaviour
        self._runner = runner
        self._pace = pace
        self._watch = tuple(watch)
        self._profiled = profiled
        self._open: deque[int] = deque()
        self._done = 0  # inferences of this launch
        self._wander = runner._rng.standard_normal()  # state of the AR(1) noise, unit variance
        output = Fingerprint(sha256=behaviour.output * 32, size=1000, mean=0.001, rms=0.03, head=(0.1,) * 64)
        self.ready = Ready(
            runtime="fake 1",
            load_ns=1_000_000,
            prepare_ns=20_000_000,
            first_ns=int(3 * behaviour.median_ns),
            op_count=10,
            delegated_ops=10,
            inputs=(TensorInfo(name="image", dtype="float32", shape=(1, 224, 224, 3)),),
            outputs=(TensorInfo(name="classes", dtype="float32", shape=(1, 1000)),),
            fingerprints=(output,),
        )

    def request(self, runs: int) -> None:
        if runs < 1:
            raise ValueError(f"a block has at least 1 inference, not {runs}")
        self._open.append(runs)

    def block(self) -> RunnerBlock:
        runs = self._open[0]
        number, self._runner.blocks = self._runner.blocks, self._runner.blocks + 1
        self._runner._fail_if_due(number)
        self._open.popleft()
        behaviour = self._runner.behaviour
        order = self._done + np.arange(runs)
        self._done += runs
        log_time = (
            self._noise(runs) + behaviour.drift * order / 1000 + behaviour.warmup * 0.5 ** (order / 5) + self._pace
        )
        wall_ns = np.maximum(1, np.rint(behaviour.median_ns * np.exp(log_time))).astype(np.int64)
        cpu_ns = np.rint(wall_ns / (1 + behaviour.contention)).astype(np.int64)
        switches = np.full(runs, int(behaviour.contention > 0), np.int64)
        return RunnerBlock(wall_ns, cpu_ns, switches, self._watched())

    def profile(self, runs: int) -> tuple[OpTime, ...]:
        if not self._profiled:
            raise BadInput("launched without profile=True")
        share = self._runner.behaviour.median_ns / 10
        return tuple(
            OpTime(index=i, name=f"Fake op {i}", delegated=True, median_ns=share, runs=runs) for i in range(10)
        )

    def close(self) -> int | None:
        return self._runner.behaviour.peak_rss_bytes

    def _noise(self, runs: int) -> npt.NDArray[np.float64]:
        rho = self._runner.behaviour.autocorrelation
        fresh = math.sqrt(1 - rho**2) * self._runner._rng.standard_normal(runs)
        for i in range(runs):
            self._wander = rho * self._wander + fresh[i]
            fresh[i] = self._wander
        return self._runner.behaviour.noise * fresh

    def _watched(self) -> Watched:
        known = self._runner.behaviour.watched
        return {path: known[path] for path in self._watch if path in known}
