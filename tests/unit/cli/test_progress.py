"""What a person sees while a session works."""

from __future__ import annotations

import io
import random

import pytest
from rich.console import Console

from leadline.cli.progress import LineProgress, LiveProgress, watching
from leadline.core.errors import DeviceOffline
from leadline.records.trial import Attempt
from tests.support.records import make_artifact, make_attempt, make_campaign, make_profile, make_trial

RNG = random.Random(0)
EVIL = "net\x1b[2J[red].tflite"
TRIAL = make_trial(RNG, make_campaign(RNG), "serial", make_artifact(RNG, EVIL))


def shown(*, terminal: bool, attempt: Attempt) -> str:
    """A session of one device that measures one trial and is then lost."""
    out = io.StringIO()
    with watching(Console(file=out, force_terminal=terminal, width=160)) as progress:
        progress.note("pi\n4", "building\x1b[31m")
        progress.device_ready("pi\n4", make_profile(RNG, "serial", model="Raspberry Pi 4"), 1, 3)
        progress.launch_started("pi\n4", TRIAL, 0)
        progress.runs("pi\n4", TRIAL, 0, 12, 4.2e6)
        progress.trial_ended("pi\n4", TRIAL, attempt)
        progress.device_ended("pi\n4", DeviceOffline("pi4: silent for 30 s"))
    return out.getvalue()


def test_a_terminal_gets_bars_and_anything_else_plain_lines() -> None:
    assert isinstance(watching(Console(file=io.StringIO(), force_terminal=True)), LiveProgress)
    assert type(watching(Console(file=io.StringIO()))) is LineProgress


def test_plain_lines_tell_what_a_log_should_keep() -> None:
    lines = shown(terminal=False, attempt=make_attempt(RNG, TRIAL)).splitlines()
    assert lines[0] == "pi\\n4: building\\x1b[31m"
    assert "Raspberry Pi 4" in lines[1]
    assert "1 trials of 3 launches" in lines[1]
    assert "median of" in lines[2]
    assert lines[3] == "pi\\n4: ended: pi4: silent for 30 s"
    assert "\x1b" not in "".join(lines)


def test_bars_show_the_trial_under_way_and_names_cannot_play_with_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")  # on a dumb terminal nothing can be drawn over
    out = io.StringIO()
    with watching(Console(file=out, force_terminal=True, width=160)) as progress:
        progress.device_ready("pi4", make_profile(RNG, "serial"), 1, 3)
        progress.launch_started("pi4", TRIAL, 0)
        progress.runs("pi4", TRIAL, 0, 12, 4.2e6)  # drawn at the latest when the block ends
    text = out.getvalue()
    assert "launch 1 · 12 runs · 4.20 ms" in text
    assert "net\\x1b[2J[red].tflite" in text


def test_a_failed_trial_is_told_even_above_the_bars() -> None:
    text = shown(terminal=True, attempt=make_attempt(RNG, TRIAL, "failed", error="net: op FOO is unknown"))
    assert "failed: net: op FOO is unknown" in text
