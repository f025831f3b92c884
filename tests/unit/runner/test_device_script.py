"""The script for devices with Python only: what can be said of it without a device."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from leadline.runner import device_script
from leadline.runner.device_script import delegated_ops
from tests.support.tiny_models import conv_net

SCRIPT = Path(device_script.__file__)


def said(*arguments: str, orders: str = "") -> tuple[list[dict[str, Any]], int]:
    done = subprocess.run([sys.executable, str(SCRIPT), *arguments], input=orders, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()], done.returncode


def op(index: int, name: str, inputs: list[int], outputs: list[int]) -> dict[str, Any]:
    return {"index": index, "op_name": name, "inputs": inputs, "outputs": outputs}


def test_it_is_written_in_the_python_of_the_oldest_devices() -> None:
    ast.parse(SCRIPT.read_text(), feature_version=(3, 7))


def test_it_needs_only_the_standard_library_and_numpy() -> None:
    imported = set()
    for node in ast.walk(ast.parse(SCRIPT.read_text())):
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
    assert imported - set(sys.stdlib_module_names) == {"numpy"}


def test_a_delegate_takes_what_lies_between_its_outputs_and_inputs() -> None:
    ops = [op(0, "A", [0], [1]), op(1, "B", [1], [2]), op(2, "C", [2], [3]), op(3, "D", [3, 1], [4])]
    assert delegated_ops(ops) == 0
    assert delegated_ops([*ops, op(4, "DELEGATE", [1], [3])]) == 2
    assert delegated_ops([*ops, op(4, "DELEGATE", [0], [1]), op(5, "DELEGATE", [3, 1], [4])]) == 2
    assert delegated_ops([*ops, op(4, "DELEGATE", [0], [4])]) == 4


@pytest.mark.parametrize("order", ["run 0", "run", "run -1", "run 99999", "run 1e3", "", "dance", "profile 3"])
def test_what_is_no_order_ends_it_with_an_error(tmp_path: Path, order: str) -> None:
    model = tmp_path / "net.tflite"
    model.write_bytes(conv_net())
    lines, code = said("--model", str(model), orders=order + "\n")
    assert [line["event"] for line in lines] == ["ready", "error"]
    assert lines[1]["code"] == "order"
    assert code == 1


@pytest.mark.parametrize("orders", ["", "end\n", "run 2\nend\nrun 2\n"])
def test_it_leaves_at_the_end_of_its_input_or_when_told(tmp_path: Path, orders: str) -> None:
    model = tmp_path / "net.tflite"
    model.write_bytes(conv_net())
    lines, code = said("--model", str(model), orders=orders)
    assert len(lines) == 1 + orders.count("run 2\nend")
    assert code == 0


def test_a_missing_file_is_an_error_line(tmp_path: Path) -> None:
    lines, code = said("--model", str(tmp_path / "missing.tflite"))
    assert lines[0]["event"] == "error"
    assert code == 1


def test_it_says_what_it_lacks_before_it_starts() -> None:
    lines, code = said()
    assert lines == []
    assert code == 2
