"""Progress: a bar in a terminal, few lines in a log, events for scripts."""

import io
import json

import pytest

from macrosplat.support.errors import MacrosplatError
from macrosplat.support.events import Events
from macrosplat.support.progress import SECONDS_BETWEEN_LINES, Progress, duration
from macrosplat.support.remaining import Remaining
from macrosplat.support.terminal import shortened


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock():
    return Clock()


def test_a_log_gets_one_line_per_minute_and_one_per_stage(clock):
    stream = io.StringIO()
    with Progress(stream, clock) as progress:
        progress.stage("Training", 300, unit="steps")
        for _ in range(300):
            clock.now += 0.5
            progress.advance(figures={"psnr": 27.125, "gaussians": 15360, "loss": 0.125})
    assert SECONDS_BETWEEN_LINES == 60
    assert stream.getvalue().splitlines() == [
        "Training: 120 of 300, 1 min 30 s left, 2 steps/s, PSNR 27.12 dB, 15,360 Gaussians, loss 0.1250",
        "Training: 240 of 300, 30 s left, 2 steps/s, PSNR 27.12 dB, 15,360 Gaussians, loss 0.1250",
        "Training: done in 2 min 30 s, 2 steps/s, PSNR 27.12 dB, 15,360 Gaussians, loss 0.1250",
    ]


def test_what_an_earlier_run_did_does_not_make_the_rest_look_short(clock):
    stream = io.StringIO()
    progress = Progress(stream, clock)
    progress.stage("Training", 300, done=200)
    clock.now += 60
    progress.advance(50)
    assert stream.getvalue() == "Training: 250 of 300, 1 min 00 s left\n"


def test_the_first_step_which_compiles_does_not_promise_days(clock):
    stream = io.StringIO()
    progress = Progress(stream, clock)
    progress.stage("Training", 1500, unit="steps")
    clock.now += 80
    progress.advance()
    for _ in range(120):
        clock.now += 0.5
        progress.advance()
    assert stream.getvalue().splitlines() == [
        "Training: 1 of 1500",
        "Training: 121 of 1500, 11 min 30 s left, 2 steps/s",
    ]


# Made up: a hundred steps, of which the last twenty take eight times as long.
def made_up(n):
    return n + 7 * max(0, n - 80)


def test_steps_that_take_longer_later_are_foreseen(clock):
    stream, said = io.StringIO(), io.StringIO()
    progress = Progress(stream, clock, more=(Events(said),))
    progress.stage("Training", 100, unit="steps", work=made_up)
    for n in range(1, 101):
        clock.now += 3 * (made_up(n) - made_up(n - 1)) + (40 if n == 1 else 0)  # which compiles
        progress.advance()
    moved = [one for one in map(json.loads, said.getvalue().splitlines()) if one["event"] == "progress"]
    for one in moved[1:]:
        assert one["seconds_left"] == pytest.approx(3 * (made_up(100) - made_up(one["done"])), rel=1e-5)
    assert moved[0]["seconds_left"] is None and moved[40]["per_second"] == pytest.approx(1 / 3, rel=1e-5)
    assert "Training: 47 of 100, 9 min 39 s left, 0.333 steps/s" in stream.getvalue().splitlines()
    progress.stage("Next")
    assert f"{99 / (clock.now - 43):.3g} steps/s" in stream.getvalue().splitlines()[-1]  # the mean, in the end


def test_what_was_reckoned_wrong_is_noticed():
    remaining, now = Remaining(made_up, 100), 0.0
    off = []
    for n in range(101):
        now += 0 if n == 0 else (made_up(n) - made_up(n - 1)) * (1 if n <= 80 else 2)
        remaining.counted(n, now)
        off.append((remaining.seconds() or 0) / max(1, (made_up(100) - made_up(n)) * 2))
    assert off[80] == pytest.approx(0.5) and off[90] > 0.95
    remaining.counted(95, now)  # taken back
    remaining.paused(now + 1000)
    remaining.counted(96, now + 1016)
    assert remaining.seconds() == pytest.approx(16 * 4, rel=0.2)
    assert Remaining(float, 10).seconds() is None


