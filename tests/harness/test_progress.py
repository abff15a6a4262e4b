"""Progress: what is said, how often, and how long it will still take."""

import io

import pytest

from harness.progress import LiveLine, PlainLines, Progress, Silent, estimate, on_stream, printable


class Clock:
    """A clock that moves when told to."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shown():
    return Silent()


@pytest.fixture
def progress(shown, clock):
    return Progress(shown, cells=3, clock=clock)


def train(progress, clock, label="dpo", steps=4, seconds_a_step=2.0):
    progress.cell_started(label, steps)
    for step in range(1, steps + 1):
        clock.now += seconds_a_step
        progress.step(step, 0.5, 100)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "under 1 s"),
        (1.4, "1 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (86399, "1 d 0 h"),
        (97200, "1 d 3 h"),
    ],
)
def test_durations_are_rounded_without_impossible_parts(seconds, text):
    assert estimate(seconds) == text


def test_a_cell_tells_its_number_label_and_end(progress, shown, clock):
    train(progress, clock, "dpo beta=0.1", steps=2)
    progress.cell_finished("dpo beta=0.1", "accuracy 0.61")
    assert shown.lines == [
        "[1/3] dpo beta=0.1: started, 2 steps",
        "[1/3] dpo beta=0.1: done in 4 s: accuracy 0.61",
    ]


def test_a_step_tells_loss_pace_and_time_left(progress, shown, clock):
    progress.cell_started("dpo", 4)
    clock.now += 2
    progress.step(1, 0.69314, 1000)
    # 2 s a step: 3 more steps here and 4 in each of 2 later cells, 22 s
    assert shown.statuses == ["[1/3] dpo: step 1/4, loss 0.6931, 500 tokens/s, 22 s left"]


def test_what_comes_before_the_first_step_is_not_its_pace(shown, clock):
    progress = Progress(shown, cells=2, clock=clock)
    progress.cell_started("dpo", 4)
    for step, seconds in enumerate((60, 2, 3), start=1):
        clock.now += seconds
        progress.step(step, 0.5, 100)
    # one more step of 2.5 s here; the later cell as long as this one, 65 s and that step
    assert shown.statuses[-1] == "[1/2] dpo: step 3/4, loss 0.5, 40 tokens/s, 1 min 10 s left"


def test_later_cells_are_taken_to_last_as_long_as_trained_ones_did(progress, clock):
    train(progress, clock, steps=4, seconds_a_step=2)
    clock.now += 12  # evaluation: the whole cell took 20 s
    progress.cell_finished("dpo", "")
    progress.cell_started("ipo", 4)
    clock.now += 3
    progress.step(1, 0.5, 1)
    assert progress.seconds_left() == pytest.approx(3 * 3 + 20)


def test_cells_without_steps_or_work_do_not_shorten_the_estimate(shown, clock):
    progress = Progress(shown, cells=4, clock=clock)
    progress.cell_started("none", 0)
    progress.cell_finished("none", "")
    progress.cell_kept("sft", "finished earlier")
    train(progress, clock, steps=2, seconds_a_step=5)
    assert progress.seconds_left() == pytest.approx(2 * 5)


def test_a_resumed_cell_is_timed_by_the_steps_of_this_run_only(shown, clock):
    progress = Progress(shown, cells=1, clock=clock)
    progress.cell_started("dpo", 100)
    clock.now += 2
    progress.step(91, 0.5, 1)
    assert progress.seconds_left() == pytest.approx(2 * 9)


def test_nothing_is_estimated_before_the_first_step(progress):
    assert progress.seconds_left() is None
    progress.cell_started("dpo", 4)
    assert progress.seconds_left() is None


def test_failed_and_kept_cells_count_as_ended(progress, shown):
    progress.cell_started("dpo", 4)
    progress.cell_failed("dpo", "loss is nan at step 3")
    progress.cell_kept("ipo", "finished earlier")
    progress.cell_started("kto", 4)
    assert shown.lines[1:] == [
        "[1/3] dpo: FAILED: loss is nan at step 3",
        "[2/3] ipo: finished earlier",
        "[3/3] kto: started, 4 steps",
    ]


def test_each_sweep_is_counted_from_its_first_cell(shown, clock):
    progress = Progress(shown, clock=clock)
    progress.cell_kept("a", "skipped")
    for label, cells in (("b", 2), ("c", 3)):
        progress.expect(cells)
        progress.cell_kept(label, "skipped")
    assert shown.lines == ["[1] a: skipped", "[1/2] b: skipped", "[1/3] c: skipped"]


def test_a_step_outside_a_cell_is_a_mistake(progress):
    with pytest.raises(RuntimeError, match="cell_started"):
        progress.step(1, 0.5, 1)


def test_a_stage_tells_its_start_pace_and_end(progress, shown, clock):
    with progress.stage("reference log-probs", 10) as stage:
        clock.now += 4
        stage.advance(2)
        stage.advance(8)
    assert shown.lines == ["reference log-probs ...", "reference log-probs: done in 4 s"]
    assert shown.statuses == ["reference log-probs: 2 of 10, 16 s left", "reference log-probs: 10 of 10"]


def test_a_stage_that_fails_is_not_called_done(progress, shown):
    with pytest.raises(OSError, match="disk"), progress.stage("writing", 1):
        raise OSError("disk")
    assert shown.lines == ["writing ..."]


def test_plain_lines_show_a_status_at_most_every_ten_seconds(clock):
    stream = io.StringIO()
    progress = Progress(PlainLines(stream, clock), cells=1, clock=clock)
    train(progress, clock, steps=60, seconds_a_step=1)
    progress.cell_finished("dpo", "accuracy 0.6")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1 + 6 + 1
    assert [line.split("step ")[1].split("/")[0] for line in lines[1:-1]] == "10 20 30 40 50 60".split()


def test_messages_cannot_steer_the_terminal(progress, shown):
    progress.note("a\x1b[2Jb")
    progress.warn("c\nd")
    progress.cell_kept("e\r", "\x9bf")
    assert shown.lines == ["a [2Jb", "warning: c d", "[1/3] e :  f"]
    assert printable("caf\u00e9 \u4e2d") == "caf\u00e9 \u4e2d"


def test_a_file_gets_plain_lines_without_control_characters():
    stream = io.StringIO()
    with on_stream(stream) as progress:
        progress.expect(1)
        progress.cell_started("[bold]dpo[/bold]", 1)
        progress.step(1, 0.5, 10)
        progress.cell_finished("[bold]dpo[/bold]", "done")
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().startswith("[1/1] [bold]dpo[/bold]: started")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def test_a_terminal_gets_a_live_line_and_keeps_the_lasting_ones(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    stream = Terminal()
    with on_stream(stream) as progress:
        assert isinstance(progress._display, LiveLine)
        progress.expect(1)
        progress.cell_started("[red]dpo", 2)
        progress.step(1, 0.25, 10)
        progress._display._bar.refresh()
        progress.cell_finished("[red]dpo", "accuracy 0.6")
    text = stream.getvalue()
    assert "[1/1] [red]dpo: started, 2 steps" in text
    assert "step 1/2, loss 0.25" in text
    assert "accuracy 0.6" in text
    assert text.rstrip().endswith("\x1b[?25h") or "\x1b[?25h" in text  # the cursor is shown again


def test_leaving_closes_the_display_also_after_an_error(clock):
    closed = []

    class Display(Silent):
        def close(self):
            closed.append(True)

    with pytest.raises(KeyboardInterrupt), Progress(Display(), clock=clock):
        raise KeyboardInterrupt
    assert closed == [True]
