"""The host's side of the agent: starts it over a transport, asks, and follows the program that it runs."""

from __future__ import annotations

import itertools
import shlex
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self

import msgspec

from leadline.core.errors import (
    AgentMismatch,
    BadInput,
    CommandTimeout,
    DeviceBusy,
    DeviceOffline,
    GarbledOutput,
    LeadlineError,
    StableError,
    WrongAbi,
)
from leadline.core.text import printable
from leadline.rpc.agent_messages import PROTOCOL, Answer, Exit, Hello, Line, Natural, Refusal, decode, garbled, parse
from leadline.rpc.transport import RemoteProcess, Transport

__all__ = ["Agent", "Exit", "Hello", "Line", "Program"]

ANSWER_TIMEOUT_S = 30.0
QUEUED_BYTES = 64 * 2**20  # of a program's lines that nobody takes
INPUT_CHARACTERS = 64 * 2**10  # of one input request, far below the agent's limit of 1 MiB a request

_CANNOT_RUN = (126, 128 + signal.SIGILL, 128 + signal.SIGFPE)  # exit codes, as a shell has them
_ERRORS: Mapping[str, type[LeadlineError]] = {
    "protocol": AgentMismatch,
    "bad-request": BadInput,
    "busy": DeviceBusy,
    "exec": WrongAbi,
}


