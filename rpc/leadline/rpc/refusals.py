"""What a device says when it cannot read or write a file, as our errors."""

from __future__ import annotations

from leadline.core.errors import DeviceError, DeviceFull, StableError
from leadline.core.text import printable

# strerror of ENOSPC, EDQUOT and EFBIG in glibc, musl and bionic, and how shells report SIGXFSZ.
_FULL = ("No space left", "quota exceeded", "File too large", "File size limit exceeded", "Quota exceeded")


def refusal(place: str, what: str, reason: bytes | str, *, directory: str) -> DeviceError:
    """The error for a file operation that the device refused.

    Args:
        what: "cannot write /x".
        reason: standard error of the device's tools, or an error's text.
        directory: the folder that would need space.
    """
    text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else reason
    said = printable(text.strip()) or "no reason given"
    if any(sign in text for sign in _FULL):
        return DeviceFull(f"{place}: {what}: {said}; see what is left there: df -h {printable(directory)}")
    return StableError(f"{place}: {what}: {said}; name another folder for this device in lab.toml: directory = …")
