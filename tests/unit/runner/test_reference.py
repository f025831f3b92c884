"""The host's own run of a model, and how outputs compare with it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from leadline.core.errors import LeadlineError, ModelRejected
from leadline.records.trial import Fingerprint
from leadline.runner.reference import compare_outputs, reference_fingerprints
from leadline.runner.seeded import fingerprint
from tests.support.tiny_models import conv_net, custom_op_net, infinite_net, integer_net


def fingerprint_of(values: npt.ArrayLike, dtype: str = "float32") -> Fingerprint:
    return msgspec.convert(fingerprint(np.asarray(values, dtype)), Fingerprint)


def reference(tmp_path: Path, content: bytes) -> tuple[Fingerprint, ...]:
    model = tmp_path / "net.tflite"
    model.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    return reference_fingerprints(model, sha256=sha256, host_cache=tmp_path / "cache")


NORMAL = np.random.default_rng(0).normal(0, 1, 1000)
QUANTA = np.random.default_rng(0).integers(-100, 100, 1000)


def test_the_same_bytes_are_equal() -> None:
    assert compare_outputs([fingerprint_of(NORMAL)], [fingerprint_of(NORMAL)]) == ("equal", None)


@pytest.mark.parametrize("scale", [1e-10, 1, 1e10])
def test_single_precision_rounding_is_close_at_any_scale(scale: float) -> None:
    host = scale * NORMAL
    rounded = host + np.random.default_rng(1).normal(0, 1e-5 * scale, host.size)
    assert compare_outputs([fingerprint_of(rounded)], [fingerprint_of(host)]) == ("close", None)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(NORMAL * 1.01, id="scaled"),
        pytest.param(-NORMAL, id="negated"),
        pytest.param(NORMAL[::-1].copy(), id="another order"),
        pytest.param(np.zeros(1000), id="zeros"),
        pytest.param(np.full(1000, np.nan), id="NaN"),
        pytest.param(np.full(1000, np.inf), id="infinities"),
        pytest.param(NORMAL[:999], id="one element less"),
    ],
)
def test_what_rounding_does_not_explain_is_different_and_told(wrong: npt.NDArray[np.float64]) -> None:
    check, message = compare_outputs([fingerprint_of(wrong)], [fingerprint_of(NORMAL)])
    assert check == "different"
    assert message
    assert "output 0" in message


def test_quantized_outputs_may_be_two_quanta_apart() -> None:
    host = fingerprint_of(QUANTA, "int8")
    assert compare_outputs([fingerprint_of(QUANTA + 2, "int8")], [host])[0] == "close"
    assert compare_outputs([fingerprint_of(QUANTA + 3, "int8")], [host])[0] == "different"


def test_classes_and_flags_are_not_quanta() -> None:
    ones, zeros = np.ones(10), np.zeros(10)
    assert compare_outputs([fingerprint_of(zeros)], [fingerprint_of(ones)])[0] == "different"
    assert compare_outputs([fingerprint_of(ones)], [fingerprint_of(zeros)])[0] == "different"


def test_minus_zero_is_close_to_zero() -> None:
    assert compare_outputs([fingerprint_of([-0.0])], [fingerprint_of([0.0])]) == ("close", None)


def test_one_wrong_output_among_many_is_found_and_named() -> None:
    good, bad = fingerprint_of(NORMAL), fingerprint_of(NORMAL + 1)
    check, message = compare_outputs([good, bad], [good, good])
    assert check == "different"
    assert message
    assert "output 1" in message


def test_a_missing_output_is_different() -> None:
    assert compare_outputs([], [fingerprint_of(NORMAL)])[0] == "different"


def test_the_host_computes_its_own_fingerprints_once(tmp_path: Path) -> None:
    first = reference(tmp_path, conv_net())
    (kept,) = (tmp_path / "cache" / "references").iterdir()
    assert msgspec.json.decode(kept.read_bytes(), type=tuple[Fingerprint, ...]) == first
    before = kept.stat().st_mtime_ns
    assert reference(tmp_path, conv_net()) == first
    assert kept.stat().st_mtime_ns == before


def test_a_damaged_cache_entry_is_computed_anew(tmp_path: Path) -> None:
    first = reference(tmp_path, conv_net())
    (kept,) = (tmp_path / "cache" / "references").iterdir()
    kept.write_bytes(kept.read_bytes()[:20])
    assert reference(tmp_path, conv_net()) == first


def test_half_precision_is_told_apart(tmp_path: Path) -> None:
    weights = np.random.default_rng(1).normal(0, 1 / 30, (1000, 1000))
    host, halves = NORMAL, NORMAL
    for _ in range(10):
        host = weights @ host
        halves = (weights.astype(np.float16) @ halves.astype(np.float16)).astype(np.float16)
    assert compare_outputs([fingerprint_of(halves)], [fingerprint_of(host)])[0] == "different"


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(LeadlineError, match="cannot be written"):
        reference(tmp_path, conv_net())


def test_models_with_several_outputs_have_several_fingerprints(tmp_path: Path) -> None:
    numbers, reals = reference(tmp_path, integer_net())
    assert numbers.size == reals.size == 100
    assert max(numbers.head) <= 510
    assert min(reals.head) < 0


def test_a_model_that_computes_infinities_can_be_kept(tmp_path: Path) -> None:
    (found,) = reference(tmp_path, infinite_net())
    assert found.rms > 1e100


def test_a_model_that_the_host_cannot_run_is_rejected_in_the_runtime_s_words(tmp_path: Path) -> None:
    with pytest.raises(ModelRejected, match="FancyOp"):
        reference(tmp_path, custom_op_net())


def test_a_broken_file_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ModelRejected, match=r"net\.tflite"):
        reference(tmp_path, conv_net()[:700])
