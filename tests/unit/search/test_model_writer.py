"""Written networks run in the real runtime, give outputs worth comparing, and are the same bytes every time."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from leadline.core.errors import BadInput
from leadline.core.tflite import verify
from leadline.search.model.files import sample_models, save_model
from leadline.search.model.weights import DType, plan_weights
from leadline.search.model.writer import write_model
from leadline.search.space.mobilenet_v2 import SPACE
from leadline.search.space.network import (
    Add,
    Conv,
    Depthwise,
    FullyConnected,
    GlobalMean,
    Network,
    Op,
    Pool,
    chain,
    single,
)

DTYPES: tuple[DType, ...] = get_args(DType)
ARCHITECTURE = SPACE.sample(np.random.default_rng(11))
NETWORK = SPACE.network(ARCHITECTURE)
OPS: tuple[Op, ...] = (
    Conv(24, 3, 2, "relu6"),
    Conv(8, 1),
    Conv(1, 5, 1, "relu"),
    Depthwise(3, 1, "relu6"),
    Depthwise(7, 2),
    Add(),
    Add("relu"),
    Pool("average", 2, 2),
    Pool("max", 3, 2),
    GlobalMean(),
)
SINGLES = [single(op, (1, 14, 14, 16)) for op in OPS] + [single(FullyConnected(10, "relu6"), (1, 32))]


def seeded_input(details: Any, seed: int) -> npt.NDArray[Any]:
    rng = np.random.default_rng(seed)
    if details["dtype"] == np.float32:
        return rng.uniform(-1, 1, details["shape"]).astype(np.float32)
    return rng.integers(-128, 128, details["shape"]).astype(np.int8)


def run(data: bytes, seeds: tuple[int, ...] = (0,), *, delegate: bool = True) -> npt.NDArray[Any]:
    """Outputs of the pinned runtime for seeded inputs, shape (len(seeds), …)."""
    resolver = OpResolverType.AUTO if delegate else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=data, num_threads=1, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    outputs = []
    for seed in seeds:
        interpreter.set_tensor(source["index"], seeded_input(source, seed))
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(target["index"]))
    return np.stack(outputs)


def activations(data: bytes) -> dict[str, npt.NDArray[np.float64]]:
    """Every value that the runtime computes on the way, as real numbers."""
    interpreter = Interpreter(
        model_content=data,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]
    interpreter.set_tensor(source["index"], seeded_input(source, 0))
    interpreter.invoke()
    values = {}
    for details in interpreter.get_tensor_details():
        if details["name"] and not details["name"].endswith((".weights", ".bias", ".axes")):
            scale, zero = details["quantization"]
            values[details["name"]] = (interpreter.get_tensor(details["index"]) - float(zero)) * (scale or 1.0)
    return values


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_whole_network_gives_finite_outputs_that_depend_on_the_input(dtype: DType) -> None:
    first, second = run(write_model(NETWORK, dtype=dtype), (0, 1)).astype(float)
    assert first.shape == (1, 1000)
    assert np.isfinite(first).all()
    assert len(np.unique(first)) > 30
    assert np.mean(first != second) > 0.2


def test_int8_outputs_are_spread_and_not_saturated() -> None:
    outputs = run(write_model(NETWORK, dtype="int8"), (0, 1, 2))
    assert outputs.dtype == np.int8
    assert np.mean((outputs == 127) | (outputs == -128)) < 0.01
    assert outputs.astype(float).std() > 8


@pytest.mark.parametrize("dtype", DTYPES)
def test_activations_keep_their_scale_through_the_depth(dtype: DType) -> None:
    values = activations(write_model(NETWORK, dtype=dtype))
    rms = {name: float(np.sqrt(np.mean(value**2))) for name, value in values.items()}
    assert len(rms) == len(NETWORK.layers) + 1
    assert all(0.05 < value < 5 for value in rms.values()), rms


def test_rounding_does_not_grow_on_its_way_through_the_network() -> None:
    """Else two CPUs that sum in another order would seem to compute something else."""
    data = write_model(NETWORK)
    delegated, plain = run(data), run(data, delegate=False)
    assert not np.array_equal(delegated, plain)  # they do round differently
    assert np.abs(delegated - plain).max() < 1e-4 * np.abs(plain).max()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("network", SINGLES, ids=lambda network: network.name)
def test_every_layer_runs_alone(network: Network, dtype: DType) -> None:
    data = write_model(network, dtype=dtype)
    verify(data, network.name)
    outputs = run(data, (0, 1)).astype(float)
    assert outputs.shape[1:] == network.shapes()[-1]
    assert np.isfinite(outputs).all()
    assert not np.array_equal(outputs[0], outputs[1])


def test_every_block_of_the_space_runs_alone() -> None:
    for block in SPACE.blocks(ARCHITECTURE):
        outputs = run(write_model(block))
        assert outputs.shape[1:] == block.shapes()[-1]
        assert outputs.std() > 0


def test_a_convolution_computes_what_its_weights_say() -> None:
    """The file's own weights and bias, applied by hand to one pixel."""
    network = single(Conv(4, 1), (1, 2, 2, 8))
    data = write_model(network, seed=3)
    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    tensors = {d["name"]: interpreter.get_tensor(d["index"]) for d in interpreter.get_tensor_details()[1:3]}
    pixel = seeded_input(interpreter.get_input_details()[0], 0)[0, 1, 1]
    by_hand = tensors["layer.weights"].reshape(4, 8) @ pixel + tensors["layer.bias"]
    np.testing.assert_allclose(run(data)[0, 0, 1, 1], by_hand, rtol=1e-5)


