"""Which epochs are chosen for a film of a training."""

import numpy as np
import pytest

from callbacks import spread_epochs

MANY = [41, 60, 100, 250, 1000, 12345, 1_000_000]


@pytest.mark.parametrize("epochs", [1, 2, 39, 40, *MANY])
@pytest.mark.parametrize("count", [2, 8, 40])
def test_epochs_are_sorted_and_unique_from_the_first_to_the_last(epochs, count):
    chosen = spread_epochs(epochs, count)
    assert chosen == sorted(set(chosen))
    assert chosen[0] == 0
    assert chosen[-1] == epochs - 1
    assert all(type(epoch) is int for epoch in chosen)


@pytest.mark.parametrize("epochs", [1, 7, 40])
def test_few_epochs_are_all_chosen(epochs):
    assert spread_epochs(epochs) == list(range(epochs))


@pytest.mark.parametrize("epochs", MANY)
def test_about_forty_of_many_epochs_are_chosen(epochs):
    assert 40 <= len(spread_epochs(epochs)) <= 42


@pytest.mark.parametrize("epochs", MANY[2:])
def test_epochs_are_dense_early_and_sparse_later(epochs):
    chosen = spread_epochs(epochs)
    assert chosen[:4] == [0, 1, 2, 3]
    gaps = np.diff(chosen)
    thirds = [part.mean() for part in np.array_split(gaps, 3)]
    assert thirds[0] < thirds[1] < thirds[2]


def test_no_epochs_choose_none():
    assert spread_epochs(0) == []
