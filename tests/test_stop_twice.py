"""Ctrl-C: once to stop, twice for results, where somebody sits at the terminal."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from macrosplat.support.stop import TWICE, Stop


def press(after: float = 0.0) -> None:
    threading.Timer(after, os.kill, (os.getpid(), signal.SIGINT)).start()


def test_a_second_one_asks_for_results() -> None:
    said: list[str] = []
    with Stop(attended=True) as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.asked
        press(TWICE + 0.1)
        assert stop.wants_results(said.append)
    assert "Ctrl-C once more" in said[0]


def test_one_that_is_heard_twice_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("macrosplat.support.stop.OFFER", 0.2)
    with Stop(attended=True) as stop:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.asked and not stop.wants_results(lambda text: None)


def test_nobody_is_waited_for_who_is_not_there() -> None:
    began = time.monotonic()
    with Stop(attended=False) as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert not stop.wants_results(lambda text: None)
    with Stop(attended=True) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert not stop.wants_results(lambda text: None)
    assert time.monotonic() - began < 2
