"""What every runner promises, readable as a specification.

A test module subclasses `RunnerContract` (and `RealRunnerContract` if models really run) and gives one fixture,
``runner``, on a device named "bench" that is this machine.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from leadline.core.errors import ModelRejected
from leadline.records.ports import Runner
from leadline.records.trial import Artifact, Fingerprint, RunConfig
from leadline.runner.reference import compare_outputs, reference_fingerprints
from leadline.search.model.inspect import inspect_file
from leadline.search.model.writer import write_model
from leadline.search.space.mobilenet_v2 import MobileNetV2
from tests.support.tiny_models import conv_net, custom_op_net, infinite_net, integer_net, matrix_net

ONE = RunConfig(threads=1)
ODD_NAMES = ["a b.tflite", "it's", 'say "hi"', "new\nline", "$(id)", "`id`", "-n", "--help", "a;b|c&d", "é€"]


def saved(folder: Path, content: bytes, name: str = "net.tflite") -> Artifact:
    path = folder / name
    path.write_bytes(content)
    return inspect_file(path).artifact()


def unchecked(folder: Path, content: bytes) -> Artifact:
    """An artifact that the host has not looked into, as if the file had changed after it was checked."""
    path = folder / "net.tflite"
    path.write_bytes(content)
    return Artifact(sha256=hashlib.sha256(content).hexdigest(), name=path.name, path=str(path), size_bytes=len(content))


def outputs(runner: Runner, artifact: Artifact, config: RunConfig = ONE) -> tuple[Fingerprint, ...]:
    process = runner.launch(artifact, config)
    process.close()
    return process.ready.fingerprints


class RunnerContract:
    """The fake and the real thing alike."""

    def test_a_launch_tells_what_it_loaded(self, runner: Runner, tmp_path: Path) -> None:
        process = runner.launch(saved(tmp_path, conv_net()), ONE)
        ready = process.ready
        process.close()
        assert ready.runtime
        assert ready.load_ns > 0
        assert ready.prepare_ns > 0
        assert ready.first_ns > 0
        assert len(ready.fingerprints) == len(ready.outputs)
        assert len(ready.inputs) == 1

    def test_blocks_have_the_ordered_lengths_and_come_in_order(self, runner: Runner, tmp_path: Path) -> None:
        process = runner.launch(saved(tmp_path, conv_net()), ONE)
        for runs in (3, 1, 50):
            process.request(runs)
        for runs in (3, 1, 50):
            block = process.block()
            for values in (block.wall_ns, block.cpu_ns, block.switches):
                assert values.shape == (runs,)
                assert values.dtype == np.int64
            assert block.wall_ns.min() > 0
            assert block.cpu_ns.min() >= 0
            assert block.switches.min() >= 0
        process.close()

    def test_closing_tells_the_peak_memory_and_may_be_repeated(self, runner: Runner, tmp_path: Path) -> None:
        process = runner.launch(saved(tmp_path, conv_net()), ONE)
        peak = process.close()
        assert peak is not None
        assert peak > 2**20
        assert process.close() == peak

    def test_launches_follow_each_other(self, runner: Runner, tmp_path: Path) -> None:
        artifact = saved(tmp_path, conv_net())
        for _ in range(3):
            process = runner.launch(artifact, ONE)
            process.request(2)
            assert process.block().wall_ns.size == 2
            process.close()

    def test_a_block_without_inferences_is_refused(self, runner: Runner, tmp_path: Path) -> None:
        process = runner.launch(saved(tmp_path, conv_net()), ONE)
        with pytest.raises(ValueError, match="block has"):
            process.request(0)
        process.close()


class RealRunnerContract(RunnerContract):
    """Models really run."""

    @pytest.mark.parametrize("dtype", ["float32", "int8"])
    @pytest.mark.parametrize("threads", [1, 2])
    def test_whole_networks_compute_what_the_host_computes(
        self, runner: Runner, tmp_path: Path, dtype: str, threads: int
    ) -> None:
        space = MobileNetV2(resolution=96)
        network = space.network(space.sample(np.random.default_rng(0)))
        artifact = saved(tmp_path, write_model(network, dtype=dtype))  # type: ignore[arg-type]
        measured = outputs(runner, artifact, RunConfig(threads=threads))
        reference = reference_fingerprints(Path(artifact.path), sha256=artifact.sha256, host_cache=tmp_path)
        assert compare_outputs(measured, reference)[0] in ("equal", "close")
        assert measured[0].rms > 0

    @pytest.mark.parametrize("content", [conv_net(), conv_net("int8"), integer_net(), matrix_net()], ids=range(4))
    def test_small_models_give_the_host_s_very_bytes(self, runner: Runner, tmp_path: Path, content: bytes) -> None:
        artifact = saved(tmp_path, content)
        reference = reference_fingerprints(Path(artifact.path), sha256=artifact.sha256, host_cache=tmp_path)
        assert compare_outputs(outputs(runner, artifact), reference) == ("equal", None)

    def test_without_the_delegate_the_outputs_are_close(self, runner: Runner, tmp_path: Path) -> None:
        artifact = saved(tmp_path, conv_net(channels=64))
        plain = outputs(runner, artifact, RunConfig(threads=1, delegate="none"))
        delegated = outputs(runner, artifact)
        assert compare_outputs(plain, delegated)[0] in ("equal", "close")

    @pytest.mark.parametrize(
        ("content", "delegate", "coverage"),
        [
            (conv_net(), "xnnpack", (2, 2)),
            (conv_net("int8"), "xnnpack", (2, 2)),
            (conv_net(undelegated=True), "xnnpack", (3, 2)),
            (integer_net(), "xnnpack", (2, 1)),
            (conv_net(), "none", (2, 0)),
        ],
        ids=["all", "all int8", "all but one", "half", "none"],
    )
    def test_it_counts_the_ops_that_the_delegate_took(
        self, runner: Runner, tmp_path: Path, content: bytes, delegate: str, coverage: tuple[int, int]
    ) -> None:
        process = runner.launch(saved(tmp_path, content), RunConfig(threads=1, delegate=delegate))
        process.close()
        assert (process.ready.op_count, process.ready.delegated_ops) == coverage

    def test_inputs_and_outputs_are_described_in_the_graph_s_order(self, runner: Runner, tmp_path: Path) -> None:
        process = runner.launch(saved(tmp_path, integer_net()), ONE)
        process.close()
        assert [(t.name, t.dtype, t.shape) for t in process.ready.inputs] == [
            ("numbers", "int32", (1, 100)),
            ("reals", "float32", (1, 100)),
        ]
        assert [t.name for t in process.ready.outputs] == ["sums", "doubles"]

    def test_a_signature_in_another_order_changes_nothing(self, runner: Runner, tmp_path: Path) -> None:
        plain = outputs(runner, saved(tmp_path, integer_net()))
        assert outputs(runner, saved(tmp_path, integer_net(signature=True), "signed")) == plain

    def test_a_dynamic_batch_is_one(self, runner: Runner, tmp_path: Path) -> None:
        process = runner.launch(saved(tmp_path, conv_net(dynamic_batch=True)), ONE)
        process.close()
        assert process.ready.inputs[0].shape == (1, 16, 16, 3)
        assert process.ready.outputs[0].shape == (1, 8)

    def test_outputs_that_are_not_finite_are_reported_all_the_same(self, runner: Runner, tmp_path: Path) -> None:
        assert outputs(runner, saved(tmp_path, infinite_net()))[0].rms > 1e100

    def test_it_runs_on_the_cpus_it_is_given(self, runner: Runner, tmp_path: Path) -> None:
        cpu = min(os.sched_getaffinity(0))
        process = runner.launch(saved(tmp_path, conv_net()), RunConfig(threads=1, cpus=(cpu,)))
        process.request(5)
        assert process.block().wall_ns.size == 5
        process.close()

    def test_watched_files_are_read_after_every_block(self, runner: Runner, tmp_path: Path) -> None:
        process = runner.launch(saved(tmp_path, conv_net()), ONE, watch=["/proc/loadavg", "/no/such/file"])
        process.request(1)
        assert list(process.block().watched) == ["/proc/loadavg"]
        process.close()

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_a_model_may_have_any_name(self, runner: Runner, tmp_path: Path, name: str) -> None:
        assert outputs(runner, saved(tmp_path, conv_net(), name))

    def test_an_unsupported_op_is_named(self, runner: Runner, tmp_path: Path) -> None:
        artifact = saved(tmp_path, custom_op_net("FancyOp"))
        with pytest.raises(ModelRejected, match="FancyOp") as caught:
            runner.launch(artifact, ONE)
        assert str(caught.value).startswith("bench: net.tflite: ")

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"TFL3",
            np.random.default_rng(0).bytes(1000),
            b"\x1c\0\0\0TFL3" + b"\xff" * 500,
            conv_net()[:800],
            conv_net()[:-16],
        ],
        ids=["empty", "short", "noise", "noise in disguise", "half", "cut short"],
    )
    def test_a_file_that_is_no_whole_model_is_rejected_on_the_device_too(
        self, runner: Runner, tmp_path: Path, content: bytes
    ) -> None:
        with pytest.raises(ModelRejected, match=r"bench: net\.tflite: "):
            runner.launch(unchecked(tmp_path, content), ONE)

    def test_a_rejected_model_does_not_hinder_the_next(self, runner: Runner, tmp_path: Path) -> None:
        with pytest.raises(ModelRejected):
            runner.launch(saved(tmp_path, custom_op_net()), ONE)
        assert outputs(runner, saved(tmp_path, conv_net()))
