"""Before anything reads a model file, it is known to be whole."""

from __future__ import annotations

import contextlib
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.core.errors import BadInput
from leadline.core.tflite import load_schema, names_of, verify
from tests.support.tflite_files import doubling_model, model_of, pack

WHOLE = pack(doubling_model())


def refusal(data: bytes, name: str = "net.tflite") -> str:
    with pytest.raises(BadInput) as caught:
        verify(data, name)
    return str(caught.value)


def test_a_whole_file_passes_from_bytes_and_from_a_memoryview() -> None:
    verify(WHOLE, "net.tflite")
    verify(memoryview(WHOLE), "net.tflite")


@pytest.mark.parametrize(
    ("data", "fact"),
    [
        (b"", "the file is empty"),
        (b"TFL3", "it has only 4 bytes"),
        (b"\x1f\x8b\x08\x00" + bytes(40), r"bytes 4–8 are b'\x00\x00\x00\x00', not b'TFL3'"),
        (b"<!DOCTYPE html><html>", "bytes 4–8 are b'CTYP'"),
    ],
)
def test_a_file_that_is_no_tflite_model_is_refused_with_what_it_is_instead(data: bytes, fact: str) -> None:
    message = refusal(data)
    assert message.startswith("net.tflite: not a TFLite model: ")
    assert fact in message


def test_a_file_cut_anywhere_is_refused() -> None:
    padding = len(WHOLE) - len(WHOLE.rstrip(b"\0"))  # whether the last zeros are padding cannot be told
    for length in range(len(WHOLE) - padding):
        refusal(WHOLE[:length])


def test_a_buffer_outside_the_flatbuffer_must_lie_inside_the_file() -> None:
    model = doubling_model()
    model.buffers[1].data = None
    model.buffers[1].offset, model.buffers[1].size = 4096, 256
    head = pack(model).ljust(4096, b"\0")
    verify(head + bytes(256), "net.tflite")
    assert "buffer 1 ends at byte 4352, but the file ends at byte 4351" in refusal(head + bytes(255))


def test_an_offset_so_large_that_it_would_wrap_around_is_refused() -> None:
    model = doubling_model()
    model.buffers[1].offset, model.buffers[1].size = 2**64 - 16, 32
    assert "buffer 1 ends at byte" in refusal(pack(model))


def test_a_file_without_a_graph_is_refused() -> None:
    assert "it holds no graph" in refusal(pack(load_schema().ModelT(version=3)))


@pytest.mark.parametrize("inputs", [(0, 7), (0, -2)])
def test_an_op_that_names_a_tensor_that_is_not_there_is_refused(inputs: tuple[int, ...]) -> None:
    model = doubling_model()
    model.subgraphs[0].operators[0].inputs = list(inputs)
    assert f"op 0 of graph 0 names tensor {inputs[1]}, but there are 3" in refusal(pack(model))


def test_an_optional_input_that_is_left_out_is_fine() -> None:
    model = doubling_model()
    model.subgraphs[0].operators[0].inputs = [0, -1]
    verify(pack(model), "net.tflite")


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda m: setattr(m.subgraphs[0].tensors[0], "buffer", 9), "tensor 0 of graph 0 names buffer 9"),
        (lambda m: setattr(m.subgraphs[0].operators[0], "opcodeIndex", 1), "op 0 of graph 0 names op code 1"),
        (lambda m: setattr(m.subgraphs[0], "outputs", [3]), "the outputs of graph 0 names tensor 3"),
        (lambda m: setattr(m.subgraphs[0].tensors[0], "shape", [1, -4]), "tensor 0 of graph 0 has a negative size"),
    ],
)
def test_an_index_to_nowhere_is_refused_by_name(spoil, fault: str) -> None:
    model = doubling_model()
    spoil(model)
    assert fault in refusal(pack(model))


def test_an_op_newer_than_the_pinned_runtime_is_unsupported_not_broken() -> None:
    model = doubling_model()
    model.operatorCodes[0].builtinCode = 99_999
    assert refusal(pack(model)) == (
        "net.tflite: unsupported op: op code 0 is 99999, which the pinned runtime does not know; "
        "convert it for an older runtime"
    )


def test_a_custom_op_is_a_known_kind_of_op() -> None:
    verify(pack(model_of([("x", (4,), None), ("y", (4,), None)], [("Mystery", (0,), 1)])), "net.tflite")


def test_a_file_name_cannot_command_the_terminal() -> None:
    assert "\x1b" not in refusal(b"", "a\x1b[2Jb\n.tflite")


@given(st.data())
def test_bytes_changed_at_random_are_passed_or_refused_but_never_crash(data: st.DataObject) -> None:
    spoiled = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 6))):
        spoiled[data.draw(st.integers(8, len(WHOLE) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadInput):
        verify(bytes(spoiled), "net.tflite")


@given(st.binary(max_size=300))
def test_anything_behind_the_identifier_is_passed_or_refused_but_never_crashes(tail: bytes) -> None:
    with contextlib.suppress(BadInput):
        verify(WHOLE[:4] + b"TFL3" + tail, "net.tflite")


def test_many_graphs_that_share_many_tensors_are_refused_rather_than_multiplied() -> None:
    """240 KB that would otherwise ask for 9·10^8 looks: every graph at every tensor."""
    shared = 30_000
    vtable = struct.pack("<6H", 12, 8, 4, 0, 0, 0)  # of a table of 8 bytes whose first field is at byte 4
    empty = struct.pack("<4H", 4, 4, 0, 0)  # of a table of 4 bytes without fields, and padding
    model_vtable = struct.pack("<8H", 14, 12, 0, 0, 4, 0, 8, 0)  # of a Model with graphs and buffers
    root_at = 8 + len(vtable) + len(empty) + len(model_vtable)
    graphs_at = root_at + 12
    graph_at = graphs_at + 4 + 4 * shared
    tensors_at = graph_at + 8
    tensor_at = tensors_at + 4 + 4 * shared
    data = struct.pack("<I4s", root_at, b"TFL3") + vtable + empty + model_vtable
    data += struct.pack("<iII", root_at - 28, graphs_at - root_at - 4, tensor_at + 4 - root_at - 8)
    data += offsets(graphs_at, shared, graph_at)
    data += struct.pack("<iI", graph_at - 8, tensors_at - graph_at - 4)
    data += offsets(tensors_at, shared, tensor_at)
    data += struct.pack("<i", tensor_at - 20) + struct.pack("<I", 0)
    assert "again and again" in refusal(data)


def offsets(at: int, count: int, target: int) -> bytes:
    """A vector at byte `at` whose items all lead to `target`."""
    return struct.pack("<I", count) + (target - np.arange(at + 4, at + 4 + 4 * count, 4)).astype("<u4").tobytes()


def test_the_schema_comes_without_the_runtime() -> None:
    code = (
        "import sys; from leadline.core.tflite import load_schema; load_schema().Model;"
        "print([m for m in sys.modules if m.startswith('ai_edge_litert')])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"[]\n"


def test_enumerations_read_by_value() -> None:
    assert names_of("BuiltinOperator")[3] == "CONV_2D"
    assert names_of("TensorType")[9] == "INT8"
