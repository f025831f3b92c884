"""What a runner process makes of what a device says: answers are checked, everything else is an error that explains."""

from __future__ import annotations

import json
from typing import Any

import pytest

from leadline.core.errors import CommandTimeout, GarbledOutput, LeadlineError, ModelRejected, WrongAbi
from leadline.runner.lines import complaint, parse_line
from leadline.runner.process import LineProcess
from tests.support.scripted import ScriptedProgram

READY: dict[str, Any] = {
    "event": "ready",
    "runtime": "LiteRT 2.3.0",
    "load_ns": 1,
    "prepare_ns": 2,
    "first_ns": 3_000_000,
    "op_count": 3,
    "delegated_ops": 2,
    "inputs": [{"name": "x", "dtype": "float32", "shape": [1, 2]}],
    "outputs": [{"name": "y", "dtype": "float32", "shape": [1, 2]}],
    "fingerprints": [{"sha256": "ab" * 32, "size": 2, "mean": 0.5, "rms": 1, "head": [0, 1]}],
}
BLOCK = {"event": "block", "wall_ns": [1000, 2000], "cpu_ns": [900, 0], "switches": [0, 1]}


class SteppingClock:
    """Nanoseconds, one second more at every look."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        self.now_ns += 10**9
        return self.now_ns


def launched(*lines: dict[str, Any] | str | Exception, **end: Any) -> tuple[LineProcess, ScriptedProgram]:
    program = ScriptedProgram([READY, *lines], **end)
    return LineProcess.launch(program, device="pi4", model="net.tflite", monotonic_ns=SteppingClock()), program


def failure_of_launch(*lines: dict[str, Any] | str | Exception, **end: Any) -> LeadlineError:
    program = ScriptedProgram(lines, **end)
    with pytest.raises(LeadlineError) as caught:
        LineProcess.launch(program, device="pi4", model="net.tflite")
    assert program.killed, "a failed launch leaves nothing running"
    return caught.value


def failure_of_block(answer: dict[str, Any] | str | Exception, runs: int = 2) -> LeadlineError:
    process, program = launched(answer)
    process.request(runs)
    with pytest.raises(LeadlineError) as caught:
        process.block()
    assert program.killed
    return caught.value


def test_a_ready_line_becomes_the_record() -> None:
    process, _ = launched()
    assert process.ready.runtime == "LiteRT 2.3.0"
    assert process.ready.delegated_ops == 2
    assert process.ready.outputs[0].shape == (1, 2)
    assert process.ready.fingerprints[0].head == (0.0, 1.0)


def test_orders_go_ahead_of_answers_and_answers_come_in_order() -> None:
    second = BLOCK | {"wall_ns": [5, 6, 7], "cpu_ns": [1, 1, 1], "switches": [0, 0, 0]}
    process, program = launched(BLOCK, second)
    process.request(2)
    process.request(3)
    assert program.written == ["run 2\n", "run 3\n"]
    assert process.block().wall_ns.tolist() == [1000, 2000]
    block = process.block()
    assert block.wall_ns.tolist() == [5, 6, 7]
    assert block.watched == {"/sys/temp": "41000"}


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param('{"event":"block","wall_ns":[NaN,1],"cpu_ns":[1,1],"switches":[0,0]}', id="NaN"),
        pytest.param(BLOCK | {"wall_ns": [-5, 1000]}, id="negative time"),
        pytest.param(BLOCK | {"wall_ns": [0, 1000]}, id="no time at all"),
        pytest.param(BLOCK | {"wall_ns": [3_600_000_000_001, 1]}, id="more than an hour"),
        pytest.param(BLOCK | {"wall_ns": [1.5, 1]}, id="half a nanosecond"),
        pytest.param(BLOCK | {"wall_ns": [1, 10**40]}, id="absurd"),
        pytest.param(BLOCK | {"cpu_ns": [-1, 0]}, id="negative CPU time"),
        pytest.param(BLOCK | {"switches": [0]}, id="lengths differ"),
        pytest.param(BLOCK | {"wall_ns": [1], "cpu_ns": [1], "switches": [0]}, id="too few"),
        pytest.param(BLOCK | {"wall_ns": [1] * 3, "cpu_ns": [1] * 3, "switches": [0] * 3}, id="too many"),
        pytest.param(BLOCK | {"wall_ns": [2 * 10**9, 1]}, id="longer than we waited"),
        pytest.param({"event": "block"}, id="no numbers"),
        pytest.param({"event": "party"}, id="unknown event"),
        pytest.param("[" * 100_000, id="deep nesting"),
        pytest.param("\x1b[31mred\x1b[0m", id="ANSI escapes"),
        pytest.param("", id="empty line"),
        pytest.param(READY, id="ready again"),
        pytest.param({"event": "profile", "ops": []}, id="a profile instead"),
    ],
)
def test_an_impossible_block_is_garbled_output_and_ends_the_program(answer: dict[str, Any] | str) -> None:
    error = failure_of_block(answer)
    assert isinstance(error, GarbledOutput)
    assert str(error).startswith("pi4: net.tflite: ")
    assert "\x1b" not in str(error)
    assert len(str(error)) < 600


@pytest.mark.parametrize(
    "change",
    [
        {"first_ns": 0},
        {"load_ns": -1},
        {"prepare_ns": 10**16},
        {"delegated_ops": 4},
        {"op_count": None},
        {"outputs": []},
        {"fingerprints": [READY["fingerprints"][0] | {"rms": None}]},
    ],
    ids=str,
)
def test_an_impossible_ready_line_is_garbled_output(change: dict[str, Any]) -> None:
    assert isinstance(failure_of_launch(READY | change), GarbledOutput)


def test_numbers_too_big_for_a_float_are_garbled_output() -> None:
    text = json.dumps(READY).replace('"rms": 1', '"rms": 1e999')
    assert isinstance(failure_of_launch(text), GarbledOutput)


def test_a_missing_operator_is_told_in_the_words_of_the_runtime() -> None:
    error = failure_of_launch(
        {"event": "error", "code": "model", "text": "running the model: LiteRT status 3"},
        code=1,
        stderr="INFO: chatter\nERROR: Encountered unresolved custom op: FancyOp.\nINFO: more\n",
    )
    assert isinstance(error, ModelRejected)
    assert "FancyOp" in str(error)
    assert "chatter" not in str(error)


def test_a_library_that_cannot_be_loaded_is_the_wrong_abi() -> None:
    text = "/lib/libc.so.6: version `GLIBC_2.34' not found"
    error = failure_of_launch({"event": "error", "code": "library", "text": text}, code=1)
    assert isinstance(error, WrongAbi)
    assert "GLIBC_2.34" in str(error)


def test_a_model_too_big_for_the_device_is_rejected() -> None:
    error = failure_of_launch({"event": "error", "code": "memory", "text": "out of memory"}, code=1)
    assert isinstance(error, ModelRejected)
    assert "memory" in str(error)


def test_a_crash_of_the_runtime_is_told_by_the_name_of_its_signal() -> None:
    error = failure_of_launch(code=None, signal=11)
    assert isinstance(error, ModelRejected)
    assert "SIGSEGV" in str(error)


def test_a_runner_killed_by_the_device_points_at_memory() -> None:
    assert "out of memory" in str(failure_of_launch(code=None, signal=9))


def test_a_runner_that_cannot_start_is_the_wrong_abi() -> None:
    assert isinstance(failure_of_launch(code=127, stderr="not found"), WrongAbi)


def test_a_runner_that_leaves_without_a_word_is_garbled_output() -> None:
    assert isinstance(failure_of_launch(code=0), GarbledOutput)


def test_silence_is_a_time_out_that_names_device_and_model() -> None:
    error = failure_of_block(CommandTimeout("no line"))
    assert isinstance(error, CommandTimeout)
    assert "pi4: net.tflite: a block of 2 inferences did not end" in str(error)


def test_foreign_names_are_shown_escaped() -> None:
    program = ScriptedProgram([], code=None, signal=11)
    with pytest.raises(ModelRejected) as caught:
        LineProcess.launch(program, device="pi\x1b[2J", model="a\nb")
    assert "\x1b" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("runs", [0, -1, 10_001])
def test_a_block_has_one_to_ten_thousand_inferences(runs: int) -> None:
    process, program = launched()
    with pytest.raises(ValueError, match="1 to 10000"):
        process.request(runs)
    assert program.written == []


def test_a_profile_is_not_asked_for_while_a_block_is_open() -> None:
    process, _ = launched(BLOCK)
    process.request(2)
    with pytest.raises(RuntimeError):
        process.profile(5)


@pytest.mark.parametrize("median_ns", [-1, 10**13])
def test_an_impossible_profile_is_garbled_output(median_ns: int) -> None:
    op = {"index": 0, "name": "conv", "delegated": True, "median_ns": median_ns, "runs": 5}
    process, _ = launched({"event": "profile", "ops": [op]})
    with pytest.raises(GarbledOutput):
        process.profile(5)


def test_closing_lets_the_program_end_and_tells_its_memory_twice() -> None:
    process, program = launched()
    assert process.close() == 4096
    assert program.written == ["end\n"]
    assert process.close() == 4096


def test_closing_with_an_open_block_does_not_wait_for_it() -> None:
    process, program = launched(BLOCK)
    process.request(2)
    process.close()
    assert program.killed
    assert "end\n" not in program.written


def test_a_complaint_prefers_what_the_runtime_calls_an_error() -> None:
    assert complaint("INFO: a\nERROR: broken\nWARNING: b\n") == ": broken"
    assert complaint("Traceback\nImportError: no numpy\n") == ": ImportError: no numpy"
    assert complaint("") == ""


def test_garbage_lines_are_quoted_short() -> None:
    with pytest.raises(GarbledOutput) as caught:
        parse_line("x" * 1_000_000)
    assert len(str(caught.value)) < 400