def test_float32_networks_are_taken_by_xnnpack_whole() -> None:
    interpreter = Interpreter(model_content=write_model(NETWORK))
    interpreter.allocate_tensors()
    ops = [op["op_name"] for op in interpreter._get_ops_details()]
    assert ops.count("DELEGATE") == 1
    (delegate,) = (op for op in interpreter._get_ops_details() if op["op_name"] == "DELEGATE")
    assert interpreter.get_input_details()[0]["index"] in delegate["inputs"]
    assert list(delegate["outputs"]) == [interpreter.get_output_details()[0]["index"]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_architecture_and_seed_give_the_same_bytes(dtype: DType) -> None:
    first = write_model(NETWORK, seed=7, dtype=dtype)
    write_model(SPACE.network(SPACE.sample(np.random.default_rng(0))), seed=1, dtype=dtype)  # leaves nothing behind
    assert write_model(SPACE.network(SPACE.decode(SPACE.encode(ARCHITECTURE))), seed=7, dtype=dtype) == first


@pytest.mark.parametrize(("dtype", "digest"), [("float32", "fcda2f7abc1e209e"), ("int8", "5764388d0a3406d2")])
def test_a_seed_keeps_meaning_the_same_network_and_weights(dtype: DType, digest: str) -> None:
    """Whoever publishes a seed must be able to rely on it, whatever version of numpy or Leadline reads it."""
    architecture = SPACE.sample(np.random.default_rng(0))
    assert SPACE.encode(architecture) == (
        "mobilenet_v2:k5e4,k3e3,k3e3,k3e3/k5e6,k5e4,k7e6,k5e4/k7e3,k7e6,k3e4/k5e3,k7e6,k7e3,k3e6/k5e3,k3e4/k5e4"
    )
    plan = plan_weights(SPACE.network(architecture), seed=0, dtype=dtype)
    assert hashlib.sha256(np.concatenate(plan.blob).tobytes()).hexdigest()[:16] == digest


def test_another_seed_gives_other_weights_and_other_outputs() -> None:
    first, second = write_model(NETWORK, seed=0), write_model(NETWORK, seed=1)
    assert len(first) == len(second)
    assert not np.allclose(run(first), run(second))


def test_layers_see_different_weights_though_they_share_one_blob() -> None:
    plan = plan_weights(NETWORK, seed=0, dtype="float32")
    blob = np.concatenate(plan.blob)
    seen = {blob[c.weights.offset : c.weights.offset + 256].tobytes() for c in plan.constants if c}
    assert len(seen) == sum(c is not None for c in plan.constants)
    assert all(c.weights.offset + c.weights.size <= blob.size for c in plan.constants if c)


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_weight_is_zero_by_accident_denormal_or_out_of_range(dtype: DType) -> None:
    plan = plan_weights(NETWORK, seed=0, dtype=dtype)
    blob = np.concatenate(plan.blob)
    for constants in filter(None, plan.constants):
        raw = blob[constants.weights.offset : constants.weights.offset + constants.weights.size]
        weights = raw.view(np.float32 if dtype == "float32" else np.int8).astype(float)
        if dtype == "float32":
            assert np.abs(weights).min() > 1e-7
            assert np.abs(weights).max() < 0.5
        else:
            assert weights.min() >= -127


def test_a_written_file_cut_anywhere_is_not_whole() -> None:
    data = write_model(SPACE.network(ARCHITECTURE))
    for length in [*range(0, len(data), len(data) // 200), len(data) - 1]:
        with pytest.raises(BadInput):
            verify(data[:length], "cut.tflite")


def test_a_network_of_layers_without_weights_is_a_file_too() -> None:
    parts = [single(Pool("max", 2, 2), (1, 8, 8, 4)), single(Add("relu6"), (1, 4, 4, 4))]
    assert run(write_model(chain(parts, name="light"))).shape == (1, 1, 4, 4, 4)


def test_layers_that_do_not_fit_together_are_named() -> None:
    wrong = Network("wrong", (1, 32), single(Conv(8, 3), (1, 8, 8, 4)).layers)
    with pytest.raises(ValueError, match=r"wrong: layer layer: Conv cannot take \(1, 32\)"):
        write_model(wrong)
    with pytest.raises(ValueError, match="empty: has no layers"):
        write_model(Network("empty", (1, 32), ()))
    with pytest.raises(ValueError, match=r"takes \(1, 8, 8, 4\), but gets \(1, 8, 8, 24\)"):
        chain([single(Conv(24, 3), (1, 8, 8, 4)), single(Conv(8, 3), (1, 8, 8, 4))], name="pair")


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(BadInput, match="seed -1"):
        write_model(NETWORK, seed=-1)


def test_sampled_files_do_not_depend_on_how_many_are_asked_for(tmp_path: Path) -> None:
    few = list(sample_models(SPACE, 2, seed=4, folder=tmp_path / "few"))
    many = list(sample_models(SPACE, 3, seed=4, folder=tmp_path / "many"))
    assert [a.sha256 for a in few] == [a.sha256 for a in many][:2]
    assert len({a.sha256 for a in many}) == 3
    assert [a.name for a in few] == ["mobilenet_v2-seed4-000.tflite", "mobilenet_v2-seed4-001.tflite"]


def test_a_file_that_is_there_is_left_alone_if_equal_and_never_overwritten_if_not(tmp_path: Path) -> None:
    network, path = SINGLES[0], tmp_path / "layer.tflite"
    save_model(network, path)
    before = path.stat()
    save_model(network, path)
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    with pytest.raises(BadInput, match=r"layer\.tflite: holds something else; move it away"):
        save_model(network, path, seed=1)
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert os.listdir(tmp_path) == ["layer.tflite"]  # nothing half-written is left


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadInput, match=r"layer\.tflite: cannot be written: .*; choose another folder"):
        save_model(SINGLES[0], tmp_path / "file" / "layer.tflite")


def test_files_are_readable_as_the_umask_says(tmp_path: Path) -> None:
    path = tmp_path / "a \n$(b)" / "-layer.tflite"
    save_model(SINGLES[0], path)
    (tmp_path / "plain").write_bytes(b"")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