class Agent:
    """One agent process on one device. For one thread; a second one of its own keeps the agent from leaving.

    Args:
        binary: path on the device of the agent built for it.
        name: of the device, for messages.
        silence_s: the agent cleans up and leaves when it has not heard of us for so long, 0.1 to 86400.
    """

    def __init__(self, transport: Transport, binary: str, *, name: str, silence_s: float = 30.0) -> None:
        self._transport = transport
        self._binary = binary
        self._name = printable(name)
        self._silence_s = silence_s
        self._process: RemoteProcess | None = None
        self._hello: Hello | None = None
        self._ids = itertools.count(1)
        self._unanswered: set[int] = set()
        self._program: Program | None = None
        self._writing = threading.Lock()
        self._closing = threading.Event()
        self._pinger: threading.Thread | None = None

    @property
    def hello(self) -> Hello:
        """What the agent said of itself; only while open."""
        if self._hello is None:
            raise RuntimeError("the agent is not open")
        return self._hello

    def open(self) -> None:
        """Start it; safe when open.

        Raises: AgentMismatch, WrongAbi: the binary cannot run there; GarbledOutput, DeviceOffline, CommandTimeout.
        """
        if self._process is not None:
            return
        self._closing.clear()
        self._unanswered.clear()
        self._process = self._transport.start([self._binary])
        try:
            self._hello = self._greet()
        except BaseException:
            self._drop()
            raise
        self._pinger = threading.Thread(target=self._ping, args=(self._process,), daemon=True)
        self._pinger.start()

    def close(self) -> None:
        """Let it end the program and leave; safe when closed, and on a cut link."""
        if self._process is not None and self._hello is not None:
            with suppress(LeadlineError):
                self._request("bye", timeout_s=5.0)
        self._drop()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def read(self, paths: Iterable[str]) -> dict[str, str]:
        """The texts of small files (first 64 KiB) by path. Globs are expanded; what cannot be read is missing.

        Raises: BadInput: together more than 3 MiB; DeviceOffline, CommandTimeout, GarbledOutput.
        """
        raw = self._request("read", paths=list(paths))
        return decode(raw, _Files, name=self._name).files

    def start(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cpus: Sequence[int] | None = None,
        watch: Sequence[str] = (),
    ) -> Program:
        """Start a program, one at a time.

        Args: env: added to the agent's own; cpus: pinned to these, None: not pinned; watch: at most 256 files to read
            after each line that it prints (no globs; the first 4 KiB of each).
        Raises: WrongAbi: it cannot be executed; StableError: a CPU is offline or forbidden; DeviceBusy: one runs;
            BadInput, DeviceOffline, CommandTimeout, GarbledOutput.
        """
        fields: dict[str, Any] = {"argv": list(argv), "watch": list(watch)}
        if env:
            fields["env"] = dict(env)
        if cpus is not None:
            fields["cpus"] = list(cpus)
        raw = self._request("start", **fields)
        self._program = Program(self, decode(raw, _Started, name=self._name).pid, argv[0])
        return self._program

    # ---- below: shared with Program ----

    @property
    def _probe(self) -> str:
        """The command that brings the right agent to the device, and says what is wrong with it."""
        return f"leadline device probe {shlex.quote(self._name)}"

    def _greet(self) -> Hello:
        raw = self._request("hello", protocol=PROTOCOL, silence_s=self._silence_s)
        hello = decode(raw, Hello, name=self._name)
        if hello.protocol != PROTOCOL:
            raise AgentMismatch(
                f"{self._name}: its agent {hello.version} speaks protocol {hello.protocol}, we {PROTOCOL}; "
                f"try: {self._probe}"
            )
        return hello

    def _request(self, op: str, *, timeout_s: float = ANSWER_TIMEOUT_S, **fields: Any) -> msgspec.Raw:
        """Ask and wait for the answer; events that come before it go to the program."""
        number = next(self._ids)
        self._unanswered.add(number)
        self._send({"id": number, "op": op, **fields})
        answers: list[Answer] = []
        self._follow(
            lambda: bool(answers), answers.append, waited_for=number, timeout_s=timeout_s, what=f"answer to {op}"
        )
        answer = answers[0]
        if answer.ok is not None:
            return answer.ok
        assert answer.error is not None  # `parse` lets nothing else through
        raise self._refused(answer.error, op)

    def _follow(
        self,
        done: Callable[[], bool],
        take: Callable[[Answer], None] | None = None,
        *,
        waited_for: int | None = None,
        timeout_s: float,
        what: str,
    ) -> None:
        """Take in what the agent says until `done`."""
        until_s = time.monotonic() + timeout_s
        while not done():
            message = self._next_message(until_s, timeout_s, what)
            if not isinstance(message, Answer):
                if self._program is None or self._program.exit is not None:
                    raise GarbledOutput(f"{self._name}: the agent tells of a program that does not run")
                self._program._happened(message)
            elif message.id is None:
                assert message.error is not None
                raise self._refused(message.error, "input")
            elif message.id not in self._unanswered:
                raise garbled(str(message.id).encode(), "an answer to a request never made", name=self._name)
            else:
                self._unanswered.remove(message.id)
                if message.id == waited_for and take is not None:
                    take(message)  # else: late, its request was given up

    def _next_message(self, until_s: float, timeout_s: float, what: str) -> Answer | Line | Exit:
        process = self._running()
        try:
            data = process.read_line(timeout_s=max(0.0, until_s - time.monotonic()))
        except CommandTimeout:
            raise CommandTimeout(f"{self._name}: no {what} within {timeout_s:g} s; try: {self._probe}") from None
        if not data.endswith(b"\n"):
            raise self._gone(process, data)
        return parse(data, name=self._name)

    def _send(self, request: Mapping[str, Any]) -> None:
        try:
            data = msgspec.json.encode(request) + b"\n"
        except UnicodeEncodeError:
            raise BadInput(
                f"{self._name}: names sent to a device must be UTF-8: {printable(str(request), 120)}"
            ) from None
        process = self._running()
        try:
            with self._writing:
                process.write(data)
        except DeviceOffline as cut:
            raise self._gone(process, b"", cut) from cut

    def _running(self) -> RemoteProcess:
        if self._process is None:
            raise DeviceOffline(f"{self._name}: the agent is not open")
        return self._process

    def _refused(self, refusal: Refusal, op: str) -> LeadlineError:
        kind = _ERRORS.get(refusal.code, StableError)
        hint = ""
        if kind is AgentMismatch:
            hint = f" (we speak {PROTOCOL}); try: {self._probe}"
        elif refusal.code == "no-cpu":
            hint = f"; online are {', '.join(map(str, self.hello.cpus))}"
        return kind(f"{self._name}: the agent refuses to {op}: {printable(refusal.text)}{hint}")

    def _gone(self, process: RemoteProcess, partial: bytes, cut: DeviceOffline | None = None) -> LeadlineError:
        """Why the agent does not listen or speak any more."""
        try:
            ended = process.wait(timeout_s=2.0)
        except LeadlineError as error:
            return cut or (error if isinstance(error, DeviceOffline) else DeviceOffline(f"{self._name}: {error}"))
        said = (ended.stderr or ended.stdout or partial).strip()
        how = f"exit code {ended.exit_code}" + (f", it said: {printable(said)}" if said else "")
        if self._hello is None and (ended.exit_code in _CANNOT_RUN or b"xec format error" in said):
            return WrongAbi(f"{self._name}: the agent cannot run there ({how}); try: {self._probe}")
        return DeviceOffline(f"{self._name}: the agent has gone ({how}); try: {self._probe}")

    def _ping(self, process: RemoteProcess) -> None:
        """Tell the agent that we live, until closed or until nobody listens: the other thread will find out why."""
        with suppress(LeadlineError):
            while not self._closing.wait(self._silence_s / 4):
                with self._writing:
                    process.write(b'{"op":"ping"}\n')

    def _drop(self) -> None:
        self._closing.set()
        process, self._process, self._hello = self._process, None, None
        if process is not None:
            process.__exit__(None, None, None)  # a ping that is stuck in writing ends with it
        if self._pinger is not None:
            self._pinger.join(timeout=5.0)
            self._pinger = None
        self._program = None


