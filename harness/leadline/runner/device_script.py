"""The runner for devices that have Python only: pushed as it is, and run there by the device's own Python.

Speaks the lines of docs/agent-protocol.md with the same arguments as ``rpc/agent/litert.c``. Needs nothing but the
standard library, numpy 1 or 2, and ai-edge-litert or tflite-runtime; works from Python 3.7 on, so that nothing newer
may be used here outside annotations. The host imports `seeded_input` and `fingerprint` from here
(`leadline.runner.seeded`) and runs the whole script to compute its own outputs (`leadline.runner.reference`).
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import math
import os
import resource
import sys
import time
from typing import Any, NoReturn, TextIO

import numpy as np

MAX_RUNS = 10000
SKETCH_ELEMENTS = 64
NOT_FINITE = 2.0**400  # stands for NaN and infinities: JSON has neither, and no sketch is near it
FLOATS = ("float16", "float32", "float64")
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")


def splitmix64(state: np.ndarray) -> np.ndarray:
    """One step of splitmix64 (Steele, Lea, Flood 2014) from each of `state`, uint64."""
    z = state + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def seeded_input(dtype: str, count: int, seed: int, tensor: int) -> np.ndarray:
    """The elements of input tensor number `tensor`, shape (count,): floats in [-1, 1), integers of 8 random bits.

    Raises: ValueError if such elements cannot be drawn (strings, complex numbers).
    """
    if dtype not in FLOATS + INTEGERS + ("bool",):
        raise ValueError("element type " + dtype + " cannot be seeded")
    first = (seed + (tensor << 32)) % 2**64
    drawn = splitmix64(np.arange(count, dtype=np.uint64) + np.uint64(first))
    top_byte = (drawn >> np.uint64(56)).astype(np.uint8)
    if dtype in FLOATS:
        real = (drawn >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1)
        return real.astype(dtype)
    if dtype == "int8":
        return top_byte.view(np.int8)
    if dtype == "bool":
        return top_byte >= 128
    return top_byte.astype(dtype)


def fingerprint(output: np.ndarray) -> dict[str, Any]:
    """Digest and sketch of an output tensor: the fields of ``leadline.records.trial.Fingerprint``."""
    flat = np.ascontiguousarray(output).reshape(-1)
    values = flat.astype(np.float64)
    values[~np.isfinite(values)] = NOT_FINITE
    count = min(flat.size, SKETCH_ELEMENTS)
    places = [k * (flat.size - 1) // max(count - 1, 1) for k in range(count)]
    return {
        "sha256": hashlib.sha256(flat.tobytes()).hexdigest(),
        "size": int(flat.size),
        "mean": float(values.mean()) if flat.size else 0.0,
        "rms": math.sqrt(float(np.square(values).mean())) if flat.size else 0.0,
        "head": [float(values[i]) for i in places],
    }


class Failure(Exception):
    """What ends the script with an error line."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def load_runtime() -> Any:
    """The interpreter module, and what the `ready` line calls it."""
    reasons = []
    for package, title in (("ai_edge_litert", "LiteRT"), ("tflite_runtime", "TFLite")):
        try:
            module = __import__(package + ".interpreter", fromlist=["Interpreter"])
        except ModuleNotFoundError as error:
            reasons.append(str(error))
            continue
        except Exception as error:  # a library that cannot be loaded raises what it likes
            raise Failure("library", package + ": " + str(error)) from error
        return module, title + " " + _version(package)
    raise Failure("library", "; ".join(reasons))


def _version(package: str) -> str:
    own = getattr(sys.modules[package], "__version__", None)
    if own:
        return str(own)
    try:
        from importlib import metadata  # from Python 3.8 on

        return metadata.version(package.replace("_", "-"))
    except Exception:
        return "of unknown version"


def delegated_ops(ops: list[dict[str, Any]]) -> int:
    """How many nodes a delegate took: what lies between the outputs and the inputs of the nodes that stand for it."""
    makers = {int(t): op for op in ops if op["op_name"] != "DELEGATE" for t in op["outputs"]}
    taken: set[int] = set()
    for delegate in (op for op in ops if op["op_name"] == "DELEGATE"):
        given = {int(t) for t in delegate["inputs"]}
        wanted = [int(t) for t in delegate["outputs"]]
        while wanted:
            tensor = wanted.pop()
            op = makers.get(tensor)
            if tensor not in given and op is not None and op["index"] not in taken:
                taken.add(op["index"])
                wanted.extend(int(t) for t in op["inputs"])
    return len(taken)


