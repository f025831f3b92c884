"""What this machine needs to measure: one check a thing, each with the command that mends it."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Literal

import adbutils
import msgspec
import paramiko

from leadline.core.errors import LeadlineError
from leadline.core.text import printable
from leadline.core.units import format_bytes
from leadline.records.device import DeviceEntry
from leadline.rpc.adb_server import AdbServer
from leadline.rpc.connect import connect

_OLDEST_PYTHON = (3, 11)
_LEAST_FREE_BYTES = 2**30  # models, runtimes and raw samples of a first campaign


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing looked at."""

    name: str
    state: Literal["ok", "advice", "missing"]  # missing: something that is needed does not work
    text: str
    mend: str | None = None  # a command, or what to do


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Check:
    text = ".".join(map(str, version))
    if version < _OLDEST_PYTHON:
        mend = "install Python 3.11 or later and make a new virtual environment"
        return Check(name="python", state="missing", text=text, mend=mend)
    return Check(name="python", state="ok", text=text)


def check_disk(home: Path, least_bytes: int = _LEAST_FREE_BYTES) -> Check:
    """Whether there is space, and leave to write, where Leadline keeps its things."""
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    text = f"{format_bytes(free)} free at {home}"
    if not os.access(there, os.W_OK | os.X_OK):
        mend = "leadline --home FOLDER …, or set LEADLINE_HOME"
        return Check(name="home", state="missing", text=f"{there} cannot be written", mend=mend)
    if free < least_bytes:
        return Check(name="home", state="missing", text=text, mend="free some, or: export LEADLINE_HOME=FOLDER")
    return Check(name="home", state="ok", text=text)


def check_compiler(find_version: Callable[[str], str] = metadata.version) -> Check:
    """zig builds the agent on first use."""
    try:
        return Check(name="zig", state="ok", text=f"ziglang {find_version('ziglang')}")
    except metadata.PackageNotFoundError:
        mend = "python -m pip install ziglang"
        return Check(name="zig", state="missing", text="no compiler for the device agent", mend=mend)


def check_agents(cache: Path) -> Check:
    """Which device programs are built; the others are on first use."""
    built = sorted({path.name.rpartition("-")[0] for path in (cache / "programs").glob("*-*-*")})
    text = ", ".join(built) if built else "none built yet: the first use of an ABI takes a minute or two"
    return Check(name="agents", state="ok", text=text)


def check_runtime(package: str = "ai_edge_litert") -> Check:
    """The runtime that is measured on Linux devices comes out of this package; the host's own runs check outputs."""
    spec = importlib.util.find_spec(package)
    library = Path(spec.origin).with_name("libLiteRt.so") if spec and spec.origin else None
    mend = "python -m pip install --force-reinstall ai-edge-litert==2.3.0"
    if library is None or not library.is_file():
        return Check(name="LiteRT", state="missing", text=f"{package}: libLiteRt.so is not installed", mend=mend)
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        return Check(name="LiteRT", state="missing", text=printable(str(error)), mend=mend)
    return Check(name="LiteRT", state="ok", text=f"ai-edge-litert {metadata.version('ai-edge-litert')}")


def check_adb(server: AdbServer, *, needed: bool) -> list[Check]:
    """The adb program, the server (asked, not started), and the devices on it that cannot be used yet."""
    missing: Literal["missing", "advice"] = "missing" if needed else "advice"
    try:
        adb = adbutils.adb_path()
    except Exception as error:  # adbutils raises what it likes when it finds no program
        mend = "python -m pip install --force-reinstall adbutils"
        return [Check(name="adb", state=missing, text=f"no adb program: {printable(str(error))}", mend=mend)]
    program = Check(name="adb", state="ok", text=str(adb))
    try:
        devices = server.devices()
    except LeadlineError:
        text = f"no adb server answers at {server.host}:{server.port}"
        return [program, Check(name="adb server", state=missing, text=text, mend=f"{adb} start-server")]
    ready = [device for device in devices if device.state == "device"]
    checks = [program, Check(name="adb server", state="ok", text=f"{len(devices)} devices, {len(ready)} ready")]
    for device in devices:
        if device.state != "device":
            hints = {
                "unauthorized": "unlock its screen and accept this computer's key",
                "offline": f"{adb} -s {device.serial} reconnect",
            }
            text = f"{printable(device.serial)} is {printable(device.state)}"
            checks.append(Check(name="adb device", state="advice", text=text, mend=hints.get(device.state)))
    return checks


