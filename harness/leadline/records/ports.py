"""The ports: what one room asks of another without knowing which one answers.

Each has one contract suite in ``tests/contract``, run over the fake and the real thing alike.
(`Transport`, the lowest port, lives beside its implementations in ``leadline.rpc.transport``.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from leadline.records.trial import Artifact, Int64s, OpTime, Ready, RunConfig, Watched


class RunnerProcess(Protocol):
    """One launched process on one device that has loaded the artifact and waits for orders.

    Orders may be sent ahead of their answers, so that the device never idles between blocks.
    """

    ready: Ready

    def request(self, runs: int) -> None:
        """Order a block of `runs` ≥ 1 timed inferences; returns at once."""
        ...

    def block(self) -> RawBlock:
        """The answer to the oldest open request; waits for it.

        Raises: DeviceOffline, CommandTimeout, GarbledOutput, ModelRejected.
        """
        ...

    def profile(self, runs: int) -> tuple[OpTime, ...]:
        """Per-op times over `runs` inferences; only if launched with ``profile=True``, and with no request open."""
        ...

    def close(self) -> int | None:
        """End the process and return its peak resident memory in bytes, None if unknown. Safe to call twice."""
        ...


class RawBlock(Protocol):
    """Consecutive samples as the runner gave them. Arrays of shape (n,), see `leadline.records.trial.Block`."""

    @property
    def wall_ns(self) -> Int64s: ...
    @property
    def cpu_ns(self) -> Int64s: ...
    @property
    def switches(self) -> Int64s: ...
    @property
    def watched(self) -> Watched:
        """The watched files' texts, read by the agent right after the block."""
        ...


class Runner(Protocol):
    """Executes artifacts on one device through one backend."""

    name: str  # "litert", "litert-python"

    def prepare(self, artifact: Artifact) -> None:
        """Bring to the device what running `artifact` needs; cheap when it is there already."""
        ...

    def launch(
        self, artifact: Artifact, config: RunConfig, *, watch: Sequence[str] = (), profile: bool = False
    ) -> RunnerProcess:
        """Start a process, load the artifact, run the seeded input once.

        Args: watch: files on the device to read after each block.
        Raises: ModelRejected, WrongAbi, DeviceOffline, GarbledOutput …
        """
        ...
