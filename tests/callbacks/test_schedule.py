"""Which epochs are chosen for a film of a training."""

import numpy as np
import pytest

from callbacks import TimeShare, spread_epochs

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


def test_a_share_of_the_time_is_kept(monkeypatch):
    class Clock:
        now = 100.0

        def perf_counter(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr("callbacks.schedule.time", clock)
    pace = TimeShare(0.25)
    pace.begin()
    assert pace.allows_more()  # nothing is spent yet
    with pace:
        clock.now += 2
    answers = []
    for _ in range(8):
        answers.append(pace.allows_more())
        clock.now += 1
    assert answers == 6 * [False] + 2 * [True]  # 2 of 8 seconds are a quarter
    with pace:
        clock.now += 1
    assert not pace.allows_more()


@pytest.mark.parametrize("share", [-0.1, 1.01, float("nan")])
def test_a_share_out_of_its_range_is_refused(share):
    with pytest.raises(ValueError, match=r"`time_share` must be .* Received: time_share="):
        TimeShare(share)