def check_ssh(folder: Path, *, needed: bool) -> Check:
    """Something to log in with: a key file or a key in the agent."""
    files = sorted(path.stem for path in folder.glob("id_*.pub"))
    agent = paramiko.Agent()
    try:
        keys = len(agent.get_keys())
    except (paramiko.SSHException, OSError):
        keys = 0
    finally:
        agent.close()
    if not files and not keys:
        mend = "ssh-keygen -t ed25519 && ssh-copy-id USER@DEVICE"
        return Check(
            name="ssh keys", state="missing" if needed else "advice", text="none in files or in an agent", mend=mend
        )
    return Check(name="ssh keys", state="ok", text=f"{len(files)} in {folder}, {keys} in the agent")


def check_usb(sys: Path = Path("/sys"), dev: Path = Path("/dev")) -> list[Check]:
    """Whether we may open the phones that hang on USB: adb interfaces have class ff, subclass 42, protocol 01."""
    checks = []
    for interface in sorted((sys / "bus/usb/devices").glob("*:*")):
        kind = [_text(interface / f"bInterface{key}") for key in ("Class", "SubClass", "Protocol")]
        unit = interface.with_name(interface.name.partition(":")[0])
        bus, number = _text(unit / "busnum"), _text(unit / "devnum")
        if kind != ["ff", "42", "01"] or not (bus.isdecimal() and number.isdecimal()):
            continue
        node = dev / f"bus/usb/{int(bus):03}/{int(number):03}"
        name = printable(_text(unit / "product") or unit.name)
        if os.access(node, os.R_OK | os.W_OK):
            checks.append(Check(name="usb", state="ok", text=f"{name} at {node}"))
        else:
            mend = (
                "sudo apt-get install android-sdk-platform-tools-common && sudo usermod -aG plugdev $USER; log in anew"
            )
            checks.append(Check(name="usb", state="missing", text=f"{name}: {node} may not be opened", mend=mend))
    return checks


def check_cpu(sys: Path = Path("/sys"), proc: Path = Path("/proc")) -> list[Check]:
    """What makes times on this machine itself wander: advice for those who measure on it."""
    cpufreq = sys / "devices/system/cpu/cpufreq"
    checks = []
    governors = {_text(path) for path in cpufreq.glob("policy*/scaling_governor")} - {""}
    if governors - {"performance"}:
        text = f"governor {', '.join(sorted(governors))}: frequencies follow the load"
        checks.append(
            Check(name="cpu", state="advice", text=text, mend="sudo cpupower frequency-set --governor performance")
        )
    turbo_off = sys / "devices/system/cpu/intel_pstate/no_turbo"
    if _text(turbo_off) == "0" or _text(cpufreq / "boost") == "1":
        switch = f"echo 1 | sudo tee {turbo_off}" if _text(turbo_off) else f"echo 0 | sudo tee {cpufreq / 'boost'}"
        checks.append(Check(name="cpu", state="advice", text="turbo is on: speed depends on heat", mend=switch))
    flags = next((line for line in _text(proc / "cpuinfo").splitlines() if line.startswith("flags")), "")
    if "hypervisor" in flags.split():
        text = "a virtual machine: neighbours share its CPU, and times wander"
        checks.append(Check(name="cpu", state="advice", text=text, mend="measure on a machine of your own"))
    return checks or [Check(name="cpu", state="ok", text="nothing known that makes times wander")]


def check_devices(entries: Sequence[DeviceEntry], *, timeout_s: float) -> list[Check]:
    """Log in to every device at once; those that have not answered within `timeout_s` are not waited for."""
    results: dict[str, Check] = {}

    def reach(entry: DeviceEntry) -> None:
        try:
            with connect(entry.uri, name=entry.name) as transport:
                transport.run(["true"], timeout_s=timeout_s)
            results[entry.name] = Check(name="device", state="ok", text=f"{entry.name} answers at {entry.uri}")
        except LeadlineError as error:
            results[entry.name] = Check(name="device", state="missing", text=str(error))

    threads = [threading.Thread(target=reach, args=(entry,), daemon=True) for entry in entries]
    for thread in threads:
        thread.start()
    deadline_s = time.monotonic() + timeout_s
    for thread in threads:
        thread.join(max(0.0, deadline_s - time.monotonic()))
    return [results.get(entry.name) or _silent(entry, timeout_s) for entry in entries]


def _silent(entry: DeviceEntry, timeout_s: float) -> Check:
    return Check(
        name="device",
        state="missing",
        text=f"{entry.name}: no answer from {entry.uri} within {timeout_s:g} s",
        mend="switch it on and look at its cable or network",
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
