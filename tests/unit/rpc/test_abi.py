"""Finding out what a device's programs are built for."""

from __future__ import annotations

import platform
import struct

import pytest

from leadline.core.errors import WrongAbi
from leadline.rpc.abi import ElfHeader, abi_of, detect_abi
from leadline.rpc.local import LocalTransport
from leadline.rpc.transport import Completed

X86, MIPS, ARM, X86_64, AARCH64, RISCV = 3, 8, 40, 62, 183, 243


def elf(machine: int, bits: int = 64, order: str = "<") -> bytes:
    return (
        b"\x7fELF" + bytes([bits // 32, 1 if order == "<" else 2, 1]) + bytes(9) + struct.pack(order + "HH", 3, machine)
    )


class Answers(LocalTransport):
    """A device of which only the answers to uname and to reading its programs are known."""

    def __init__(self, uname: str, files: dict[str, bytes], readers: tuple[str, ...] = ("head", "dd")) -> None:
        super().__init__(name="cam")
        self._uname, self._files, self._readers = uname, files, readers

    def run(self, argv: object, *, stdin: bytes = b"", timeout_s: float = 30.0) -> Completed:
        assert isinstance(argv, list)
        if argv[0] == "uname":
            return Completed(exit_code=0, stdout=self._uname.encode() + b"\n", stderr=b"")
        data = self._files.get(argv[-1].removeprefix("if=")) if argv[0] in self._readers else None
        return Completed(exit_code=1 if data is None else 0, stdout=data or b"", stderr=b"")


@pytest.mark.parametrize(
    ("uname", "header", "abi"),
    [
        ("x86_64", elf(X86_64), "x86_64"),
        ("aarch64", elf(AARCH64), "aarch64"),
        ("aarch64", elf(ARM, 32), "armv7"),  # 64-bit kernel under 32-bit Raspberry Pi OS
        ("armv8l", elf(ARM, 32), "armv7"),
        ("armv7l", elf(ARM, 32), "armv7"),
        ("armv6l", elf(ARM, 32), "armv6"),
        ("mips", elf(MIPS, 32), "mipsel"),
        ("mips64", elf(MIPS, 32), "mipsel"),
        ("riscv64", elf(RISCV), "riscv64"),
    ],
)
def test_the_shell_and_the_kernel_together_tell_the_abi(uname: str, header: bytes, abi: str) -> None:
    assert detect_abi(Answers(uname, {"/bin/sh": header})) == abi


def test_any_reader_and_any_program_will_do() -> None:
    assert detect_abi(Answers("mips", {"/bin/sh": elf(MIPS, 32)}, readers=("dd",))) == "mipsel"
    assert detect_abi(Answers("aarch64", {"/bin/sh": b"#!/bin/x", "/system/bin/sh": elf(ARM, 32)})) == "armv7"
    assert detect_abi(Answers("mips", {"/proc/self/exe": elf(MIPS, 32)})) == "mipsel"


@pytest.mark.parametrize(
    ("uname", "header", "found"),
    [
        ("mips", elf(MIPS, 32, ">"), "mips with 32-bit big-endian MIPS programs"),
        ("x86_64", elf(X86, 32), "x86_64 with 32-bit little-endian x86 programs"),
        ("i686", elf(X86, 32), "i686 with"),
        ("armv5tel", elf(ARM, 32), "armv5tel with 32-bit little-endian Arm programs"),
        ("armv7b", elf(ARM, 32, ">"), "big-endian Arm"),
        ("riscv32", elf(RISCV, 32), "32-bit little-endian RISC-V"),
        ("s390x", elf(22, 64, ">"), "64-bit big-endian machine 22"),
        ("mips", b"", "mips and its programs cannot be read"),
        ("", b"", "an unnamed CPU"),
        ("\x1b[31m", b"", r"\\x1b\[31m"),
    ],
)
def test_what_none_of_our_programs_runs_on_is_named(uname: str, header: bytes, found: str) -> None:
    with pytest.raises(WrongAbi, match=f"local:.*{found}.*known are x86_64, aarch64"):
        detect_abi(Answers(uname, {"/bin/sh": header}))


@pytest.mark.parametrize(
    ("uname", "abi"),
    [("x86_64", "x86_64"), ("arm64", "aarch64"), ("armv7l", "armv7"), ("armv6l", "armv6"), ("mips", None)],
)
def test_without_a_readable_program_the_kernel_decides_if_it_can(uname: str, abi: str | None) -> None:
    assert abi_of(uname, None) == abi


@pytest.mark.parametrize(
    "data", [b"", b"\x7fELF", b"#!/bin/sh\n" + bytes(30), b"\x7fELF\x03\x01" + bytes(14), bytes(20)]
)
def test_what_is_no_elf_header_is_none(data: bytes) -> None:
    assert ElfHeader.parse(data) is None


def test_this_machine_is_known() -> None:
    with LocalTransport(name="here") as transport:
        assert detect_abi(transport) == platform.machine()
