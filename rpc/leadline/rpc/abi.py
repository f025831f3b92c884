"""Which of our ABIs a device's programs have: what its own shell is built for, and the Arm revision of its CPU."""

from __future__ import annotations

import struct

import msgspec

from leadline.core.errors import WrongAbi
from leadline.core.text import printable
from leadline.rpc.transport import Transport

# A program that every device has. The last is whatever program reads it.
_SPECIMENS = ("/bin/sh", "/system/bin/sh", "/proc/self/exe")
_HEADER_BYTES = 20
_READERS = (("head", "-c", str(_HEADER_BYTES)), ("dd", "bs=1", f"count={_HEADER_BYTES}"))

_MIPS, _ARM = 8, 40
_MACHINES = {
    3: "x86",
    _MIPS: "MIPS",
    20: "PowerPC",
    21: "PowerPC",
    _ARM: "Arm",
    62: "x86",
    183: "Arm",
    243: "RISC-V",
    258: "LoongArch",
}
# (e_machine, bits, little-endian) → ABI. Arm needs the CPU's revision as well.
_ABIS = {
    (62, 64, True): "x86_64",
    (183, 64, True): "aarch64",
    (243, 64, True): "riscv64",
    (_MIPS, 32, True): "mipsel",
}
_UNAMES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64", "riscv64": "riscv64"}


class ElfHeader(msgspec.Struct, frozen=True):
    """The part of an executable's header that tells what it runs on."""

    machine: int  # e_machine
    bits: int  # 32 | 64
    little_endian: bool

    @classmethod
    def parse(cls, data: bytes) -> ElfHeader | None:
        """From the first 20 bytes; None if they are no ELF header."""
        if len(data) < _HEADER_BYTES or data[:4] != b"\x7fELF" or data[4] not in (1, 2) or data[5] not in (1, 2):
            return None
        little = data[5] == 1
        (machine,) = struct.unpack_from("<H" if little else ">H", data, 18)
        return cls(machine, 32 * data[4], little)

    def __str__(self) -> str:
        name = _MACHINES.get(self.machine, f"machine {self.machine}")
        return f"{self.bits}-bit {'little' if self.little_endian else 'big'}-endian {name}"


def detect_abi(transport: Transport) -> str:
    """The ABI of the device's userland, one of those in `leadline.rpc.build`.

    A 64-bit kernel may carry 32-bit programs (Raspberry Pi OS does), and ``uname`` says neither that nor which end a
    MIPS begins at; the header of the device's own shell does.

    Raises: WrongAbi: none of ours; DeviceOffline, CommandTimeout.
    """
    machine = printable(transport.run(["uname", "-m"]).stdout.strip(), 40)
    header = _userland(transport)
    abi = abi_of(machine, header)
    if abi is None:
        programs = f"with {header} programs" if header else "and its programs cannot be read"
        raise WrongAbi(
            f"{transport.uri}: no device program of ours runs on {machine or 'an unnamed CPU'} {programs}; "
            "known are x86_64, aarch64, armv7, armv6, mipsel (little-endian MIPS32) and riscv64"
        )
    return abi


def abi_of(machine: str, header: ElfHeader | None) -> str | None:
    """The ABI for what ``uname -m`` says and the shell's header; None: not one of ours.

    On Arm the kernel's architecture decides between v7 and v6: a 64-bit or v8 kernel runs v7 code.
    """
    arm = "armv7" if machine.startswith(("armv7", "armv8", "aarch64", "arm64")) else None
    arm = "armv6" if machine.startswith("armv6") else arm
    if header is None:
        return _UNAMES.get(machine, arm)
    if header.machine == _ARM and header.bits == 32 and header.little_endian:
        return arm
    return _ABIS.get((header.machine, header.bits, header.little_endian))


def _userland(transport: Transport) -> ElfHeader | None:
    for specimen in _SPECIMENS:
        for reader in _READERS:
            argv = [*reader, specimen] if reader[0] == "head" else [*reader, f"if={specimen}"]
            header = ElfHeader.parse(transport.run(argv).stdout)
            if header:
                return header
    return None