class Session:
    """A model loaded, prepared and run once."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        module, self.runtime = load_runtime()
        options = {"num_threads": arguments.threads}
        if arguments.delegate == "none":
            options["experimental_op_resolver_type"] = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        start = time.perf_counter_ns()
        try:
            with open(arguments.model, "rb") as file:
                if file.read(8)[4:] != b"TFL3":
                    raise Failure("model", arguments.model + ": not a .tflite file")
            self.interpreter = module.Interpreter(model_path=arguments.model, **options)
            loaded = time.perf_counter_ns()
            self.interpreter.allocate_tensors()
            self._seed(arguments.seed)
            prepared = time.perf_counter_ns()
            self.interpreter.invoke()
        except (OSError, ValueError, RuntimeError) as error:
            raise Failure("model", str(error)) from error
        except MemoryError as error:
            raise Failure("memory", "out of memory") from error
        self.times = {
            "load_ns": loaded - start,
            "prepare_ns": prepared - loaded,
            "first_ns": time.perf_counter_ns() - prepared,
        }

    def _seed(self, seed: int) -> None:
        for number, detail in enumerate(self.interpreter.get_input_details()):
            dtype = np.dtype(detail["dtype"]).name
            if dtype not in FLOATS + INTEGERS + ("bool",):
                raise Failure(
                    "unsupported", "tensor " + detail["name"] + ": element type " + dtype + " is not supported"
                )
            shape = tuple(int(size) for size in detail["shape"])
            values = seeded_input(dtype, int(np.prod(shape, dtype=np.int64)), seed, number)
            self.interpreter.set_tensor(detail["index"], values.reshape(shape))

    def ready(self) -> dict[str, Any]:
        inputs, outputs = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        total, delegated = self._coverage()
        return {
            "event": "ready",
            "runtime": self.runtime,
            **self.times,
            "op_count": total,
            "delegated_ops": delegated,
            "inputs": [_describe(detail) for detail in inputs],
            "outputs": [_describe(detail) for detail in outputs],
            "fingerprints": [fingerprint(self.interpreter.get_tensor(detail["index"])) for detail in outputs],
        }

    def _coverage(self) -> Any:
        """Number of nodes, and of delegated ones; both None if this runtime does not tell."""
        try:
            ops = self.interpreter._get_ops_details()
            return sum(op["op_name"] != "DELEGATE" for op in ops), delegated_ops(ops)
        except (AttributeError, KeyError):
            return None, None

    def block(self, runs: int) -> dict[str, Any]:
        invoke, raw, thread = self.interpreter.invoke, time.CLOCK_MONOTONIC_RAW, time.CLOCK_THREAD_CPUTIME_ID
        clock, usage, who = time.clock_gettime_ns, resource.getrusage, resource.RUSAGE_THREAD
        wall, cpu, switches = [0] * runs, [0] * runs, [0] * runs
        for i in range(runs):
            switches_before = usage(who).ru_nivcsw
            cpu_before = clock(thread)
            wall_before = clock(raw)
            invoke()
            wall[i] = clock(raw) - wall_before
            cpu[i] = clock(thread) - cpu_before
            switches[i] = usage(who).ru_nivcsw - switches_before
        return {"event": "block", "wall_ns": wall, "cpu_ns": cpu, "switches": switches}


def _describe(detail: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": detail["name"],
        "dtype": np.dtype(detail["dtype"]).name,
        "shape": [int(size) for size in detail["shape"]],
    }


def obey(session: Session, orders: TextIO, out: TextIO) -> None:
    for line in orders:
        order, _, number = line.strip().partition(" ")
        if order == "end":
            return
        if order == "profile":
            raise Failure("order", "the Python interpreter gives no per-op times")
        if order != "run" or not number.isdigit() or not 1 <= int(number) <= MAX_RUNS:
            raise Failure("order", "not an order: " + line.strip()[:64])
        try:
            answer = session.block(int(number))
        except RuntimeError as error:
            raise Failure("model", "running the model: " + str(error)) from error
        say(out, answer)


def say(out: TextIO, message: dict[str, Any]) -> None:
    out.write(json.dumps(message, separators=(",", ":"), allow_nan=False) + "\n")
    out.flush()


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run a .tflite model when told to, and report how long it took.")
    parser.add_argument("--model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--delegate", choices=("xnnpack", "none"), default="xnnpack")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--probe", action="store_true", help="only say which runtime there is")
    arguments = parser.parse_args()
    if not arguments.probe and not arguments.model:
        parser.error("--model is missing")
    return arguments


def main() -> NoReturn:
    arguments = parse_arguments()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries may chatter on standard output
    gc.disable()  # no collection between inferences
    code = 0
    try:
        if arguments.probe:
            say(out, {"event": "probe", "runtime": load_runtime()[1]})
        else:
            session = Session(arguments)
            say(out, session.ready())
            obey(session, sys.stdin, out)
    except Failure as failure:
        say(out, {"event": "error", "code": failure.code, "text": str(failure)})
        code = 1
    os._exit(code)  # no clean-up: one that crashes would look like a failed run


if __name__ == "__main__":
    main()
