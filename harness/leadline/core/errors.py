"""Every error that Leadline raises on purpose.

Each message says place, fact and next command, in that order:
``pi4: silent for 30 s; try: leadline device probe pi4``.

    LeadlineError                exit code 1
    ├── BadInput                 2   what the user gave cannot be used: a file, a name, an option
    ├── StoreError               3   the store cannot be read or written
    └── DeviceError              4   something about one device
        ├── TransientError           may pass: worth a retry
        │   ├── DeviceOffline        no answer, link cut, rebooting
        │   ├── CommandTimeout       a command did not end in time; it was ended on the device
        │   ├── TransferCorrupt      bytes arrived changed or not whole
        │   └── DeviceBusy           another process holds the device
        └── StableError              will not pass by itself: no retry
            ├── Unauthorized         adb key not accepted, SSH login refused
            ├── HostKeyRefused       unknown or changed SSH host key
            ├── DeviceFull           no space left on the device
            ├── WrongAbi             the binary cannot run on this CPU, libc or Python
            ├── ModelRejected        the runtime cannot load or run this model
            ├── AgentMismatch        host and agent speak different protocol versions
            └── GarbledOutput        the device answered something that is not the protocol
"""

from __future__ import annotations


class LeadlineError(Exception):
    """Base of all errors that are told to the user without a stack trace."""

    exit_code = 1

    @property
    def kind(self) -> str:
        """The class name: what the store and ``--json`` call this error."""
        return type(self).__name__


class BadInput(LeadlineError):
    exit_code = 2


class StoreError(LeadlineError):
    exit_code = 3


class DeviceError(LeadlineError):
    exit_code = 4


class TransientError(DeviceError):
    pass


class DeviceOffline(TransientError):
    pass


class CommandTimeout(TransientError):
    pass


class TransferCorrupt(TransientError):
    pass


class DeviceBusy(TransientError):
    pass


class StableError(DeviceError):
    pass


class Unauthorized(StableError):
    pass


class HostKeyRefused(StableError):
    pass


class DeviceFull(StableError):
    pass


class WrongAbi(StableError):
    pass


class ModelRejected(StableError):
    pass


class AgentMismatch(StableError):
    pass


class GarbledOutput(StableError):
    pass
