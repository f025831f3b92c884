"""The pushed script, run by this machine's Python."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from leadline.core.errors import BadInput, WrongAbi
from leadline.runner.library import runtime_version
from leadline.runner.python import PythonRunner
from tests.contract.runner_contract import ONE, RealRunnerContract, outputs, saved
from tests.support.bench import Bench, bench
from tests.support.programs import CACHE
from tests.support.tiny_models import conv_net

__all__ = ["bench"]


def runner_with(bench: Bench, python: str) -> PythonRunner:
    return PythonRunner(bench.agent, bench.cache, bench.profile, host_cache=CACHE, device="bench", python=python)


@pytest.fixture
def runner(bench: Bench) -> PythonRunner:
    return runner_with(bench, sys.executable)


class TestPythonRunner(RealRunnerContract):
    def test_a_profile_is_refused_before_anything_runs(self, runner: PythonRunner, tmp_path: Path) -> None:
        with pytest.raises(BadInput, match="no per-op times"):
            runner.launch(saved(tmp_path, conv_net()), ONE, profile=True)
        assert outputs(runner, saved(tmp_path, conv_net()))

    def test_a_probe_names_the_runtime(self, runner: PythonRunner) -> None:
        assert runner.probe() == f"LiteRT {runtime_version()}"

    def test_a_python_without_a_runtime_is_told_so(self, bench: Bench, tmp_path: Path) -> None:
        bare = tmp_path / "bare python"
        bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -E "$@"\n')  # sees the standard library only
        bare.chmod(0o755)
        with pytest.raises(WrongAbi, match="numpy"):
            runner_with(bench, str(bare)).probe()
