"""Looking into any .tflite file: what is counted, and what cannot be."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline.core.errors import BadInput
from leadline.core.tflite import load_schema
from leadline.search.model.counts import layer_counts, network_counts, op_macs
from leadline.search.model.files import save_model
from leadline.search.model.inspect import inspect_bytes, inspect_file
from leadline.search.model.weights import DType
from leadline.search.model.writer import write_model
from leadline.search.space.mobilenet_v2 import SPACE
from leadline.search.space.network import Add, Conv, Depthwise, FullyConnected, GlobalMean, Pool, single
from tests.support.tflite_files import doubling_model, model_of, pack

LAYER_FILE = write_model(single(Conv(2, 1), (1, 2, 2, 3)))
NETWORK = SPACE.network(SPACE.sample(np.random.default_rng(2)))


@pytest.mark.parametrize(("dtype", "element_bytes"), [("float32", 4), ("int8", 1)])
def test_a_file_counts_as_the_network_it_was_written_from(dtype: DType, element_bytes: int) -> None:
    report = inspect_bytes(write_model(NETWORK, dtype=dtype), "net.tflite")
    assert report.counts == network_counts(NETWORK, element_bytes=element_bytes)
    assert tuple(op.counts for op in report.ops) == layer_counts(NETWORK, element_bytes=element_bytes)
    assert tuple(op.output_shape for op in report.ops) == NETWORK.shapes()[1:]
    assert report.architecture == NETWORK.architecture
    assert [(t.name, t.dtype, t.shape) for t in report.inputs] == [("input", dtype, (1, 224, 224, 3))]
    assert [(t.dtype, t.shape) for t in report.outputs] == [(dtype, (1, 1000))]


def test_a_saved_file_is_the_same_artifact_when_read_back(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    assert save_model(NETWORK, path) == inspect_file(path).artifact()


def test_a_convolution_is_counted_by_hand() -> None:
    """3×3 over 16 channels to 24, 14×14 halved to 7×7: every output is 144 products."""
    (conv,) = layer_counts(single(Conv(24, 3, 2, "relu6"), (1, 14, 14, 16)))
    assert conv.flops == 2 * (7 * 7 * 24) * (3 * 3 * 16)
    assert conv.parameters == 3 * 3 * 16 * 24 + 24
    assert conv.bytes_moved == 4 * (14 * 14 * 16 + 3 * 3 * 16 * 24 + 24 + 7 * 7 * 24)


def test_a_depthwise_convolution_is_counted_by_hand() -> None:
    (depthwise,) = layer_counts(single(Depthwise(5, 1), (1, 14, 14, 16)), element_bytes=1)
    assert depthwise.flops == 2 * (14 * 14 * 16) * 25
    assert depthwise.parameters == 25 * 16 + 16
    assert depthwise.bytes_moved == 2 * (14 * 14 * 16) + 25 * 16 + 4 * 16  # biases stay 32 bits wide


def test_a_classifier_is_counted_by_hand() -> None:
    (dense,) = layer_counts(single(FullyConnected(1000), (1, 1664)))
    assert (dense.flops, dense.parameters) == (2 * 1664 * 1000, 1664 * 1000 + 1000)


@pytest.mark.parametrize("op", [Add(), Pool("average", 2, 2), GlobalMean()])
def test_layers_without_multiplications_count_no_flops(op: Add | Pool | GlobalMean) -> None:
    (counts,) = layer_counts(single(op, (1, 8, 8, 4)))
    assert (counts.flops, counts.parameters) == (0, 0)
    assert counts.bytes_moved is not None
    assert counts.bytes_moved >= 4 * 8 * 8 * 4


@pytest.mark.parametrize(
    ("name", "inputs", "output", "macs"),
    [
        ("TRANSPOSE_CONV", [(4,), (8, 3, 3, 16), (1, 5, 5, 16)], (1, 10, 10, 8), 25 * 16 * 9 * 8),
        ("CONV_2D", [(1, 8, 8, 16), (32, 3, 3, 4), (32,)], (1, 8, 8, 32), 64 * 32 * 9 * 4),  # four groups
        ("CONV_3D", [(1, 4, 4, 4, 2), (3, 3, 3, 2, 8)], (1, 4, 4, 4, 8), 64 * 8 * 27 * 2),
        ("BATCH_MATMUL", [(2, 5, 7), (2, 7, 3)], (2, 5, 3), 2 * 5 * 7 * 3),
        ("BATCH_MATMUL", [(2, 7, 5), (2, 7, 3)], (2, 5, 3), 2 * 5 * 7 * 3),  # the left side transposed
        ("FULLY_CONNECTED", [(6, 16), (10, 16), None], (6, 10), 6 * 10 * 16),
        ("RESHAPE", [(1, 4), (2,)], (2, 2), 0),
        ("LSTM", [(1, 4)], (1, 4), None),
        ("WHILE", [(1,)], (1,), None),
        ("CUSTOM", [(1,)], (1,), None),
        ("CONV_2D", [(1, 8, 8, 16)], (1, 8, 8, 32), None),
        ("CONV_2D", [(1, 8, 8, 16), None], (1, 8, 8, 32), None),
        ("CONV_2D", [(1, 8, 8, 16), (32, 16)], (1, 8, 8, 32), None),
    ],
)
def test_ops_of_other_peoples_models_are_counted_where_shapes_tell(
    name: str, inputs: list[tuple[int, ...] | None], output: tuple[int, ...], macs: int | None
) -> None:
    assert op_macs(name, inputs, [output]) == macs


def test_a_custom_op_is_named_and_makes_the_flops_unknown() -> None:
    model = model_of(
        [("x", (1, 4), None), ("y", (1, 4), None), ("z", (1, 4), None)],
        [("ADD", (0, 0), 1), ("MyDetector\x1b", (1,), 2)],
    )
    report = inspect_bytes(pack(model), "custom.tflite")
    assert report.op_counts == {"ADD": 1, "CUSTOM MyDetector\x1b": 1}
    assert [op.counts.flops for op in report.ops] == [0, None]
    assert report.counts.flops is None
    assert report.architecture is None
    assert report.description == "tiny"


def test_weights_that_two_ops_share_are_parameters_once() -> None:
    model = model_of(
        [("x", (4,), None), ("w", (4,), np.ones(4, np.float32)), ("y", (4,), None), ("z", (4,), None)],
        [("ADD", (0, 1), 2), ("ADD", (2, 1), 3)],
    )
    report = inspect_bytes(pack(model), "shared.tflite")
    assert report.counts.parameters == 4
    assert [op.counts.parameters for op in report.ops] == [4, 0]
    assert report.counts.bytes_moved == 2 * 3 * 16  # but they are read twice


def test_tensors_of_unknown_size_make_the_bytes_unknown() -> None:
    model = doubling_model()
    model.subgraphs[0].tensors[0].type = load_schema().TensorType.STRING
    assert inspect_bytes(pack(model), "text.tflite").counts.bytes_moved is None


def test_four_bit_weights_take_half_a_byte() -> None:
    model = doubling_model()
    for tensor in model.subgraphs[0].tensors:
        tensor.type = load_schema().TensorType.INT4
    assert inspect_bytes(pack(model), "int4.tflite").counts.bytes_moved == 3 * math.ceil(4 / 2)


@given(st.lists(st.tuples(st.integers(8, 1 << 30), st.integers(0, 255)), min_size=1, max_size=6))
def test_bytes_changed_at_random_are_reported_or_refused_but_never_crash(changes: list[tuple[int, int]]) -> None:
    spoiled = bytearray(LAYER_FILE)
    for place, value in changes:
        spoiled[8 + (place - 8) % (len(spoiled) - 8)] = value
    with contextlib.suppress(BadInput):
        inspect_bytes(bytes(spoiled), "net.tflite")


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b"", "not a TFLite model: the file is empty"),
        (b"PK\x03\x04 a zip file", "not a TFLite model"),
        (pack(doubling_model())[:200], "broken or truncated"),
    ],
)
def test_a_file_that_is_no_whole_model_is_refused_by_name(tmp_path: Path, content: bytes, fact: str) -> None:
    path = tmp_path / "bad.tflite"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=f"bad.tflite: {fact}"):
        inspect_file(path)


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nothing: cannot be read: No such file or directory"):
        inspect_file(tmp_path / "nothing")
    with pytest.raises(BadInput, match="not a regular file"):
        inspect_file(tmp_path)
