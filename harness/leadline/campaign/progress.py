"""What a session tells while it works. The command line shows it; tests record it."""

from __future__ import annotations

from typing import Protocol

from leadline.core.errors import LeadlineError
from leadline.records.device import Profile
from leadline.records.trial import Attempt, Trial


class Progress(Protocol):
    """Called from the thread of the device concerned, several at a time: implementations lock for themselves."""

    def note(self, device: str, text: str) -> None:
        """Something slow begins or a person should know: "building the agent for aarch64"."""
        ...

    def device_ready(self, device: str, profile: Profile, trials: int, launches: int) -> None:
        """Measuring begins: so many trials, with so many launches in all."""
        ...

    def launch_started(self, device: str, trial: Trial, launch: int) -> None:
        """`launch` counts from 0 within the trial; launches of several trials alternate."""
        ...

    def runs(self, device: str, trial: Trial, launch: int, runs: int, median_ns: float) -> None:
        """After each timed block: timed runs of this launch so far, and their median."""
        ...

    def trial_ended(self, device: str, trial: Trial, attempt: Attempt) -> None: ...

    def device_ended(self, device: str, error: LeadlineError | None) -> None:
        """`error`: why the rest of this device's trials could not be tried; None: all were."""
        ...


class Silent:
    """Progress that nobody watches."""

    def note(self, device: str, text: str) -> None: ...

    def device_ready(self, device: str, profile: Profile, trials: int, launches: int) -> None: ...

    def launch_started(self, device: str, trial: Trial, launch: int) -> None: ...

    def runs(self, device: str, trial: Trial, launch: int, runs: int, median_ns: float) -> None: ...

    def trial_ended(self, device: str, trial: Trial, attempt: Attempt) -> None: ...

    def device_ended(self, device: str, error: LeadlineError | None) -> None: ...
