"""A bar only where somebody waits for it."""

import sys

import pytest
import rich

from data import progress
from data.progress import show_progress


class Terminal:
    """Standard output that says it is a terminal and keeps what is written."""

    encoding = "utf-8"

    def __init__(self):
        self.written = ""

    def write(self, text):
        self.written += text

    def flush(self):
        pass

    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("patience", "is_terminal", "is_shown"), [(0, True, True), (60, True, False), (0, False, False)]
)
def test_a_bar_is_shown_when_it_takes_long_and_on_a_terminal(
    monkeypatch, patience, is_terminal, is_shown
):
    rich.get_console()  # made while standard output is no terminal
    terminal = Terminal()
    terminal.isatty = lambda: is_terminal
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(progress, "PATIENCE_SECONDS", patience)
    assert list(show_progress(["ab", "c"], 3, "reading it")) == ["ab", "c"]
    assert ("reading it" in terminal.written) is is_shown
    assert bool(terminal.written) is is_shown
