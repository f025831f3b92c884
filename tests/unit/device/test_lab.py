"""lab.toml: read strictly, edited without losing anything."""

from __future__ import annotations

import multiprocessing
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.core.errors import BadInput
from leadline.device.lab import Lab, check_name, parse_size
from leadline.records.device import DeviceEntry

ODD_NAMES = ["pi 4", 'Bürö\'s "Pixel"', "a;b", "$(reboot)", "-n", "--json", "a.b", "[x]", "`id`", "ü☃", "\\", "'", "#"]

OWNED = """# my lab
[devices.pi4]   # the one on the shelf
serial = "S1"
uri = "ssh://pi@pi4"  # by cable
tags = ["pi", "shelf"]

# borrowed from Ada
[devices."Ada's phone"]
uri = "adb:S2"
serial = "S2"
cache = "512 MiB"
directory = "/data/local/tmp/x"
"""


def entry(name: str, serial: str = "S9", **changes: object) -> DeviceEntry:
    return DeviceEntry(name=name, uri="local:", serial=serial, **changes)  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lab.toml"


def load(path: Path, text: str) -> Lab:
    path.write_text(text, encoding="utf-8")
    return Lab.load(path)


def test_a_missing_file_is_an_empty_lab(path: Path) -> None:
    assert Lab.load(path).devices == ()
    assert not path.exists()


def test_entries_keep_their_order_and_have_defaults(path: Path) -> None:
    pi4, phone = load(path, OWNED).devices
    assert (pi4.name, pi4.tags, pi4.directory, pi4.cache_bytes) == ("pi4", ("pi", "shelf"), None, 2 * 2**30)
    assert (phone.name, phone.directory, phone.cache_bytes) == ("Ada's phone", "/data/local/tmp/x", 512 * 2**20)


def test_adding_and_removing_keep_comments_and_order(path: Path) -> None:
    lab = load(path, OWNED).add(entry("new", "S3"))
    assert [device.name for device in lab.devices] == ["pi4", "Ada's phone", "new"]
    assert path.read_text().startswith(OWNED.rstrip())
    lab = lab.remove("new")
    assert path.read_text().strip() == OWNED.strip()
    lab.remove("pi4")
    assert (
        path.read_text().strip()
        == "# my lab\n\n# borrowed from Ada\n" + OWNED.partition("# borrowed from Ada\n")[2].strip()
    )
    assert [device.name for device in Lab.load(path).devices] == ["Ada's phone"]


def test_updating_changes_only_what_differs(path: Path) -> None:
    pi4 = load(path, OWNED).device("pi4")
    Lab.load(path).update(DeviceEntry(name="pi4", uri="ssh://pi@10.0.0.7", serial="S1", tags=pi4.tags))
    assert path.read_text() == OWNED.replace("ssh://pi@pi4", "ssh://pi@10.0.0.7")


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_survive_the_file(path: Path, name: str) -> None:
    written = entry(name, tags=("a b", "$(x)"), directory="/tmp/a b'\"", cache_bytes=3 * 2**20)
    Lab.load(path).add(written)
    lab = Lab.load(path)
    assert lab.devices == (written,)
    assert lab.device(name) == written
    assert lab.remove(name).devices == ()


@given(name=st.text(min_size=1, max_size=30), serial=st.text(min_size=1, max_size=30))
def test_any_name_and_serial_come_back_as_they_were_or_are_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, serial: str
) -> None:
    path = tmp_path_factory.mktemp("lab") / "lab.toml"
    written = entry(name, serial)
    try:
        Lab.load(path).add(written)
    except BadInput:
        assert not (name.isprintable() and serial.isprintable() and name.strip() and serial.strip())
        assert not path.exists()
    else:
        assert Lab.load(path).devices == (written,)


@pytest.mark.parametrize("name", ["a\nb", "", " ", "\x1b[31m", "a\0", "\u202eevil", "x" * 201])
def test_names_that_do_not_print_are_refused(name: str) -> None:
    with pytest.raises(BadInput, match="device name"):
        check_name(name)


def test_a_taken_name_or_serial_is_refused(path: Path) -> None:
    lab = load(path, OWNED)
    with pytest.raises(BadInput, match="'pi4' is already a device"):
        lab.add(entry("pi4"))
    with pytest.raises(BadInput, match="S1 is already enrolled as 'pi4'"):
        lab.add(entry("other", "S1"))
    assert path.read_text() == OWNED


