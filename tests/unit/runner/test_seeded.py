"""Seeded inputs and fingerprints: the definition of docs/agent-protocol.md, by known values."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from leadline.runner.seeded import NOT_FINITE, fingerprint, seeded_input, splitmix64

MASK = 2**64 - 1


def splitmix64_by_the_book(state: int) -> int:
    z = (state + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def test_splitmix64_gives_the_published_first_values() -> None:
    """Seed 1234567, the values of the reference implementation (Vigna), also quoted by Rosetta Code."""
    golden = 0x9E3779B97F4A7C15
    states = np.array([(1234567 + k * golden) & MASK for k in range(5)], np.uint64)
    assert splitmix64(states).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1, 2**64 - 3])
@pytest.mark.parametrize("tensor", [0, 1, 255])
def test_elements_are_drawn_by_seed_tensor_and_place(seed: int, tensor: int) -> None:
    drawn = [splitmix64_by_the_book((seed + (tensor << 32) + i) & MASK) for i in range(7)]
    floats = [(z >> 40) / 2**23 - 1 for z in drawn]
    assert seeded_input("float32", 7, seed, tensor).tolist() == floats
    assert seeded_input("uint8", 7, seed, tensor).tolist() == [z >> 56 for z in drawn]
    assert seeded_input("int32", 7, seed, tensor).tolist() == [z >> 56 for z in drawn]
    assert seeded_input("bool", 7, seed, tensor).tolist() == [z >> 63 == 1 for z in drawn]
    assert seeded_input("int8", 7, seed, tensor).tolist() == [(z >> 56) - 256 * (z >> 63) for z in drawn]


def test_floats_fill_minus_one_to_one_evenly() -> None:
    values = seeded_input("float32", 100_000, 0, 0)
    assert values.dtype == np.float32
    assert values.min() >= -1
    assert values.max() < 1
    assert abs(values.mean()) < 0.01
    assert abs(values.std() - 3**-0.5) < 0.01


@pytest.mark.parametrize("dtype", ["complex64", "str", "int4", "object"])
def test_what_cannot_be_drawn_is_refused(dtype: str) -> None:
    with pytest.raises(ValueError, match=dtype):
        seeded_input(dtype, 3, 0, 0)


def test_a_fingerprint_holds_digest_moments_and_evenly_spaced_elements() -> None:
    output = np.linspace(-1, 1, 1001, dtype=np.float32).reshape(1, 1001)
    found = fingerprint(output)
    assert found["sha256"] == hashlib.sha256(output.tobytes()).hexdigest()
    assert found["size"] == 1001
    assert found["mean"] == pytest.approx(0, abs=1e-7)
    assert found["rms"] == pytest.approx(3**-0.5, rel=1e-2)
    assert len(found["head"]) == 64
    assert found["head"][0] == -1
    assert found["head"][-1] == 1
    assert np.diff(found["head"]) == pytest.approx(2 / 63, abs=0.002)


@pytest.mark.parametrize("count", [1, 2, 63, 64])
def test_small_outputs_are_kept_whole(count: int) -> None:
    assert fingerprint(np.arange(count, dtype=np.int8))["head"] == list(range(count))


def test_an_empty_output_has_a_fingerprint() -> None:
    assert fingerprint(np.empty((0, 4), np.float32)) == {
        "sha256": hashlib.sha256(b"").hexdigest(),
        "size": 0,
        "mean": 0.0,
        "rms": 0.0,
        "head": [],
    }


def test_nan_and_infinity_become_one_huge_finite_number() -> None:
    found = fingerprint(np.array([np.nan, np.inf, -np.inf, 1], np.float32))
    assert found["head"] == [NOT_FINITE, NOT_FINITE, NOT_FINITE, 1]
    assert np.isfinite(found["rms"])
    assert found["rms"] > 1e100
