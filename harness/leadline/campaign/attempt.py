"""One try at a trial: launches on the device, gathered into the Attempt that the store commits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from threading import Event
from uuid import uuid4

import msgspec
import numpy as np

from leadline.campaign.launch import measure_launch
from leadline.core.clock import Clock
from leadline.core.errors import LeadlineError
from leadline.device.conditions import read_conditions, watch_paths
from leadline.records.device import Profile
from leadline.records.ports import Runner, RunnerProcess
from leadline.records.trial import (
    Artifact,
    Attempt,
    Block,
    Fingerprint,
    Int64s,
    Launch,
    OpTime,
    Outcome,
    OutputCheck,
    StopReason,
    Trial,
)
from leadline.runner.reference import compare_outputs

_RUNS_PER_OP = 20
_SEVERITY: tuple[OutputCheck, ...] = ("unchecked", "equal", "close", "different")

OnRuns = Callable[[int, int, float], None]  # launch index, timed runs so far, median of the last block in ns


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """A trial and what it takes to try it."""

    trial: Trial
    artifact: Artifact
    reference: tuple[Fingerprint, ...]  # the host's own outputs; empty: nothing to compare with
    per_op: bool = False  # a last launch, not timed as a whole, that times every op


class AttemptRecording:
    """Measures one trial and grows while it does, so that whatever ends it, nothing measured is lost."""

    def __init__(
        self, setting: Setting, runner: Runner, profile: Profile, *, clock: Clock, stop: Event, on_runs: OnRuns
    ) -> None:
        self._setting = setting
        self._runner = runner
        self._profile = profile
        self._clock = clock
        self._stop = stop
        self._on_runs = on_runs
        self.error: LeadlineError | None = None
        self._started_at: datetime | None = None
        self._launches: list[Launch] = []
        self._check: OutputCheck = "unchecked"
        self._warnings: list[str] = []

    @property
    def trial(self) -> Trial:
        return self._setting.trial

    @property
    def begun(self) -> bool:
        return self._started_at is not None

    @property
    def launches(self) -> int:
        """How many have been made."""
        return len(self._launches)

    def launch(self) -> bool:
        """Make the next launch. What goes wrong on the device ends the attempt and is kept in `error`, never raised.

        Returns: whether there is another launch to make.
        """
        self._started_at = self._started_at or self._clock.now()
        try:
            if not self._launches:
                self._runner.prepare(self._setting.artifact)
            self._launch(len(self._launches), per_op=len(self._launches) == self.trial.protocol.launches)
        except LeadlineError as error:
            self.error = error
            return False
        return len(self._launches) < self._planned and not self._stop.is_set()

    def finish(self) -> Attempt:
        """The attempt as it is: done, failed, or interrupted if launches are missing."""
        error = self.error
        complete = len(self._launches) == self._planned and all(each.stop != "interrupted" for each in self._launches)
        outcome: Outcome = "failed" if error else "done" if complete else "interrupted"
        now = self._clock.now()
        return Attempt(
            id=uuid4().hex,
            trial_id=self.trial.id,
            started_at=self._started_at or now,
            ended_at=now,
            outcome=outcome,
            error_kind=error.kind if error else None,
            error=str(error) if error else None,
            runner=self._runner.name,
            agent_version=self._profile.agent_version,
            output_check=self._check,
            warnings=tuple(self._warnings),
            launches=tuple(self._launches),
        )

    def measure(self) -> Attempt:
        """All launches in a row."""
        while self.launch():
            pass
        return self.finish()

    @property
    def _planned(self) -> int:
        return self.trial.protocol.launches + self._setting.per_op

    def _launch(self, index: int, *, per_op: bool) -> None:
        trial = self.trial
        process = self._runner.launch(
            self._setting.artifact, trial.config, watch=watch_paths(self._profile), profile=per_op
        )
        blocks: list[Block] = []
        ops: tuple[OpTime, ...] = ()
        why: StopReason = "interrupted"

        def take_block(warmup: bool) -> Int64s:
            raw = process.block()
            blocks.append(
                Block(
                    warmup=warmup,
                    wall_ns=raw.wall_ns,
                    cpu_ns=raw.cpu_ns,
                    switches=raw.switches,
                    conditions=read_conditions(raw.watched, self._profile),
                )
            )
            if not warmup:
                timed = sum(block.wall_ns.size for block in blocks if not block.warmup)
                self._on_runs(index, timed, float(np.median(raw.wall_ns)))
            return raw.wall_ns

        try:
            self._check_outputs(process)
            if per_op:
                ops, why = process.profile(_RUNS_PER_OP), "fixed"
            else:
                why = measure_launch(process, trial.protocol, take_block, self._stop)
        finally:
            self._launches.append(
                Launch(
                    index=index,
                    ready=process.ready,
                    peak_rss_bytes=process.close(),
                    stop=why,
                    blocks=tuple(blocks),
                    ops=ops,
                )
            )

    def _check_outputs(self, process: RunnerProcess) -> None:
        """Every launch computes the seeded input: the worst agreement with the host's own run is kept."""
        if not self._setting.reference:
            return
        check, difference = compare_outputs(process.ready.fingerprints, self._setting.reference)
        self._check = max(self._check, check, key=_SEVERITY.index)
        if difference and difference not in self._warnings:
            self._warnings.append(difference)
