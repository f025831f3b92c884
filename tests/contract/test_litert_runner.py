"""LiteRT through the C program, on this machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from leadline.core.errors import CommandTimeout, GarbledOutput, ModelRejected, WrongAbi
from leadline.runner.library import runtime_version
from leadline.runner.litert import LitertRunner
from leadline.runner.process import LineProcess
from leadline.search.model.writer import write_model
from leadline.search.space.mobilenet_v2 import MobileNetV2
from tests.contract.runner_contract import ONE, RealRunnerContract, saved
from tests.support.bench import Bench, bench
from tests.support.programs import CACHE, built
from tests.support.tiny_models import conv_net

__all__ = ["bench"]


@pytest.fixture
def runner(bench: Bench) -> LitertRunner:
    return LitertRunner(bench.agent, bench.cache, bench.profile, host_cache=CACHE, device="bench")


class TestLitertRunner(RealRunnerContract):
    def test_the_runtime_is_named_with_its_version(self, runner: LitertRunner, tmp_path: Path) -> None:
        process = runner.launch(saved(tmp_path, conv_net()), ONE)
        process.close()
        assert process.ready.runtime == f"LiteRT {runtime_version()}"

    def test_a_profile_names_every_op_and_adds_up_to_the_inference(self, runner: LitertRunner, tmp_path: Path) -> None:
        space = MobileNetV2(resolution=160)
        network = space.network(space.sample(np.random.default_rng(0)))
        process = runner.launch(saved(tmp_path, write_model(network)), ONE, profile=True)
        ops = process.profile(20)
        process.request(20)
        median_ns = float(np.median(process.block().wall_ns))
        process.close()
        assert [op.index for op in ops] == list(range(len(ops)))
        assert all(op.name and op.delegated and op.runs == 20 for op in ops)
        assert any("DWConv" in op.name or "Depthwise" in op.name for op in ops)
        assert 0.5 * median_ns < sum(op.median_ns for op in ops) < 1.5 * median_ns

    def test_a_profile_tells_which_ops_were_not_delegated(self, runner: LitertRunner, tmp_path: Path) -> None:
        process = runner.launch(saved(tmp_path, conv_net(undelegated=True)), ONE, profile=True)
        ops = process.profile(3)
        process.close()
        assert [(op.name, op.delegated) for op in ops if not op.delegated] == [("CUMSUM", False)]
        assert sum(op.delegated for op in ops) == 2

    def test_a_profile_of_an_unprofiled_launch_is_refused(self, runner: LitertRunner, tmp_path: Path) -> None:
        process = runner.launch(saved(tmp_path, conv_net()), ONE)
        with pytest.raises(GarbledOutput, match="--profile"):
            process.profile(3)

    def test_a_library_that_is_none_is_the_wrong_abi(self, bench: Bench, tmp_path: Path) -> None:
        library, model = tmp_path / "libLiteRt.so", tmp_path / "net.tflite"
        library.write_bytes(b"\x7fELF not really")
        model.write_bytes(conv_net())
        program = bench.agent.start([str(built("litert-runner")), "--library", str(library), "--model", str(model)])
        with pytest.raises(WrongAbi, match="cannot load the runtime"):
            LineProcess.launch(program, device="bench", model="net")

    def test_a_library_without_the_needed_functions_is_the_wrong_abi(self, bench: Bench, tmp_path: Path) -> None:
        model = tmp_path / "net.tflite"
        model.write_bytes(conv_net())
        program = bench.agent.start([str(built("litert-runner")), "--library", "libm.so.6", "--model", str(model)])
        with pytest.raises(WrongAbi, match="LiteRtCreateEnvironment"):
            LineProcess.launch(program, device="bench", model="net")


def launched(bench: Bench, script: str, *, timeout_s: float = 60.0) -> LineProcess:
    """A shell script in the place of a runner program."""
    return LineProcess.launch(bench.agent.start(["sh", "-c", script]), device="bench", model="net", timeout_s=timeout_s)


def test_a_crash_of_the_runtime_is_told_by_its_signal(bench: Bench) -> None:
    with pytest.raises(ModelRejected, match="SIGSEGV"):
        launched(bench, "kill -SEGV $$")


def test_a_line_of_100_mb_is_garbled_output_and_the_agent_lives_on(bench: Bench) -> None:
    with pytest.raises(GarbledOutput):
        launched(bench, "head -c 100000000 /dev/zero | tr '\\0' x; echo")
    assert "/proc/loadavg" in bench.agent.read(["/proc/loadavg"])


def test_escapes_in_what_a_runner_says_never_reach_the_message(bench: Bench) -> None:
    with pytest.raises(GarbledOutput) as caught:
        launched(bench, r"printf '\033[2J\033[31m{\n'")
    assert "\x1b" not in str(caught.value)


def test_silence_is_a_time_out_and_the_program_is_ended(bench: Bench) -> None:
    with pytest.raises(CommandTimeout, match="bench: net: the model was not ready"):
        launched(bench, "sleep 1000", timeout_s=0.2)
    assert bench.agent.start(["true"]).wait(60.0).code == 0
