"""Trials measured in rounds: one launch of each, then the next launch of each, and so on.

What disturbs a device comes in spells of seconds. Three launches in a row fall into one spell together and agree on a
wrong number; the same three launches spread over the measurement of other trials do not (docs/statistics.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from threading import Event

from leadline.campaign.attempt import AttemptRecording, Setting
from leadline.campaign.progress import Progress
from leadline.core.clock import Clock
from leadline.core.errors import TransientError
from leadline.records.device import Profile
from leadline.records.ports import Runner
from leadline.store.store import Store

# Trials whose launches alternate: enough for some ten seconds between two launches of one, few enough that a host
# that dies has little under way.
ROUND = 12


def measure_in_rounds(
    settings: Sequence[Setting],
    runner: Runner,
    profile: Profile,
    *,
    device: str,
    store: Store,
    progress: Progress,
    clock: Clock,
    stop: Event,
) -> None:
    """Measure trials on one device. Each attempt is committed when its last launch has ended.

    When `stop` is set, or the device is lost, attempts under way are committed with what they have.

    Raises: TransientError: the device is lost; the trials that were not begun stay planned.
    """
    for first in range(0, len(settings), ROUND):
        recordings = [
            AttemptRecording(
                setting,
                runner,
                profile,
                clock=clock,
                stop=stop,
                on_runs=partial(progress.runs, device, setting.trial),
            )
            for setting in settings[first : first + ROUND]
        ]
        _take_turns(recordings, device, store, progress, stop)


def _take_turns(
    recordings: Sequence[AttemptRecording], device: str, store: Store, progress: Progress, stop: Event
) -> None:
    unfinished = list(recordings)

    def finish(recording: AttemptRecording) -> None:
        attempt = recording.finish()
        store.commit(attempt)
        progress.trial_ended(device, recording.trial, attempt)

    try:
        while unfinished and not stop.is_set():
            for recording in list(unfinished):
                if stop.is_set():
                    break
                if not recording.begun:
                    store.start(recording.trial.id)
                progress.launch_started(device, recording.trial, recording.launches)
                if recording.launch():
                    continue
                unfinished.remove(recording)
                finish(recording)
                if isinstance(recording.error, TransientError):
                    raise recording.error
    finally:
        for recording in unfinished:
            if recording.begun:
                finish(recording)
