"""lab.toml: the devices of a lab, written by hand or by ``leadline device add``."""

from __future__ import annotations

import difflib
import fcntl
import os
import re
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import tomlkit
from tomlkit.items import InlineTable

from leadline.core.errors import BadInput
from leadline.records.device import DeviceEntry

_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_HEADER = "The devices of this lab: `leadline device add URI` adds one; edit freely, comments are kept."
_LONGEST_NAME = 200


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ``[devices.NAME]`` as it stands in the file."""

    uri: str
    serial: str
    tags: tuple[str, ...] = ()
    directory: str | None = None
    cache: str = "2 GiB"


class Lab(msgspec.Struct, frozen=True):
    """The devices of one lab.toml, in its order. Never changes: `add`, `update` and `remove` edit the file and return
    what stands in it then."""

    path: Path
    devices: tuple[DeviceEntry, ...]

    @classmethod
    def load(cls, path: Path) -> Lab:
        """Read and check; a missing file is an empty lab.

        Raises: BadInput naming file, table and key.
        """
        return cls(path, _entries(path, _read(path)))

    def device(self, name: str) -> DeviceEntry:
        """Raises: BadInput that lists the devices there are."""
        return self.select([name], tags=False)[0]

    def select(self, names_or_tags: Iterable[str], *, tags: bool = True) -> tuple[DeviceEntry, ...]:
        """The devices meant, each once, in the order asked for; a name goes before a tag of the same spelling.

        Raises: BadInput that lists the devices (and tags) there are.
        """
        chosen: dict[str, DeviceEntry] = {}
        for word in names_or_tags:
            found = [entry for entry in self.devices if entry.name == word]
            if not found and tags:
                found = [entry for entry in self.devices if word in entry.tags]
            if not found:
                raise BadInput(self._unknown(word, tags=tags))
            chosen.update((entry.name, entry) for entry in found)
        return tuple(chosen.values())

    def by_serial(self, serial: str) -> DeviceEntry | None:
        return next((entry for entry in self.devices if entry.serial == serial), None)

    def add(self, entry: DeviceEntry) -> Lab:
        """Append a device. Raises: BadInput if the name or the serial is taken."""
        check_name(entry.name)

        def insert(now: Lab, text: str) -> str:
            for other in now.devices:
                if other.name == entry.name:
                    raise BadInput(
                        f"{self.path}: {entry.name!r} is already a device (serial {other.serial}); "
                        "choose another with: leadline device add URI --name NAME"
                    )
                if other.serial == entry.serial:
                    raise BadInput(f"{self.path}: serial {entry.serial} is already enrolled as {other.name!r}")
            document = tomlkit.parse(text) if text else tomlkit.document().add(tomlkit.comment(_HEADER))
            devices: Any = document.setdefault("devices", tomlkit.table(is_super_table=True))
            table: Any = tomlkit.inline_table() if isinstance(devices, InlineTable) else tomlkit.table()
            table.update(_to_table(entry))
            devices[entry.name] = table
            return tomlkit.dumps(document)

        return self._rewritten(insert, lambda now: [*now.devices, entry])

    def update(self, entry: DeviceEntry) -> Lab:
        """Rewrite what differs of an enrolled device, found by its name. Raises: BadInput if it is gone."""

        def change(now: Lab, text: str) -> str:
            before = _to_table(now.device(entry.name))
            after = _to_table(entry)
            document: Any = tomlkit.parse(text)
            table = document["devices"][entry.name]
            for key in before.keys() - after.keys():
                table.pop(key, None)
            table.update({key: value for key, value in after.items() if before.get(key) != value})
            return tomlkit.dumps(document)

        return self._rewritten(
            change, lambda now: [entry if other.name == entry.name else other for other in now.devices]
        )

    def remove(self, name: str) -> Lab:
        """Take a device out of the file; what was measured on it stays in the store. Raises: BadInput if unknown."""

        def cut(now: Lab, text: str) -> str:
            now.device(name)
            return _without(text, name)

        return self._rewritten(cut, lambda now: [other for other in now.devices if other.name != name])

    def _rewritten(self, edit: Callable[[Lab, str], str], meant: Callable[[Lab], list[DeviceEntry]]) -> Lab:
        """Edit the text under the lock, and write it only if it then says what is meant: some spellings of TOML are
        more than tomlkit can edit."""
        with _locked(self.path):
            text = _read(self.path)
            now = Lab(self.path, _entries(self.path, text))
            wanted = {entry.name: _entry(self.path, entry.name, _to_table(entry)) for entry in meant(now)}
            edited = edit(now, text)
            after = None
            with suppress(BadInput):
                after = Lab(self.path, _entries(self.path, edited))
            if after is None or {entry.name: entry for entry in after.devices} != wanted:
                raise BadInput(f"{self.path}: cannot be edited as it is spelled; write every device as [devices.NAME]")
            _write_atomically(self.path, edited)
            return after

    def _unknown(self, word: str, *, tags: bool) -> str:
        names = ", ".join(repr(entry.name) for entry in self.devices) or "none"
        known_tags = sorted({tag for entry in self.devices for tag in entry.tags})
        also = f"; tags: {', '.join(map(repr, known_tags))}" if tags and known_tags else ""
        return (
            f"{word!r} is not a device of {self.path}; devices: {names}{also}; enrol it with: leadline device add URI"
        )


def check_name(name: str) -> str:
    """A device's name may hold anything that prints. Raises: BadInput."""
    if not name.strip() or not name.isprintable():
        raise BadInput(f"device name {name!r}: must be printable text, without newlines or control characters")
    if len(name) > _LONGEST_NAME:
        raise BadInput(f"device name {name[:20]!r}…: longer than {_LONGEST_NAME} characters; choose a shorter one")
    return name


