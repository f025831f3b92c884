"""The host's own run of a model, and how a device's outputs compare with it.

A device that computes something else than the host is reported, never averaged: its latency is not the latency of this
model.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from leadline.core.errors import GarbledOutput, ModelRejected
from leadline.core.text import printable
from leadline.records.trial import Fingerprint, OutputCheck
from leadline.runner import device_script
from leadline.runner.library import runtime_version, unwritable
from leadline.runner.lines import ErrorLine, ReadyLine, complaint, parse_line

_TIMEOUT_S = 600.0

# Measured on networks of the MobileNet-V2 space: float32 outputs of x86-64 and aarch64, with and without XNNPACK, of
# LiteRT 2.3 and TFLite 2.14, differ by at most 3e-6 of the tensor's rms. Half precision starts at 5e-4 per operation: a
# device that silently computes in halves is told apart.
_FLOAT_TOLERANCE = 2e-4  # of the reference's rms
# int8 of the same networks: equal bytes under XNNPACK on both CPUs, at most 2 quanta apart for other kernels.
_QUANTUM_TOLERANCE = (
    2.5  # int8, uint8: roundings of the last layers to neighbouring quanta move an element by 2 at most
)
_QUANTIZED_RMS = 4.0  # whole numbers smaller than this are classes or flags, not quanta
_QUANTIZED_LIMIT = 255  # and larger ones are big floats


def reference_fingerprints(path: Path, *, sha256: str, host_cache: Path) -> tuple[Fingerprint, ...]:
    """The fingerprints of the model's outputs for the seeded input, as this host's runtime computes them.

    Runs in a process of its own, which a bad model may crash; kept in `host_cache` by model and runtime version.

    Raises: ModelRejected if this host cannot run the model; LeadlineError if `host_cache` cannot be written.
    """
    kept = host_cache / "references" / f"{sha256}-litert-{runtime_version()}.json"
    try:
        return msgspec.json.decode(kept.read_bytes(), type=tuple[Fingerprint, ...])
    except (OSError, msgspec.MsgspecError):
        pass
    fingerprints = _compute(path)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=kept.parent, prefix=".new-", delete=False) as fresh:
            fresh.write(msgspec.json.encode(fingerprints))
        os.replace(fresh.name, kept)
    except OSError as error:
        raise unwritable(host_cache, error) from error
    return fingerprints


def _compute(path: Path) -> tuple[Fingerprint, ...]:
    shown = printable(str(path))
    command = [sys.executable, device_script.__file__, "--model", str(path.absolute())]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise ModelRejected(f"{shown}: one inference did not end in {_TIMEOUT_S:g} s on this host") from None
    said = complaint(done.stderr.decode(errors="replace"))
    if done.returncode < 0:
        raise ModelRejected(f"{shown}: crashed the runtime on this host (signal {-done.returncode}){said}")
    first = done.stdout.split(b"\n", 1)[0].decode(errors="replace")
    try:
        line = parse_line(first)
    except GarbledOutput:
        raise ModelRejected(f"{shown}: the runtime on this host gave no answer{said}; try: leadline doctor") from None
    if isinstance(line, ReadyLine):
        return line.fingerprints
    why = printable(line.text, 300) if isinstance(line, ErrorLine) else printable(first)
    raise ModelRejected(f"{shown}: the runtime on this host cannot run it: {why}; see: leadline model inspect")


def compare_outputs(
    measured: Sequence[Fingerprint], reference: Sequence[Fingerprint]
) -> tuple[OutputCheck, str | None]:
    """Whether a device computed what the host computed.

    Args: one fingerprint per output tensor, in the graph's order.
    Returns: ("equal", None) if all bytes agree; ("close", None) if the sketches agree up to rounding;
        ("different", what differs) otherwise.
    """
    if len(measured) != len(reference):
        return "different", f"{len(measured)} outputs instead of the host's {len(reference)}"
    check: OutputCheck = "equal"
    for index, (mine, host) in enumerate(zip(measured, reference, strict=True)):
        if mine.size != host.size or len(mine.head) != len(host.head):
            return "different", f"output {index} has {mine.size} elements instead of the host's {host.size}"
        if mine.sha256 == host.sha256:
            continue
        check = "close"
        tolerance = _tolerance(mine, host)
        deviation = _deviation(mine, host)
        if deviation > tolerance:
            return "different", (
                f"output {index} is not what the host computes: off by {deviation:.3g}, "
                f"rounding explains {tolerance:.3g}"
            )
    return check, None


def _deviation(mine: Fingerprint, host: Fingerprint) -> float:
    pairs = [(mine.mean, host.mean), (mine.rms, host.rms), *zip(mine.head, host.head, strict=True)]
    return max(abs(a - b) for a, b in pairs)


def _tolerance(mine: Fingerprint, host: Fingerprint) -> float:
    quanta = all(value.is_integer() and abs(value) <= _QUANTIZED_LIMIT for value in (*mine.head, *host.head))
    if quanta and host.rms > _QUANTIZED_RMS:
        return _QUANTUM_TOLERANCE
    return _FLOAT_TOLERANCE * host.rms
