"""The kernels built for other CPUs compute what they must under qemu-user (Debian: qemu-user-static). Their speeds mean
nothing there."""

from __future__ import annotations

import os
import subprocess

import pytest

from leadline.runner.kernel_lines import EndLine, ErrorLine, KernelLine, PointLine, ReadyLine, parse_line
from tests.support.programs import built

CASES = [  # ABI, emulated CPU, dtype, instructions; the first of a CPU and type is what it takes by itself
    ("aarch64", "max", "float32", "neon"),
    ("aarch64", "max", "float16", "neon+fp16"),
    ("aarch64", "max", "int8", "i8mm"),
    ("aarch64", "max", "int8", "dotprod"),
    ("aarch64", "cortex-a76", "int8", "dotprod"),
    ("armv7", "cortex-a7", "float32", "neon+fma"),
    ("armv7", "cortex-a7", "float32", "neon"),
    ("armv7", "cortex-a7", "float32", "vfp"),
    ("armv7", "cortex-a9", "float32", "neon"),
    ("armv6", "arm1176", "float32", "vfp"),
    ("mipsel", "24Kc", "float32", "c"),
    ("riscv64", "rv64", "float32", "c"),
    ("x86_64", "max", "float32", "avx2+fma"),
    ("x86_64", "qemu64", "float32", "sse2"),
]
LACKING = [
    ("aarch64", "cortex-a53", "float16", "neon+fp16"),
    ("aarch64", "cortex-a53", "int8", "dotprod"),
    ("aarch64", "cortex-a76", "int8", "i8mm"),
    ("armv7", "cortex-a9", "float32", "neon+fma"),
    ("x86_64", "max", "float32", "avx512f"),
    ("x86_64", "qemu64", "float32", "avx2+fma"),
]
QEMU = {"armv7": "arm", "armv6": "arm"}
INTENSITIES = tuple(2.0**power for power in range(-4, 7))


def run(abi: str, cpu: str, dtype: str, *options: str) -> list[KernelLine]:
    arguments = [f"--cpus={min(os.sched_getaffinity(0))}", f"--dtypes={dtype}", "--levels=L1:4096:64,L2:20000:0.5"]
    arguments += ["--intensities=" + ",".join(map(str, INTENSITIES)), "--tries=2", "--seconds=0.5", *options]
    argv = [f"qemu-{QEMU.get(abi, abi)}-static", "-cpu", cpu, str(built("kernels", abi)), *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=200)
    return [parse_line(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(("abi", "cpu", "dtype", "isa"), CASES)
def test_every_point_is_computed_correctly(abi: str, cpu: str, dtype: str, isa: str) -> None:
    ready, *points, end = run(abi, cpu, dtype, f"--isa={isa}", "--seconds=60", "--tries=1")
    assert isinstance(ready, ReadyLine)
    assert ready.isas == {dtype: isa}
    assert isinstance(end, EndLine)
    assert end.stopped is None
    found = [(p.level, p.intensity, p.correct) for p in points if isinstance(p, PointLine)]
    assert found == [
        *(("L1", intensity, True) for intensity in INTENSITIES),
        *(("L2", intensity, True) for intensity in INTENSITIES if intensity <= 0.5),
    ]


@pytest.mark.parametrize("case", {case[:3]: case for case in reversed(CASES)}.values(), ids="-".join)
def test_the_best_instructions_are_taken_by_themselves(case: tuple[str, str, str, str]) -> None:
    abi, cpu, dtype, isa = case
    ready = run(abi, cpu, dtype, "--seconds=0.01")[0]
    assert isinstance(ready, ReadyLine)
    assert ready.isas == {dtype: isa}


@pytest.mark.parametrize(("abi", "cpu", "dtype", "isa"), LACKING)
def test_instructions_that_the_cpu_lacks_are_refused(abi: str, cpu: str, dtype: str, isa: str) -> None:
    [line] = run(abi, cpu, dtype, f"--isa={isa}")
    assert isinstance(line, ErrorLine)
    assert line.code == "isa"


@pytest.mark.parametrize(("abi", "cpu"), [("mipsel", "24Kc"), ("armv6", "arm1176"), ("aarch64", "cortex-a53")])
def test_a_type_without_instructions_has_no_points(abi: str, cpu: str) -> None:
    ready, *rest = run(abi, cpu, "float16,int8")
    assert isinstance(ready, ReadyLine)
    assert ready.isas == {"float16": None, "int8": None}
    assert ready.points == 0
    assert rest == [EndLine(stopped=None, cpu=None)]
