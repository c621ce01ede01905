"""The checks that constructors share."""

import pytest

from layers.checks import check_dropout, check_positive_integers


def test_good_values_pass():
    check_positive_integers(d_model=1, dff=10**6)
    for dropout in (0, 0.0, 0.5, 0.999):
        check_dropout(dropout)


@pytest.mark.parametrize("size", [0, -3, 2.0, "8", None])
def test_the_first_bad_size_is_named(size):
    with pytest.raises(ValueError, match=f"`dff` must be a positive integer.*dff={size!r}"):
        check_positive_integers(d_model=1, dff=size, num_heads=0)


@pytest.mark.parametrize("dropout", [-0.1, 1, 1.0, 7, float("nan")])
def test_a_dropout_out_of_range_is_refused(dropout):
    message = f"`dropout` must be at least 0 and below 1. Received: dropout={dropout!r}"
    with pytest.raises(ValueError, match=message):
        check_dropout(dropout)
