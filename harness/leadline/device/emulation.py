"""Signs that a device is emulated, so that its latencies mean nothing.

A virtual machine that runs on the real CPU (KVM, Firecracker, Xen) is not emulated: its latencies are that CPU's, with
neighbours. What counts is whether another program interprets the instructions (QEMU's TCG and user mode).
"""

from __future__ import annotations

from collections.abc import Mapping

from leadline.device.cpus import CpuInfo
from leadline.device.texts import Files, matching, text_of

_CLOCKS = "/sys/devices/system/clocksource/clocksource0/available_clocksource"

EMULATION_PATHS = (
    "/proc/device-tree/compatible",
    "/proc/device-tree/fw-cfg@*/compatible",
    "/proc/sys/kernel/arch",
    _CLOCKS,
    "/sys/class/dmi/id/sys_vendor",
)

_FAMILY = {"x86_64": "x86", "aarch64": "arm", "armv7": "arm", "armv6": "arm", "mipsel": "mips", "riscv64": "riscv"}
_PARAVIRTUAL_CLOCKS = {"kvm-clock", "hyperv_clocksource_tsc_page", "hyperv_clocksource", "xen"}

# the cores that QEMU's TCG offers (`qemu-system-aarch64 -cpu help`), but those of servers: a Neoverse in a virtual
# machine is a cloud's own CPU far more often than an emulated one
_TCG_CORES = frozenset(f"Cortex-A{number}" for number in (7, 8, 9, 15, 35, 53, 55, 57, 72, 76, 710))
_TCG_MAX = "implementer 0x00"  # `-cpu max` claims no maker


def find_emulation(
    files: Files, info: CpuInfo, *, abi: str, cores: tuple[str | None, ...], props: Mapping[str, str]
) -> str | None:
    """The sign that was found, in words; None: none. A device that lies well is taken for real.

    Args: abi: what our agent runs as; cores: the clusters' core names.
    """
    if props.get("ro.kernel.qemu") == "1" or props.get("ro.boot.qemu") == "1":
        return "Android emulator (ro.kernel.qemu)"
    family = _FAMILY.get(abi, abi)
    kernel = _kernel_family(files, info)
    if kernel is not None and kernel != family:
        return f"{abi} programs on a kernel for {kernel}: user-mode emulation"
    if family == "x86":
        return _x86(files, info)
    if family == "mips":
        return "QEMU's Malta board" if "malta" in (info.get(None, "system type") or "").lower() else None
    return _virt_board(files, cores)


def _kernel_family(files: Files, info: CpuInfo) -> str | None:
    """What the kernel itself was built for: user-mode emulators answer uname and /proc/cpuinfo, but pass files on."""
    arch = text_of(files, "/proc/sys/kernel/arch") or ""
    for prefix, family in (("x86", "x86"), ("aarch64", "arm"), ("arm", "arm"), ("mips", "mips"), ("riscv", "riscv")):
        if arch.startswith(prefix):
            return family
    if "tsc" in files.get(_CLOCKS, "").split() or info.get(None, "vendor_id"):
        return "x86"
    return "arm" if info.get(None, "CPU implementer") else None


def _x86(files: Files, info: CpuInfo) -> str | None:
    """QEMU under KVM offers a paravirtual clock; under TCG there is none to offer."""
    qemu = "QEMU" in (text_of(files, "/sys/class/dmi/id/sys_vendor") or "") or "QEMU" in (
        info.get(None, "model name") or ""
    )
    native = _PARAVIRTUAL_CLOCKS & set(files.get(_CLOCKS, "").split())
    return "QEMU without KVM (no paravirtual clock)" if qemu and not native else None


def _virt_board(files: Files, cores: tuple[str | None, ...]) -> str | None:
    """Virtual boards say so in their device tree. KVM passes the host's cores through, TCG offers `_TCG_CORES`; a KVM
    host may have these too (a Raspberry Pi): doubt counts as emulated."""
    compatible = files.get("/proc/device-tree/compatible", "").split("\0")
    if "riscv-virtio" in compatible:
        return "QEMU's virt board (device tree)"
    config = matching(files, r"/proc/device-tree/fw-cfg@([^/]+)/compatible")
    virtual = "linux,dummy-virt" in compatible or any("qemu,fw-cfg" in text for _, _, text in config)
    offered = all(core is None or core in _TCG_CORES or core.startswith(_TCG_MAX) for core in cores)
    return "QEMU's virt board (device tree)" if virtual and offered else None