def parse_size(text: str) -> int:
    """``"2 GiB"`` → 2147483648; also B, KiB, MiB, TiB. Raises: BadInput."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|TiB)\s*", text, re.ASCII)
    if match is None or (size := int(float(match[1]) * _UNITS[match[2]])) <= 0:
        raise BadInput(f'{text!r} is not a size; write it like "512 MiB" or "2 GiB"')
    return size


def _spell_size(count: int) -> str:
    unit = next(u for u in reversed(_UNITS) if count % _UNITS[u] == 0)
    return f"{count // _UNITS[unit]} {unit}"


def _without(text: str, name: str) -> str:
    """`text` without the table of `name`. tomlkit counts the comment above a table to the table before it, and would
    delete it with that one; so the lines from the header to the last value are cut, if that leaves the same data."""
    document: Any = tomlkit.parse(text)
    del document["devices"][name]
    lines = text.splitlines(keepends=True)
    start = next((i for i, line in enumerate(lines) if _opens(line, name)), None)
    if start is not None:
        rest = lines[start + 1 :]
        own = next((i for i, line in enumerate(rest) if line.lstrip().startswith("[")), len(rest))
        values = [i for i, line in enumerate(rest[:own]) if line.strip() and not line.lstrip().startswith("#")]
        cut = "".join(lines[:start] + rest[(values[-1] + 1 if values else 0) :])
        with suppress(tomllib.TOMLDecodeError):
            if tomllib.loads(cut).get("devices", {}) == document.unwrap().get("devices", {}):
                return cut
    return tomlkit.dumps(document)


def _opens(line: str, name: str) -> bool:
    """Whether `line` is the header ``[devices.NAME]``, however it is quoted."""
    with suppress(tomllib.TOMLDecodeError):
        return line.lstrip().startswith("[") and tomllib.loads(line) == {"devices": {name: {}}}
    return False


def _to_table(entry: DeviceEntry) -> dict[str, Any]:
    table: dict[str, Any] = {"uri": entry.uri, "serial": entry.serial}
    if entry.tags:
        table["tags"] = list(entry.tags)
    if entry.directory is not None:
        table["directory"] = entry.directory
    if (cache := _spell_size(entry.cache_bytes)) != "2 GiB":
        table["cache"] = cache
    return table


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}; look at: ls -l {path}") from None


def _entries(path: Path, text: str) -> tuple[DeviceEntry, ...]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path}: not TOML: {error}") from None
    _check_keys(f"{path}: ", document, ("devices",))
    devices = document.get("devices", {})
    if not isinstance(devices, Mapping):
        raise BadInput(f"{path}: `devices` must be tables like [devices.pi4], not {_kind(devices)}")
    entries = tuple(_entry(path, name, table) for name, table in devices.items())
    seen: dict[str, str] = {}
    for entry in entries:
        if entry.serial in seen:
            raise BadInput(
                f"{path}: [devices] {seen[entry.serial]!r} and {entry.name!r} have the same serial {entry.serial}; "
                "one unit has one entry: take one out with: leadline device remove NAME"
            )
        seen[entry.serial] = entry.name
    return entries


def _entry(path: Path, name: str, raw: object) -> DeviceEntry:
    place = f"{path}: [devices.{_quoted(name)}] "
    if not isinstance(raw, Mapping):
        raise BadInput(f"{place}must be a table with `uri` and `serial`, not {_kind(raw)}")
    _check_keys(place, raw, _Table.__struct_fields__)
    try:
        check_name(name)
        table = msgspec.convert(raw, _Table)
        for key, value in (("uri", table.uri), ("serial", table.serial)):
            if not value.strip() or not value.isprintable():
                raise BadInput(f"`{key}` must be printable text, not {value!r}")
        if table.directory is not None and not table.directory.startswith("/"):
            raise BadInput(f"`directory` must be an absolute path on the device, not {table.directory!r}")
        return DeviceEntry(
            name=name,
            uri=table.uri,
            serial=table.serial,
            tags=table.tags,
            directory=table.directory,
            cache_bytes=parse_size(table.cache),
        )
    except (msgspec.ValidationError, BadInput) as error:
        raise BadInput(place + str(error)) from None


def _check_keys(place: str, table: Mapping[str, object], known: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean `{close[0]}`?" if close else f"known keys: {', '.join(known)}"
            raise BadInput(f"{place}unknown key {key!r}; {hint}")


def _quoted(name: str) -> str:
    return str(tomlkit.key(name).as_string()) if name.isprintable() else repr(name)


def _kind(value: object) -> str:
    return {str: "text", list: "an array", bool: "a truth value", int: "a number", float: "a number"}.get(
        type(value), type(value).__name__
    )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Only one process edits the file at a time; the lock is beside it, since the file itself is replaced."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise BadInput(f"{path}: cannot be written: {error.strerror}; look at: ls -ld {path.parent}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write_atomically(path: Path, text: str) -> None:
    target = path.resolve()  # a link to a file in someone's dotfiles stays a link
    try:
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                os.fchmod(file.fileno(), mode)
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise BadInput(f"{path}: cannot be written: {error.strerror}; look at: ls -ld {target.parent}") from None
