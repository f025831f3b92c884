"""The device side of ADB: a daemon that Google's own adb server talks to over TCP as it would to a phone.

Only the standard library, and nothing of Leadline's: the package also runs alone, inside an emulated phone that has
nothing but python3. Written from the protocol's documentation in AOSP's ``packages/modules/adb``: ``protocol.txt``
(packets, authentication, streams), ``OVERVIEW.TXT``, ``SERVICES.TXT`` (services), ``SYNC.TXT`` (files).

    packet.py      headers and checksums
    stream.py      one service's bytes, with flow control
    link.py        one TCP connection: handshake, packets to and from streams
    keys.py        RSA: is this host's key known?
    services.py    OPEN: which service answers
    shell.py       shell and exec      files.py     sync      sockets.py     tcp and reverse
    faults.py      what a test or a person at the control line may break
    daemon.py      listens, keeps what is common to all connections
"""

from .daemon import Daemon, Device
from .faults import Faults

__all__ = ["Daemon", "Device", "Faults"]
