"""What every transport promises, readable as a specification.

A test module subclasses `TransportContract` (and `LinkContract` if a cable can be cut) and gives two fixtures:

- ``transport``: an open transport named "bench";
- ``device``: a `LoopbackDevice`, which looks at the same device from the other side.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

import pytest

from leadline.core.errors import CommandTimeout, DeviceFull, DeviceOffline, GarbledOutput, TransferCorrupt
from leadline.rpc.transport import RemoteProcess, Transport
from tests.support.loopback import LoopbackDevice

ODD_NAMES = [
    "a b",
    "it's",
    'say "hi"',
    "new\nline",
    "$(id)",
    "`id`",
    "-n",
    "--",
    "a;b|c&d",
    "*",
    "\\",
    "~",
    "é€",
    "!!",
    "",
]
ODD_FILE_NAMES = [name for name in ODD_NAMES if name]


class TransportContract:
    """Over any channel to any device."""

    # -- running ------------------------------------------------------------------------------------------------

    def test_run_separates_the_streams_and_gives_the_exit_code(self, transport: Transport) -> None:
        done = transport.run(["sh", "-c", "echo out; echo err >&2; exit 7"])
        assert (done.exit_code, done.stdout, done.stderr) == (7, b"out\n", b"err\n")

    def test_a_command_ended_by_a_signal_exits_with_128_plus_its_number(self, transport: Transport) -> None:
        assert transport.run(["sh", "-c", "kill -TERM $$"]).exit_code == 128 + 15

    def test_a_command_that_does_not_exist_exits_with_127(self, transport: Transport) -> None:
        done = transport.run(["leadline-no-such-command"])
        assert done.exit_code == 127
        assert b"leadline-no-such-command" in done.stderr

    def test_arguments_arrive_unchanged_whatever_they_hold(self, transport: Transport) -> None:
        done = transport.run(["printf", "[%s]\\0", *ODD_NAMES])
        assert done.stdout.decode().split("\0")[:-1] == [f"[{name}]" for name in ODD_NAMES]

    def test_bytes_pass_unchanged_in_both_directions(self, transport: Transport) -> None:
        everything = bytes(range(256)) * 1000
        assert transport.run(["cat"], stdin=everything).stdout == everything

    def test_input_and_output_larger_than_any_buffer_do_not_block_each_other(self, transport: Transport) -> None:
        much = os.urandom(8 * 2**20)
        done = transport.run(["tee", "/dev/stderr"], stdin=much)
        assert done.stdout == much
        assert done.stderr == much

    def test_without_input_a_command_reads_the_end_of_file(self, transport: Transport) -> None:
        assert transport.run(["cat"]).stdout == b""

    def test_a_command_that_ignores_its_input_is_no_error(self, transport: Transport) -> None:
        assert transport.run(["true"], stdin=bytes(2**20)).exit_code == 0

    def test_a_command_that_outlasts_its_time_is_ended_with_all_its_children(
        self, transport: Transport, device: LoopbackDevice
    ) -> None:
        script = f"cd {device.directory}; sleep 300 & echo $! >>pids; sleep 300 & echo $! >>pids; echo $$ >>pids; wait"
        with pytest.raises(CommandTimeout, match="bench"):
            transport.run(["sh", "-c", script], timeout_s=1.0)
        pids = [int(line) for line in device.read("pids").split()]
        assert len(pids) == 3
        assert device.become_dead(pids)

    def test_a_command_that_ends_leaves_no_background_child_behind(
        self, transport: Transport, device: LoopbackDevice
    ) -> None:
        done = transport.run(["sh", "-c", "sleep 300 & echo $!"])
        assert done.exit_code == 0
        assert device.become_dead([int(done.stdout)])

    def test_endless_output_is_garbled_and_ends_the_command(self, transport: Transport, device: LoopbackDevice) -> None:
        with pytest.raises(GarbledOutput, match="bench"):
            transport.run(["sh", "-c", f"echo $$ >{device.directory}/pid; exec cat /dev/zero"])
        assert device.become_dead([int(device.read("pid"))])

    def test_several_threads_may_run_commands_at_once(self, transport: Transport) -> None:
        answers: dict[int, bytes] = {}

        def ask(number: int) -> None:
            answers[number] = transport.run(["echo", str(number)]).stdout

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == {number: f"{number}\n".encode() for number in range(6)}

    # -- started processes ---------------------------------------------------------------------------------------

    def test_a_started_command_converses_line_by_line(self, transport: Transport) -> None:
        with transport.start(["cat"]) as process:
            for word in (b"one\n", b"two\n"):
                process.write(word)
                assert process.read_line(timeout_s=30) == word
            process.write(b"unfinished")
            process.close_stdin()
            assert process.read_line(timeout_s=30) == b"unfinished"
            assert process.read_line(timeout_s=30) == b""
            assert process.wait(timeout_s=30).exit_code == 0

    def test_wait_gives_what_was_not_read(self, transport: Transport) -> None:
        with transport.start(["sh", "-c", "echo one; echo two; echo three; echo err >&2; exit 3"]) as process:
            assert process.read_line(timeout_s=30) == b"one\n"
            done = process.wait(timeout_s=30)
        assert (done.exit_code, done.stdout, done.stderr) == (3, b"two\nthree\n", b"err\n")

    def test_a_silent_process_times_out_and_goes_on(self, transport: Transport) -> None:
        with transport.start(["cat"]) as process:
            with pytest.raises(CommandTimeout):
                process.read_line(timeout_s=0.2)
            with pytest.raises(CommandTimeout):
                process.wait(timeout_s=0.2)
            process.write(b"still here\n")
            assert process.read_line(timeout_s=30) == b"still here\n"

    def test_much_on_standard_error_does_not_block_standard_output(self, transport: Transport) -> None:
        with transport.start(["sh", "-c", "head -c 8000000 /dev/zero >&2; echo done"]) as process:
            assert process.read_line(timeout_s=60) == b"done\n"
            assert len(process.wait(timeout_s=30).stderr) == 8_000_000

    def test_a_line_of_100_mb_is_garbled_without_being_held_in_memory(self, transport: Transport) -> None:
        before = peak_rss_bytes()
        with (
            transport.start(["sh", "-c", "head -c 100000000 /dev/zero; echo"]) as process,
            pytest.raises(GarbledOutput, match="bench"),
        ):
            process.read_line(timeout_s=60)
        assert peak_rss_bytes() - before < 60e6

    def test_leaving_the_block_ends_the_process_group(self, transport: Transport, device: LoopbackDevice) -> None:
        with transport.start(["sh", "-c", "sleep 300 & echo $! $$; sleep 300"]) as process:
            pids = [int(word) for word in process.read_line(timeout_s=30).split()]
        assert device.become_dead(pids)

    def test_kill_ends_the_process_and_may_be_repeated(self, transport: Transport, device: LoopbackDevice) -> None:
        with transport.start(["sh", "-c", "trap '' TERM INT HUP; echo $$; sleep 300; sleep 300"]) as process:
            pid = int(process.read_line(timeout_s=30))
            process.kill()
            process.kill()
            assert process.wait(timeout_s=30).exit_code == 128 + 9
            process.kill()
        assert device.become_dead([pid])

    def test_writing_to_an_ended_process_says_that_it_is_gone(self, transport: Transport) -> None:
        with transport.start(["true"]) as process:
            process.wait(timeout_s=30)
            with pytest.raises(DeviceOffline, match="bench"):
                write_much(process)

    def test_close_ends_every_process_and_open_works_again(self, transport: Transport, device: LoopbackDevice) -> None:
        with contextlib.ExitStack() as stack:
            processes = [stack.enter_context(transport.start(["sh", "-c", "echo $$; sleep 300"])) for _ in range(3)]
            pids = [int(process.read_line(timeout_s=30)) for process in processes]
            transport.close()
            transport.close()
            assert device.become_dead(pids)
        transport.open()
        transport.open()
        assert transport.run(["echo", "back"]).stdout == b"back\n"

    def test_a_closed_transport_says_so(self, transport: Transport) -> None:
        transport.close()
        with pytest.raises(DeviceOffline, match="bench"):
            transport.run(["true"])

    # -- files -----------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("size", [0, 1, 70_001, 5_000_000])
    def test_a_file_pushed_and_pulled_is_the_same(
        self, transport: Transport, device: LoopbackDevice, tmp_path: Path, size: int
    ) -> None:
        original = make_file(tmp_path / "original", os.urandom(size))
        remote = f"{device.directory}/new/folders/file"
        transport.push(original, remote)
        assert device.read("new/folders/file") == original.read_bytes()
        transport.pull(remote, tmp_path / "pulled" / "copy")
        assert (tmp_path / "pulled" / "copy").read_bytes() == original.read_bytes()
        assert device.listing("new/folders") == ["file"]
        assert os.listdir(tmp_path / "pulled") == ["copy"]

    @pytest.mark.parametrize("name", ODD_FILE_NAMES)
    def test_file_names_may_hold_anything(
        self, transport: Transport, device: LoopbackDevice, tmp_path: Path, name: str
    ) -> None:
        original = make_file(tmp_path / name, b"content")
        transport.push(original, f"{device.directory}/{name}/{name}")
        assert device.read(f"{name}/{name}") == b"content"
        transport.pull(f"{device.directory}/{name}/{name}", tmp_path / "back" / name)
        assert (tmp_path / "back" / name).read_bytes() == b"content"

    def test_only_what_is_pushed_as_executable_can_be_executed(
        self, transport: Transport, device: LoopbackDevice, tmp_path: Path
    ) -> None:
        program = make_file(tmp_path / "program", b"#!/bin/sh\necho it runs\n")
        transport.push(program, f"{device.directory}/yes", executable=True)
        transport.push(program, f"{device.directory}/no")
        assert transport.run([f"{device.directory}/yes"]).stdout == b"it runs\n"
        assert transport.run([f"{device.directory}/no"]).exit_code == 126

    def test_a_push_replaces_a_file_whole(self, transport: Transport, device: LoopbackDevice, tmp_path: Path) -> None:
        for content in (b"a long first version", b"second"):
            transport.push(make_file(tmp_path / "version", content), f"{device.directory}/file")
        assert device.read("file") == b"second"

    def test_a_running_program_can_be_replaced(
        self, transport: Transport, device: LoopbackDevice, tmp_path: Path
    ) -> None:
        sleeper = Path("/usr/bin/sleep")
        transport.push(sleeper, f"{device.directory}/sleeper", executable=True)
        with transport.start([f"{device.directory}/sleeper", "300"]):
            transport.push(sleeper, f"{device.directory}/sleeper", executable=True)
        assert device.listing() == ["sleeper"]

    def test_pulling_what_is_not_there_says_so_and_makes_nothing(
        self, transport: Transport, device: LoopbackDevice, tmp_path: Path
    ) -> None:
        with pytest.raises(FileNotFoundError, match="bench"):
            transport.pull(f"{device.directory}/absent", tmp_path / "target" / "file")
        assert not list(tmp_path.rglob("file*"))

    def test_a_full_device_is_told_and_nothing_is_left(
        self, transport: Transport, device: LoopbackDevice, tmp_path: Path
    ) -> None:
        transport.push(make_file(tmp_path / "old", b"old"), f"{device.directory}/small/file")
        big = make_file(tmp_path / "big", os.urandom(3 * 2**20))
        with device.full_beyond(2**20), pytest.raises(DeviceFull, match="bench"):
            transport.push(big, f"{device.directory}/small/file")
        assert device.read("small/file") == b"old"
        assert device.listing("small") == ["file"]

    def test_a_file_that_changes_while_it_is_pushed_is_refused(
        self, transport: Transport, device: LoopbackDevice, tmp_path: Path
    ) -> None:
        growing = tmp_path / "growing"
        growing.write_bytes(bytes(20 * 2**20))
        stop = threading.Event()

        def grow() -> None:
            with growing.open("r+b") as file:
                while not stop.is_set():
                    file.seek(19 * 2**20)
                    file.write(os.urandom(16))
                    file.flush()

        thread = threading.Thread(target=grow)
        thread.start()
        try:
            with pytest.raises(TransferCorrupt, match="bench"):
                transport.push(growing, f"{device.directory}/file")
        finally:
            stop.set()
            thread.join()
        assert device.listing() == []

    # -- itself ------------------------------------------------------------------------------------------------------

    def test_the_default_directory_can_be_written_to(self, transport: Transport, tmp_path: Path) -> None:
        remote = f"{transport.default_directory}/contract-test"
        transport.push(make_file(tmp_path / "file", b"x"), remote)
        assert transport.run(["rm", remote]).exit_code == 0


class LinkContract:
    """Over a link that can be cut or fall silent."""

    def test_a_cut_while_a_command_runs_is_told_as_offline(self, transport: Transport, device: LoopbackDevice) -> None:
        with transport.start(["sh", "-c", "echo ready; sleep 300"]) as process:
            assert process.read_line(timeout_s=30) == b"ready\n"
            device.cut()
            with pytest.raises(DeviceOffline, match="bench"):
                process.read_line(timeout_s=30)
            with pytest.raises(DeviceOffline, match="bench"):
                process.write(b"anyone?\n")

    def test_after_a_cut_open_connects_anew_and_ends_what_was_running(
        self, transport: Transport, device: LoopbackDevice
    ) -> None:
        process = transport.start(["sh", "-c", "echo $$; sleep 300"])
        pid = int(process.read_line(timeout_s=30))
        device.cut()
        with pytest.raises(DeviceOffline):
            process.wait(timeout_s=30)
        process.kill()
        transport.open()
        assert transport.run(["echo", "back"]).stdout == b"back\n"
        assert device.become_dead([pid])

    def test_a_cut_while_pushing_leaves_the_target_as_it_was(
        self, transport: Transport, device: LoopbackDevice, tmp_path: Path
    ) -> None:
        transport.push(make_file(tmp_path / "old", b"old"), f"{device.directory}/file")
        big = make_file(tmp_path / "big", bytes(200 * 2**20))
        cutter = threading.Thread(target=lambda: (device.wait_for_growth(), device.cut()))
        cutter.start()
        with pytest.raises(DeviceOffline, match="bench"):
            transport.push(big, f"{device.directory}/file")
        cutter.join()
        assert device.read("file") == b"old"

    def test_a_device_that_cannot_be_reached_is_offline(self, transport: Transport, device: LoopbackDevice) -> None:
        transport.close()
        device.go_away()
        with pytest.raises(DeviceOffline, match="bench"):
            transport.open()
        device.come_back()
        transport.open()
        assert transport.run(["true"]).exit_code == 0

    def test_a_frozen_device_does_not_hang_the_host(self, transport: Transport, device: LoopbackDevice) -> None:
        device.freeze()
        started = time.monotonic()
        with pytest.raises((CommandTimeout, DeviceOffline), match="bench"):
            transport.run(["true"], timeout_s=1.0)
        assert time.monotonic() - started < 60  # not a speed: the test server would never answer
        device.thaw()
        transport.open()
        assert transport.run(["true"]).exit_code == 0


def make_file(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def write_much(process: RemoteProcess) -> None:
    """More than any buffer on the way holds, so that the far end must take part."""
    for _ in range(100):
        process.write(bytes(2**16))


def peak_rss_bytes() -> int:
    """Highest resident memory of this process so far."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
