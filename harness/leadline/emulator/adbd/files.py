"""Files: ``sync:``, versions 1 and 2.

Source: AOSP packages/modules/adb/SYNC.TXT, and the layouts documented in file_sync_protocol.h for STA2, LST2, LIS2,
SND2 and RCV2.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from .packet import Bytes
from .stream import Stream, StreamReader

if TYPE_CHECKING:
    from .link import Link

CHUNK_BYTES = 2**16
MAX_PATH_BYTES = 1024
_REQUEST = struct.Struct("<4sI")
_STAT_V1 = struct.Struct("<3I")  # mode, size, mtime
_STAT_V2 = struct.Struct("<I2Q4IQ3q")  # error, dev, ino, mode, nlink, uid, gid, size, atime, mtime, ctime
_NO_STAT = os.stat_result((0,) * 10)


def serve_files(link: Link, stream: Stream, _arguments: str) -> None:
    """Answer requests until QUIT, or until the host closes."""
    _Files(link, stream).run()


class _Files:
    def __init__(self, link: Link, stream: Stream) -> None:
        self._link, self._stream, self._reader = link, stream, StreamReader(stream)

    def run(self) -> None:
        while True:
            request, length = _REQUEST.unpack(self._reader.exactly(_REQUEST.size))
            handler = self._handlers().get(request)
            if handler is None:
                if request != b"QUIT":
                    self._fail(f"unknown request {request!r}")
                return
            if length > MAX_PATH_BYTES:
                self._fail("path too long")
                return
            handler(self._reader.exactly(length))

    def _handlers(self) -> dict[bytes, Callable[[bytes], None]]:
        return {
            b"STAT": self._stat_v1,
            b"STA2": lambda path: self._stat_v2(b"STA2", path, os.stat),
            b"LST2": lambda path: self._stat_v2(b"LST2", path, os.lstat),
            b"LIST": self._list_v1,
            b"LIS2": self._list_v2,
            b"SEND": self._receive_v1,
            b"SND2": self._receive_v2,
            b"RECV": self._send,
            b"RCV2": self._send_v2,
        }

    def _answer(self, kind: bytes, *parts: Bytes) -> None:
        self._stream.write(b"".join((kind, *parts)))

    def _fail(self, text: str) -> None:
        message = text.encode()
        self._answer(b"FAIL", struct.pack("<I", len(message)), message)

    # Looking.

    def _stat_v1(self, path: bytes) -> None:
        try:
            found = os.lstat(path)
        except OSError:
            found = _NO_STAT
        self._answer(b"STAT", _pack_v1(found))

    def _stat_v2(self, kind: bytes, path: bytes, look: Callable[[bytes], os.stat_result]) -> None:
        try:
            self._answer(kind, _pack_v2(0, look(path)))
        except OSError as error:
            self._answer(kind, _pack_v2(error.errno or errno.EIO, _NO_STAT))

    def _list_v1(self, path: bytes) -> None:
        for name, found in _entries(path):
            self._answer(b"DENT", _pack_v1(found), struct.pack("<I", len(name)), name)
        self._answer(b"DONE", bytes(_STAT_V1.size + 4))

    def _list_v2(self, path: bytes) -> None:
        for name, found in _entries(path):
            self._answer(b"DNT2", _pack_v2(0, found), struct.pack("<I", len(name)), name)
        self._answer(b"DONE", bytes(_STAT_V2.size + 4))

    # The host pushes.

    def _receive_v1(self, argument: bytes) -> None:
        path, _, mode = argument.rpartition(b",")
        if not path or not mode.isdigit():
            self._discard()
            self._fail("SEND wants PATH,MODE")
            return
        self._receive(path, int(mode))

    def _receive_v2(self, path: bytes) -> None:
        request, mode, flags = struct.unpack("<4s2I", self._reader.exactly(12))
        if request != b"SND2" or flags:
            self._discard()
            self._fail(f"flags {flags:#x}: no compression here")
            return
        self._receive(path, mode)

    def _receive(self, path: bytes, mode: int) -> None:
        """Write a file. After an error the rest is read and dropped: the host listens only once all is sent."""
        at_end = False
        try:
            os.makedirs(os.path.dirname(path) or b"/", mode=0o775, exist_ok=True)
            if stat.S_ISLNK(mode):
                target = b"".join(bytes(self._reader.exactly(size)) for size in iter(self._next_chunk, None))
                at_end = True
                os.symlink(target.rstrip(b"\0"), path)
            else:
                at_end = self._receive_file(path, mode)
        except OSError as error:
            if not at_end:
                self._discard()
            self._fail(f"couldn't create file: {os.strerror(error.errno or errno.EIO)}")
            return
        self._answer(b"OKAY", bytes(4))

    def _receive_file(self, path: bytes, mode: int) -> bool:
        if os.path.lexists(path) and not os.path.isdir(path):
            os.unlink(path)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(file, stat.S_IMODE(mode) & 0o777)
            while (left := self._next_chunk()) is not None:
                while left:
                    data = self._reader.some(left)
                    left -= len(data)
                    try:
                        self._write(file, data)
                    except OSError:
                        self._skip(left)
                        raise
            os.utime(file, (self._mtime, self._mtime))
        except BaseException:  # also when the host has gone: no half files
            os.unlink(path)
            raise
        finally:
            os.close(file)
        return True

    def _write(self, file: int, data: memoryview) -> None:
        faults = self._link.daemon.faults
        if not faults.take_space(len(data)):
            raise OSError(errno.ENOSPC, "disk full")
        if faults.cut_push_after_bytes is not None:
            faults.cut_push_after_bytes -= len(data)
            if faults.cut_push_after_bytes < 0:
                faults.cut_push_after_bytes = None
                self._link.cut()
        if faults.corrupt_pushes:
            data = _flip_a_bit(data)
        while data:
            data = data[os.write(file, data) :]

    def _next_chunk(self) -> int | None:
        """The size of the next DATA; None at DONE."""
        request, value = _REQUEST.unpack(self._reader.exactly(_REQUEST.size))
        if request == b"DONE":
            self._mtime = value
            return None
        if request != b"DATA" or value > CHUNK_BYTES:
            self._fail(f"expected DATA of at most {CHUNK_BYTES} bytes or DONE, got {request!r} {value}")
            self._stream.close()
            raise BrokenPipeError(errno.EPIPE, "no DATA")
        return int(value)

    def _discard(self) -> None:
        while (size := self._next_chunk()) is not None:
            self._skip(size)

    def _skip(self, count: int) -> None:
        while count:
            count -= len(self._reader.some(count))

    # The host pulls.

    def _send_v2(self, path: bytes) -> None:
        request, flags = _REQUEST.unpack(self._reader.exactly(_REQUEST.size))
        if request != b"RCV2" or flags:
            self._fail(f"flags {flags:#x}: no compression here")
            return
        self._send(path)

    def _send(self, path: bytes) -> None:
        try:
            with open(path, "rb", buffering=0) as file:
                while data := file.read(CHUNK_BYTES):
                    sent = _flip_a_bit(data) if self._link.daemon.faults.corrupt_pulls else data
                    self._answer(b"DATA", struct.pack("<I", len(sent)), sent)
        except OSError as error:
            self._fail(f"open failed: {os.strerror(error.errno or errno.EIO)}")
            return
        self._answer(b"DONE", bytes(4))


def _entries(path: bytes) -> list[tuple[bytes, os.stat_result]]:
    try:
        return [(entry.name, entry.stat(follow_symlinks=False)) for entry in os.scandir(path)]
    except OSError:
        return []


def _pack_v1(found: os.stat_result) -> bytes:
    return _STAT_V1.pack(found.st_mode, found.st_size & 0xFFFFFFFF, int(found.st_mtime) & 0xFFFFFFFF)


def _pack_v2(error: int, found: os.stat_result) -> bytes:
    return _STAT_V2.pack(
        error, found.st_dev, found.st_ino, found.st_mode, found.st_nlink, found.st_uid, found.st_gid, found.st_size,
        int(found.st_atime), int(found.st_mtime), int(found.st_ctime),
    )  # fmt: skip


def _flip_a_bit(data: Bytes) -> memoryview:
    changed = bytearray(data)
    changed[len(changed) // 2] ^= 1
    return memoryview(changed)
