"""Running models with the device's own Python and tflite-runtime or ai-edge-litert, by a script that is pushed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from leadline.core.errors import BadInput, WrongAbi
from leadline.core.text import printable
from leadline.records.device import Profile
from leadline.records.trial import Artifact, RunConfig
from leadline.rpc.agent import Agent
from leadline.rpc.cache import DeviceCache
from leadline.runner import device_script
from leadline.runner.lines import ErrorLine, ProbeLine, complaint, parse_line
from leadline.runner.litert import runner_arguments, sha256_of
from leadline.runner.process import LineProcess

_PROBE_TIMEOUT_S = 120.0  # importing numpy from a slow card takes half a minute


class PythonRunner:
    """See `leadline.records.ports.Runner`. For one device; its agent must be open."""

    name = "litert-python"

    def __init__(
        self,
        agent: Agent,
        cache: DeviceCache,
        profile: Profile,
        *,
        host_cache: Path,
        device: str | None = None,
        python: str = "python3",
    ) -> None:
        """Args: device: its name, for messages (default: its serial); python: the interpreter on the device."""
        self._agent = agent
        self._cache = cache
        self._device = device or profile.serial
        self._python = python

    def prepare(self, artifact: Artifact) -> None:
        self._push_script()
        self._cache.ensure(Path(artifact.path), artifact.sha256)

    def launch(
        self, artifact: Artifact, config: RunConfig, *, watch: Sequence[str] = (), profile: bool = False
    ) -> LineProcess:
        if profile:
            raise BadInput(
                f"{printable(self._device)}: Python runtimes give no per-op times; try again without --ops, or on a "
                "device that runs LiteRT itself (64-bit Linux with glibc)"
            )
        model = self._cache.ensure(Path(artifact.path), artifact.sha256)
        argv = [self._python, self._push_script(), *runner_arguments(model, config)]
        program = self._agent.start(argv, cpus=config.cpus, watch=watch)
        return LineProcess.launch(program, device=self._device, model=artifact.name)

    def probe(self) -> str:
        """Which runtime the device's Python would use, e.g. ``TFLite 2.14.0``.

        Raises: WrongAbi if there is none, saying why; DeviceOffline, CommandTimeout, GarbledOutput.
        """
        program = self._agent.start([self._python, self._push_script(), "--probe"])
        try:
            line = program.line(_PROBE_TIMEOUT_S)
            said = parse_line(line.text) if line else None
            ended = program.wait(_PROBE_TIMEOUT_S)
        finally:
            program.kill()
        if isinstance(said, ProbeLine):
            return said.runtime
        why = f": {printable(said.text)}" if isinstance(said, ErrorLine) else complaint(ended.stderr)
        raise WrongAbi(f"{printable(self._device)}: its Python has no runtime{why}")

    def _push_script(self) -> str:
        script = Path(device_script.__file__)
        return self._cache.ensure(script, sha256_of(script))
