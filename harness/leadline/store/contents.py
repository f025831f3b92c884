"""What leaves one store and enters another: the records of a bundle, whole."""

from __future__ import annotations

import msgspec

from leadline.records.device import Profile
from leadline.records.roofline import Sweep
from leadline.records.trial import Artifact, Attempt, Campaign, Trial


class Contents(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Each tuple in the store's fixed order. Trials come with campaign and artifact, attempts with their trial."""

    campaigns: tuple[Campaign, ...] = ()  # by creation
    profiles: tuple[Profile, ...] = ()  # by serial and time
    artifacts: tuple[Artifact, ...] = ()  # by SHA-256
    trials: tuple[Trial, ...] = ()  # by campaign, then as planned
    attempts: tuple[Attempt, ...] = ()  # by trial, then by start
    sweeps: tuple[Sweep, ...] = ()  # by time


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """How many records an import added; what the store had already is not counted."""

    campaigns: int = 0
    profiles: int = 0
    artifacts: int = 0
    trials: int = 0
    attempts: int = 0
    sweeps: int = 0


class Result(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One trial with all that is needed to show what came of it."""

    trial: Trial
    artifact: Artifact
    profile: Profile | None  # the device as probed last before the measurement
    attempt: Attempt | None  # the last that is done, with its samples; None: not measured yet
    last: Attempt | None  # the last try, whatever its outcome, without samples; None: never tried
    tries: int  # attempts so far
