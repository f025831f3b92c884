"""What is in a bundle, in a few lines."""

from __future__ import annotations

from collections import Counter
from typing import Any

from leadline.bundle.verify import Verification


def overview(verification: Verification) -> dict[str, Any]:
    """Plain values, ready for JSON; what a broken bundle cannot tell is missing."""
    told: dict[str, Any] = {"size_bytes": verification.size_bytes, "model_files": verification.models}
    if verification.about is not None:
        told |= {
            "format": verification.about.bundle_format,
            "written_by": verification.about.written_by,
            "anonymized": verification.about.anonymized,
        }
    contents = verification.contents
    if contents is not None:
        times = sorted([each.started_at for each in contents.attempts] + [each.taken_at for each in contents.sweeps])
        latest = {profile.serial: profile for profile in contents.profiles}
        trials = Counter(trial.serial for trial in contents.trials)
        sweeps = Counter(sweep.serial for sweep in contents.sweeps)
        told |= {
            "measured_from": times[0].isoformat() if times else None,
            "measured_until": times[-1].isoformat() if times else None,
            "campaigns": [campaign.name for campaign in contents.campaigns],
            "devices": [
                {
                    "serial": serial,
                    "model": latest[serial].model if serial in latest else None,
                    "trials": trials[serial],
                    "sweeps": sweeps[serial],
                }
                for serial in sorted(trials.keys() | sweeps.keys() | latest.keys())
            ],
            "models": [{"name": each.name, "sha256": each.sha256} for each in contents.artifacts],
            "trials": dict(sorted(Counter(trial.state for trial in contents.trials).items())),
            "attempts": len(contents.attempts),
            "samples": sum(
                block.wall_ns.size
                for attempt in contents.attempts
                for launch in attempt.launches
                for block in launch.blocks
            ),
        }
    return told | {"problems": list(verification.problems)}