class Program:
    """A program that the agent has started."""

    def __init__(self, agent: Agent, pid: int, what: str) -> None:
        self.pid = pid  # on the device; also its process group
        self.exit: Exit | None = None  # known once its last line has been read
        self._agent = agent
        self._what = printable(what, 80)
        self._lines: deque[Line] = deque()
        self._queued_bytes = 0

    def write(self, text: str) -> None:
        """Send to its standard input. Nothing happens if it has ended. Raises: DeviceOffline."""
        for at in range(0, len(text), INPUT_CHARACTERS):
            self._agent._send({"op": "input", "text": text[at : at + INPUT_CHARACTERS]})

    def line(self, timeout_s: float) -> Line | None:
        """The next line of its standard output; None: it has ended.

        Raises: CommandTimeout: none came in time, the program goes on; GarbledOutput: it was longer than 1 MiB;
            DeviceBusy: it does not read its input; DeviceOffline.
        """
        if not self._lines and self.exit is None:
            self._follow(timeout_s, "line")
        if not self._lines:
            return None
        line = self._lines.popleft()
        self._queued_bytes -= len(line.text)
        return line

    def kill(self) -> None:
        """End it and everything it started. Safe if it has ended, and on a cut link: then the agent does it."""
        if self.exit is None and self._agent._program is self:
            with suppress(DeviceOffline):
                self._agent._request("kill")

    def wait(self, timeout_s: float) -> Exit:
        """Wait for its end; lines that nobody has taken are dropped. Raises: as `line`."""
        until_s = time.monotonic() + timeout_s
        while self.exit is None:
            self._drop_lines()
            self._follow(until_s - time.monotonic(), "end")
        self._drop_lines()
        return self.exit

    def _follow(self, timeout_s: float, what: str) -> None:
        """Take in what the agent says until there is something new."""
        if self._agent._program is not self:
            raise DeviceOffline(f"{self._agent._name}: {self._what} was left when its agent was closed")
        self._agent._follow(
            lambda: bool(self._lines) or self.exit is not None, timeout_s=timeout_s, what=f"{what} of {self._what}"
        )

    def _happened(self, event: Line | Exit) -> None:
        if isinstance(event, Exit):
            self.exit = event
            return
        self._lines.append(event)
        self._queued_bytes += len(event.text)
        if self._queued_bytes > QUEUED_BYTES:
            raise GarbledOutput(f"{self._agent._name}: {self._what} prints more than anybody reads")

    def _drop_lines(self) -> None:
        self._lines.clear()
        self._queued_bytes = 0


class _Files(msgspec.Struct, frozen=True):
    files: dict[str, str]


class _Started(msgspec.Struct, frozen=True):
    pid: Natural
