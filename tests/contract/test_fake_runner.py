"""The fake keeps the promises of the real runners."""

from __future__ import annotations

import pytest

from leadline.runner.fake import FakeRunner
from tests.contract.runner_contract import RunnerContract


class TestFakeRunner(RunnerContract):
    @pytest.fixture
    def runner(self) -> FakeRunner:
        return FakeRunner()
