"""The interval of a share is the one that SciPy has."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from fftag.base.shares import wilson


@given(of=st.integers(0, 10**7), share=st.floats(0, 1))
def test_a_wilson_interval_holds_the_share_it_is_of(of: int, share: float) -> None:
    found = round(share * of)
    low, high = (float(bound) for bound in wilson(np.array(found), of))
    assert 0 <= low <= high <= 1
    if of:
        assert low <= found / of + 1e-12
        assert high >= found / of - 1e-12


@pytest.mark.parametrize(("found", "of"), [(0, 7), (4, 10), (500, 500), (31, 12_000)])
def test_a_wilson_interval_is_that_of_scipy(found: int, of: int) -> None:
    expected = binomtest(found, of).proportion_ci(method="wilson")
    assert [float(bound) for bound in wilson(np.array(found), of)] == pytest.approx([*expected])
