"""Theoretical roofs."""

from __future__ import annotations

import math

import pytest

from leadline.core.errors import BadInput
from leadline.roofline.specification import Cores, known, memory_gbytes, peak_gflops, specification


def test_the_peak_is_the_sum_over_kinds_of_cores() -> None:
    cores = [Cores(count=2, flops_per_cycle=16, ghz=2.0), Cores(count=6, flops_per_cycle=8, ghz=1.5)]
    assert peak_gflops(cores) == pytest.approx(64 + 72)


def test_32_bits_at_3733_megatransfers_are_the_14_93_gbytes_of_the_monoNAS_papers_table() -> None:
    assert memory_gbytes(32, 3733) == pytest.approx(known("samsung-s5e").memory_gbytes, abs=0.005)


def test_the_samsung_s5e_is_as_in_the_paper() -> None:
    s5e = known("samsung-s5e")
    assert (s5e.peak_gflops, s5e.memory_gbytes) == (40.6, 14.93)
    assert s5e.ridge == pytest.approx(40.6 / 14.93)
    assert s5e.attainable(1.0) == pytest.approx(14.93)
    assert s5e.attainable(64.0) == pytest.approx(40.6)
    assert "Table 1" in s5e.source


def test_a_specification_tells_what_it_was_made_from() -> None:
    spec = specification("board", cores=[Cores(count=4, flops_per_cycle=8, ghz=1.5)], bus_bits=32, megatransfers=3200)
    assert (spec.peak_gflops, spec.memory_gbytes) == (pytest.approx(48.0), pytest.approx(12.8))
    assert spec.source == "4 × 8 FLOP/cycle × 1.5 GHz; 32 bit × 3200 MT/s"


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(BadInput, match="'nokia' is not known; use one of samsung-s5e"):
        known("nokia")


@pytest.mark.parametrize("ghz", [0.0, -1.0, math.nan, math.inf])
def test_impossible_figures_are_refused(ghz: float) -> None:
    with pytest.raises(BadInput, match="give positive numbers"):
        peak_gflops([Cores(count=4, flops_per_cycle=8, ghz=ghz)])
    with pytest.raises(BadInput, match="give positive numbers"):
        memory_gbytes(32, ghz)


def test_a_chip_has_cores() -> None:
    with pytest.raises(BadInput, match="no cores are given"):
        peak_gflops([])
