"""Running models with libLiteRt.so through our small C program: glibc Linux devices, no Python needed there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from leadline.records.device import Profile
from leadline.records.trial import Artifact, RunConfig
from leadline.rpc.agent import Agent
from leadline.rpc.build import build
from leadline.rpc.cache import DeviceCache
from leadline.runner.library import find_library, runtime_version
from leadline.runner.process import LineProcess

SEED = 0  # of the input that every runner and the host compute


class _Parts(msgspec.Struct, frozen=True):
    """Where on the device the runner's own files are."""

    program: str
    library: str


class LitertRunner:
    """See `leadline.records.ports.Runner`. For one device; its agent must be open."""

    name = "litert"

    def __init__(
        self,
        agent: Agent,
        cache: DeviceCache,
        profile: Profile,
        *,
        host_cache: Path,
        device: str | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Args: device: its name, for messages (default: its serial); progress: told about builds and downloads."""
        self._agent = agent
        self._cache = cache
        self._profile = profile
        self._host_cache = host_cache
        self._device = device or profile.serial
        self._progress = progress
        self._parts: _Parts | None = None

    def prepare(self, artifact: Artifact) -> None:
        self._cache.ensure(Path(artifact.path), artifact.sha256)
        if self._parts is None:
            abi = self._profile.abi
            program = build("litert-runner", abi, cache=self._host_cache, progress=self._progress)
            library = find_library(abi, host_cache=self._host_cache)
            self._parts = _Parts(
                program=self._cache.ensure(program, sha256_of(program), executable=True),
                library=self._cache.ensure(library, sha256_of(library)),
            )

    def launch(
        self, artifact: Artifact, config: RunConfig, *, watch: Sequence[str] = (), profile: bool = False
    ) -> LineProcess:
        self.prepare(artifact)
        assert self._parts is not None  # by `prepare`
        model = self._cache.ensure(Path(artifact.path), artifact.sha256)
        argv = [self._parts.program, "--library", self._parts.library, *runner_arguments(model, config)]
        argv += ["--runtime", f"LiteRT {runtime_version()}", *(["--profile"] if profile else [])]
        program = self._agent.start(argv, cpus=config.cpus, watch=watch)
        return LineProcess.launch(program, device=self._device, model=artifact.name)


def runner_arguments(model: str, config: RunConfig) -> list[str]:
    """The arguments that every runner program takes."""
    return [
        "--model",
        model,
        "--threads",
        str(config.threads),
        "--delegate",
        config.delegate,
        "--seed",
        str(SEED),
    ]


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