def test_an_unknown_device_lists_the_known_ones_and_how_to_enrol(path: Path) -> None:
    with pytest.raises(BadInput, match=r"'pi5' is not a device .*'pi4', \"Ada's phone\".*leadline device add URI"):
        load(path, OWNED).device("pi5")


def test_devices_are_selected_by_name_or_tag_each_once(path: Path) -> None:
    lab = load(path, OWNED)
    assert [device.name for device in lab.select(["shelf", "Ada's phone", "pi4"])] == ["pi4", "Ada's phone"]
    with pytest.raises(BadInput, match=r"tags: 'pi', 'shelf'"):
        lab.select(["shelves"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[devices.a]\nuri='local:'\nserial='S'\nurl='x'", r"\[devices.a\] unknown key 'url'; did you mean `uri`"),
        ("[device.a]\nuri='local:'", r"unknown key 'device'; did you mean `devices`"),
        ("[devices.a]\nuri='local:'", r"\[devices.a\] .*`serial`"),
        ("[devices.a]\nuri=7\nserial='S'", r"\[devices.a\] .*`\$.uri`"),
        ("[devices.a]\nuri='local:'\nserial='S'\ntags='x'", r"\[devices.a\] .*`\$.tags`"),
        ("[devices.a]\nuri='local:'\nserial='S'\ncache='2 GB'", r"\[devices.a\] '2 GB' is not a size"),
        ("[devices.a]\nuri='local:'\nserial='S'\ndirectory='x'", r"\[devices.a\] `directory` must be an absolute"),
        ('[devices.a]\nuri="local:"\nserial="a\\nb"', r"\[devices.a\] `serial` must be printable"),
        ('[devices."a\\nb"]\nuri="local:"\nserial="S"', r"device name 'a\\nb'"),
        ("devices = 3", "`devices` must be tables"),
        ("[devices]\na = 'local:'", r"\[devices.a\] must be a table"),
        ("[devices.a\n", "not TOML: .*line 1"),
        ("[devices.a]\nuri='local:'\nserial='S'\n[devices.b]\nuri='local:'\nserial='S'", "same serial S"),
    ],
)
def test_mistakes_are_named_with_file_table_and_key(path: Path, text: str, message: str) -> None:
    with pytest.raises(BadInput, match=f"lab.toml: {message}" if message.startswith("\\[") else message) as caught:
        load(path, text)
    assert str(path) in str(caught.value)


def test_bytes_that_are_no_text_are_refused(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="UTF-8"):
        Lab.load(path)


def test_a_broken_file_is_never_overwritten(path: Path) -> None:
    path.write_text("[devices.a\n")
    with pytest.raises(BadInput):
        Lab(path, ()).add(entry("b"))
    assert path.read_text() == "[devices.a\n"


def test_inline_tables_can_be_edited(path: Path) -> None:
    load(path, "devices = {a = {uri = 'local:', serial = 'S1'}}\n").add(entry("b", "S2")).remove("a")
    assert [device.name for device in Lab.load(path).devices] == ["b"]


def test_a_spelling_that_cannot_be_edited_is_refused_and_left_as_it_is(path: Path) -> None:
    dotted = "devices.a.uri = 'local:'\ndevices.a.serial = 'S1'\ndevices.a.tags = ['x']\n"
    with pytest.raises(BadInput, match=r"write every device as \[devices.NAME\]"):
        load(path, dotted).add(entry("b", "S2"))
    assert path.read_text() == dotted


def test_a_linked_file_stays_a_link_and_keeps_its_mode(path: Path, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.toml"
    real.write_text(OWNED)
    real.chmod(0o600)
    path.symlink_to(real)
    Lab.load(path).add(entry("new", "S3"))
    assert path.is_symlink()
    assert "[devices.new]" in real.read_text()
    assert stat.S_IMODE(real.stat().st_mode) == 0o600


def _add_some(path: Path, worker: int) -> None:
    for n in range(5):
        Lab.load(path).add(entry(f"device {worker}-{n}", f"S{worker}-{n}"))


def test_no_entry_is_lost_when_several_processes_edit_at_once(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_add_some, args=(path, worker)) for worker in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert {device.serial for device in Lab.load(path).devices} == {f"S{w}-{n}" for w in range(4) for n in range(5)}


@pytest.mark.parametrize(("text", "size"), [("2 GiB", 2**31), ("512MiB", 2**29), (" 1.5 KiB ", 1536), ("7 B", 7)])
def test_sizes_are_binary_units(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "2", "-1 GiB", "0 B", "2 gb", "nan GiB", "1e3 B"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is not a size"):
        parse_size(text)
