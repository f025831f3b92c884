"""Agreement of two orders."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from leadline.core.errors import BadInput
from leadline.stats.rank import kendall_tau, srcc

both = pytest.mark.parametrize("agreement", [srcc, kendall_tau])
vectors = st.integers(2, 30).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(-9, 9).map(float), min_size=n, max_size=n)] * 2)
)


def test_they_are_spearmans_rho_and_kendalls_tau_with_ties() -> None:
    x, y = [1.0, 2.0, 2.0, 4.0, 5.0, 6.0], [2.0, 1.0, 3.0, 3.0, 6.0, 5.0]
    assert srcc(x, y) == pytest.approx(np.corrcoef(stats.rankdata(x), stats.rankdata(y))[0, 1])
    assert kendall_tau(x, y) == pytest.approx((11 - 2) / math.sqrt(14 * 14))


@both
def test_only_the_order_matters(agreement) -> None:
    x = np.array([3.0, 1.0, 2.0, 9.0])
    assert agreement(x, np.exp(x)) == pytest.approx(1.0)
    assert agreement(x, -x) == pytest.approx(-1.0)


@both
def test_a_constant_side_has_no_order(agreement) -> None:
    assert math.isnan(agreement([1, 1, 1], [1, 2, 3]))
    assert math.isnan(agreement([1, 2, 3], [5, 5, 5]))


@both
@given(pair=vectors)
def test_it_is_symmetric_and_within_one(agreement, pair) -> None:
    x, y = pair
    found = agreement(x, y)
    assert math.isnan(found) or -1 - 1e-12 <= found <= 1 + 1e-12
    assert agreement(y, x) == pytest.approx(found, nan_ok=True)


@both
@pytest.mark.parametrize(
    ("x", "y"),
    [([], []), ([1], [1]), ([1, 2], [1, 2, 3]), ([[1, 2], [3, 4]], [[1, 2], [3, 4]]), ([1, math.nan], [1, 2])],
    ids=str,
)
def test_what_cannot_be_ranked_is_refused(agreement, x, y) -> None:
    with pytest.raises(BadInput, match="rank correlation"):
        agreement(x, y)