def test_a_stage_whose_size_nobody_knows_and_the_next_stage_ends_it(clock):
    stream = io.StringIO()
    with Progress(stream, clock) as progress:
        progress.stage("Finding cameras")
        clock.now += 61
        progress.advance(7, "placing photos, 12 of 30")
        progress.note("2 of 30 photos found no place.")
        progress.stage("Training", 10)
    assert stream.getvalue().splitlines() == [
        "Finding cameras: 7, placing photos, 12 of 30",
        "2 of 30 photos found no place.",
        "Finding cameras: done in 1 min 01 s",
        "Training: done in 0 s",
    ]


def test_an_interrupted_stage_does_not_claim_to_be_done(clock):
    stream = io.StringIO()
    with pytest.raises(KeyboardInterrupt), Progress(stream, clock) as progress:
        progress.stage("Training", 10)
        raise KeyboardInterrupt
    assert stream.getvalue() == ""


def test_a_terminal_gets_a_bar_with_figures_and_is_left_in_order(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    stream, clock = Terminal(), Clock()
    with pytest.raises(ValueError, match="diverged"), Progress(stream, clock) as progress:
        progress.stage("Training", 3, unit="steps")
        clock.now += 2
        progress.advance(2, figures={"psnr": 27.125, "gaussians": 15360, "loss": 0.125})
        progress.note("[bold] is not markup here.")
        raise ValueError("diverged")
    text = stream.getvalue()
    assert "2/3" in text and "1 s left" in text
    assert "PSNR 27.12 dB" in text and "steps/s" in text and "15,360" in text  # cut short where 80 columns end
    assert "[bold] is not markup here." in text
    assert text.rstrip().endswith("\x1b[?25h")  # the cursor is shown again


def test_a_dumb_terminal_is_written_to_like_a_log(monkeypatch, clock):
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    with Progress(stream, clock) as progress:
        progress.stage("Training", 3)
    assert stream.getvalue() == "Training: done in 0 s\n"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_durations_in_words(seconds, words):
    assert duration(seconds) == words


def test_events_for_scripts(clock):
    stream = io.StringIO()
    events = Events(stream, wall_clock=lambda: 1e9 + clock.now)
    with pytest.raises(MacrosplatError), events, Progress(io.StringIO(), clock, more=(events,)) as progress:
        progress.stage("training", 300, unit="steps")
        for n in range(1, 101):
            clock.now += 0.0625
            progress.advance(figures={"loss": float("nan")} if n == 70 else {})
        progress.note("a sentence")
        raise MacrosplatError("what went wrong")
    said = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert said[0] == {"event": "stage", "time": 1e9, "stage": "training", "done": 0, "total": 300}
    moved = [one["done"] for one in said if one["event"] == "progress"]
    assert moved == [16, 32, 48, 64, 70, 86]  # once a second, and for the figure
    where = {"event": "progress", "time": 1e9 + 4.375, "stage": "training", "done": 70, "total": 300}
    assert said[5] == {**where, "per_second": 16, "seconds_left": 14.375, "loss": None}
    assert [one["text"] for one in said[-2:]] == ["a sentence", "what went wrong"] and said[-1]["event"] == "error"


def test_nothing_that_a_terminal_would_obey_is_said(clock):
    stream = io.StringIO()
    progress = Progress(stream, clock)
    progress.note("evil\x1b]0;owned\x07 \u202ename\udcff é")
    assert stream.getvalue() == "evil?]0;owned? ?name? é\n"
    assert shortened("x" * 50) == "x" * 50 and len(shortened("x" * 100_000)) < 650


def test_a_stream_that_takes_nothing_more_does_not_stop_the_work(clock):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    progress = Progress(Full(), clock)
    progress.note("one")
    progress.note("two")
