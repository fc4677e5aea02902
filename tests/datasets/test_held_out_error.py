"""How finely held-out images tell: the standard error of a share, and of a difference."""

import pytest

from cream_mm.datasets.held_out_error import is_coarse, standard_error, told_apart


def test_standard_error_is_that_of_a_share():
    assert standard_error(100, 0.5) == 5.0
    assert standard_error(372, 0.9) == pytest.approx(1.555, abs=1e-3)
    # Two draws of a binomial: 1.96 * sqrt(2 * 0.85 * 0.15 / 34) is 16.97 %.
    assert told_apart(34) == pytest.approx(16.97, abs=0.01)


def test_from_where_on_it_is_fine():
    assert is_coarse(141) and not is_coarse(142)  # sqrt(0.1275 / 141.67) is 0.03
    assert [is_coarse(*n) for n in ((49, 500), (50, 149), (50, 150))] == [True, True, False]
