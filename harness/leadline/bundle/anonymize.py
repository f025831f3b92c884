"""Contents without what names a person's devices, files or lab."""

from __future__ import annotations

import hashlib
import hmac

from msgspec.structs import replace

from leadline.store.contents import Contents


def anonymized(contents: Contents, salt: str) -> Contents:
    """Serials and campaign names become salted hashes, the same in every bundle of one store. Host paths are dropped,
    and so are free texts (errors, warnings), which may quote anything. Model names stay, without folders.

    Args: salt: the store's secret; without it nobody can try serials until one fits.
    """

    def alias(kind: str, name: str) -> str:
        return f"{kind}-{hmac.new(salt.encode(), f'{kind} {name}'.encode(), hashlib.sha256).hexdigest()[:16]}"

    def device(serial: str) -> str:
        return alias("device", serial)

    profiles = (replace(each, serial=device(each.serial)) for each in contents.profiles)
    return Contents(
        campaigns=tuple(replace(each, name=alias("campaign", each.name)) for each in contents.campaigns),
        profiles=tuple(sorted(profiles, key=lambda each: (each.serial, each.taken_at))),
        artifacts=tuple(replace(each, name=_file_name(each.name), path="") for each in contents.artifacts),
        trials=tuple(
            replace(each, serial=device(each.serial), model_name=_file_name(each.model_name))
            for each in contents.trials
        ),
        attempts=tuple(replace(each, error=None, warnings=()) for each in contents.attempts),
        sweeps=tuple(replace(each, serial=device(each.serial), warnings=()) for each in contents.sweeps),
    )


def _file_name(name: str) -> str:
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2]
