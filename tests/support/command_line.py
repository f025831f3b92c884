"""The command line as a user runs it, in a home of its own that shares the built device programs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.programs import CACHE, built


class CommandLine:
    """Runs ``leadline`` in a process of its own; standard output is no terminal.

    Args: root: an empty folder: Leadline's home and the user's.
    """

    def __init__(self, root: Path) -> None:
        self.home = root / "leadline"
        self.user = root / "user"
        self.home.mkdir()
        self.user.mkdir()
        built("agent")
        (self.home / "cache").symlink_to(CACHE)
        self.environment: Mapping[str, str] = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("LEADLINE", "XDG", "SSH", "A"))},
            "HOME": str(self.user),
            "LEADLINE_HOME": str(self.home),
            "ANDROID_ADB_SERVER_PORT": "1",  # nobody answers there
        }

    @property
    def lab_file(self) -> Path:
        return self.home / "lab.toml"

    def __call__(self, *argv: str, exit_code: int = 0, env: Mapping[str, str] | None = None) -> Said:
        """Run it, and check its exit code."""
        done = subprocess.run(
            [sys.executable, "-c", "from leadline.cli.main import main; main()", *argv],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**self.environment, **(env or {})},
        )
        assert done.returncode == exit_code, (done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return Said(done.stdout, done.stderr)


class Said:
    def __init__(self, stdout: str, stderr: str) -> None:
        self.stdout, self.stderr = stdout, stderr


@pytest.fixture
def leadline(tmp_path: Path) -> CommandLine:
    root = tmp_path / "command line"
    root.mkdir()
    return CommandLine(root)
