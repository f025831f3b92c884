"""The command line as a user runs it, in a home of its own that shares the built device programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.programs import CACHE, built

_PATIENCE_S = 240.0


class CommandLine:
    """Runs ``leadline`` in a process of its own; standard output is no terminal.

    Args: root: an empty folder: Leadline's home, the user's, and where commands are run; made if missing.
        environment: beside or instead of this process's own.
    """

    def __init__(self, root: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = root
        self.home = root / "leadline"
        self.user = root / "user"
        self.home.mkdir(parents=True)
        self.user.mkdir()
        built("agent")
        (self.home / "cache").symlink_to(CACHE)
        self.environment: Mapping[str, str] = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("LEADLINE", "XDG", "SSH", "A"))},
            "HOME": str(self.user),
            "ANDROID_ADB_SERVER_PORT": "1",  # nobody answers there
            **(environment or {}),
            "LEADLINE_HOME": str(self.home),
        }

    @property
    def lab_file(self) -> Path:
        return self.home / "lab.toml"

    def __call__(self, *argv: str | Path, exit_code: int = 0, env: Mapping[str, str] | None = None) -> Said:
        """Run it, and check its exit code."""
        done = subprocess.run(
            _command(argv),
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            cwd=self.folder,
            env={**self.environment, **(env or {})},
            timeout=_PATIENCE_S,
        )
        assert done.returncode == exit_code, (done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return Said(done.stdout, done.stderr)

    def json(self, *argv: str | Path) -> Any:
        """What it prints with ``--json``, which goes before the names that follow a ``--``."""
        end = argv.index("--") if "--" in argv else len(argv)
        return json.loads(self(*argv[:end], "--json", *argv[end:]).stdout)

    def start(self, *argv: str | Path) -> subprocess.Popen[str]:
        """Start it in a process group of its own, as a shell does. Standard error is a pipe, the output is dropped."""
        return subprocess.Popen(
            _command(argv),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


class Said:
    def __init__(self, stdout: str, stderr: str) -> None:
        self.stdout, self.stderr = stdout, stderr


def _command(argv: tuple[str | Path, ...]) -> list[str]:
    return [sys.executable, "-c", "from leadline.cli.main import main; main()", *map(str, argv)]


@pytest.fixture
def leadline(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path / "command line")
