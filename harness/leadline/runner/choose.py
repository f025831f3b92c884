"""Which runner a device gets."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from leadline.core.errors import WrongAbi
from leadline.core.text import printable
from leadline.records.device import Profile
from leadline.records.ports import Runner
from leadline.rpc.agent import Agent
from leadline.rpc.cache import DeviceCache
from leadline.runner.library import ABIS, find_library, required_versions, runtime_version
from leadline.runner.litert import LitertRunner
from leadline.runner.python import PythonRunner


def choose_runner(
    agent: Agent,
    cache: DeviceCache,
    profile: Profile,
    *,
    host_cache: Path,
    device: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Runner:
    """LiteRT itself where its library runs, else the device's own Python if that has a runtime.

    Args: device: its name, for messages (default: its serial); progress: told about builds and downloads.
    Raises: WrongAbi naming all that is missing; LeadlineError if the library cannot be fetched.
    """
    name = printable(device or profile.serial)
    obstacle = library_obstacle(profile, host_cache=host_cache)
    if obstacle is None:
        return LitertRunner(agent, cache, profile, host_cache=host_cache, device=device, progress=progress)
    missing = [obstacle]
    if profile.python is None:
        missing.append("it has no python3 for the fallback")
    else:
        runner = PythonRunner(agent, cache, profile, host_cache=host_cache, device=device)
        try:
            runner.probe()
        except WrongAbi as error:
            missing.append(str(error).removeprefix(f"{name}: "))
        else:
            return runner
    if profile.os_kind == "android":
        advice = "models cannot be run on Android's own C library yet, probing can: leadline device show"
    else:
        advice = "try on the device: python3 -m pip install tflite-runtime 'numpy<2'"
    raise WrongAbi(f"{name}: no TFLite runtime for it: {'; '.join(missing)}; {advice}")


def library_obstacle(profile: Profile, *, host_cache: Path) -> str | None:
    """Why libLiteRt.so cannot run on a device; None: nothing known against it.

    Raises: LeadlineError if the library had to be fetched to know, and could not be.
    """
    if profile.abi not in ABIS:
        return f"LiteRT {runtime_version()} comes for {' and '.join(ABIS)}, this is {profile.abi}"
    libc = re.fullmatch(r"glibc (\d+)\.(\d+)\S*", profile.libc or "")
    if libc is None:
        return f"LiteRT {runtime_version()} needs glibc, this has {printable(profile.libc or 'an unknown C library')}"
    needed = required_versions(find_library(profile.abi, host_cache=host_cache)).get("GLIBC", (0,))
    if (int(libc[1]), int(libc[2])) < needed:
        wanted = ".".join(map(str, needed))
        return f"LiteRT {runtime_version()} for {profile.abi} needs glibc {wanted}, this has {libc[1]}.{libc[2]}"
    return None
