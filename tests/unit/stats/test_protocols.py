"""The two named protocols, and how others are made from them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from leadline.core.errors import BadInput
from leadline.stats.protocols import DEFAULT, PAPER, custom, fixed, validated


def test_the_named_protocols_can_be_carried_out() -> None:
    assert validated(DEFAULT) is DEFAULT
    assert validated(PAPER) is PAPER


def test_the_default_protocol_takes_less_than_a_tenth_of_the_papers_inferences_at_worst() -> None:
    first = 1
    worst = DEFAULT.launches * (first + DEFAULT.max_warmup + DEFAULT.max_runs)
    assert worst <= 90
    assert worst * 10 <= PAPER.launches * (first + PAPER.max_warmup + PAPER.max_runs)


def test_the_papers_protocol_is_a_thousand_runs_of_one_process() -> None:
    assert (PAPER.launches, PAPER.min_runs, PAPER.max_runs, PAPER.half_width) == (1, 1000, 1000, None)


def test_nothing_given_is_the_base_under_another_name() -> None:
    protocol = custom()
    assert protocol.name == "custom"
    assert {f: getattr(protocol, f) for f in protocol.__struct_fields__ if f != "name"} == {
        f: getattr(DEFAULT, f) for f in DEFAULT.__struct_fields__ if f != "name"
    }


def test_a_floor_above_the_cap_raises_the_cap_and_a_cap_below_the_floor_lowers_the_floor() -> None:
    raised, lowered = custom(min_runs=500), custom(max_runs=2 * DEFAULT.batch)
    assert (raised.min_runs, raised.max_runs) == (500, 500)
    assert (lowered.min_runs, lowered.max_runs) == (2 * DEFAULT.batch, 2 * DEFAULT.batch)


def test_a_wish_that_contradicts_itself_is_refused_not_mended() -> None:
    with pytest.raises(BadInput, match="min_runs is 50"):
        custom(min_runs=50, max_runs=40)


def test_a_fixed_number_of_runs_has_no_target_and_may_be_one() -> None:
    assert [(p.min_runs, p.max_runs, p.half_width, p.launches) for p in (fixed(1), fixed(7, launches=2))] == [
        (1, 1, None, 3),
        (7, 7, None, 2),
    ]


def test_the_papers_protocol_can_be_run_for_another_number() -> None:
    assert custom(PAPER, max_runs=200).min_runs == 200
    assert custom(PAPER, max_runs=200, half_width=0.01).min_runs == 200


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"launches": 0}, "launches is 0"),
        ({"launches": 10**6}, "launches"),
        ({"launches": 2.5}, "launches is 2.5"),
        ({"launches": True}, "launches is True"),
        ({"batch": 0}, "batch is 0"),
        ({"batch": 10**6}, "batch"),
        ({"batch": DEFAULT.max_runs}, "two batches"),
        ({"max_runs": 0}, "max_runs is 0"),
        ({"max_runs": 10**9}, "max_runs"),
        ({"max_runs": math.nan}, "max_runs is nan"),
        ({"min_runs": -1}, "min_runs is -1"),
        ({"max_warmup": -1}, "max_warmup is -1"),
        ({"half_width": 0.0}, "half_width is 0.0"),
        ({"half_width": 1.5}, "half_width is 1.5"),
        ({"half_width": math.nan}, "half_width is nan"),
        ({"half_width": True}, "half_width is True"),
        ({"confidence": 95.0}, "confidence is 95.0"),
        ({"confidence": math.inf}, "confidence is inf"),
        ({"base": PAPER, "min_runs": 10, "max_runs": 20}, "differ"),
    ],
    ids=str,
)
def test_what_cannot_be_carried_out_is_refused_by_its_field(given: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput, match=field):
        custom(**given)
