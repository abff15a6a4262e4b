"""The command line as a user meets it: exit codes, messages on stderr, completions on stdout, nothing written."""

import errno
import subprocess
import sys
import types
from pathlib import Path

import pytest

from harness import __main__ as door
from harness.errors import UsageError
from suites import SuiteError

ROOT = Path(__file__).resolve().parents[2]
GOOD = ["suite=imdb-sentiment", "losses=dpo"]


def command(*argv, cwd=ROOT, code=None):
    """Run `python -m harness`, or other code, in a process of its own."""
    how = ["-m", "harness"] if code is None else ["-c", code]
    return subprocess.run(
        [sys.executable, *how, *argv],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
        timeout=120,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
    )


@pytest.fixture
def sweep(monkeypatch):
    """Stands in for run.py: records what it was given and does what the test sets."""
    seen = types.SimpleNamespace(calls=[], does=lambda: 0)

    def run(options, progress, command):
        seen.calls.append((options, progress, command))
        return seen.does()

    monkeypatch.setitem(sys.modules, "harness.sweeps.run", types.SimpleNamespace(run=run))
    return seen


def test_no_verb_prints_the_help_as_an_error(capsys):
    assert door.main([]) == 2
    assert "usage: python -m harness VERB" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--help"], ["-h"], ["help"]])
def test_help_goes_to_stdout_and_names_every_verb(argv, capsys):
    assert door.main(argv) == 0
    out, err = capsys.readouterr()
    assert all(f"  {verb} " in out for verb in door.VERBS)
    assert err == ""


@pytest.mark.parametrize("verb", list(door.VERBS))
def test_every_verb_has_its_help(verb, capsys):
    assert door.main([verb, "--help"]) == 0
    first = capsys.readouterr().out
    assert door.main(["help", verb]) == 0
    assert capsys.readouterr().out == first
    assert f"usage: python -m harness {verb}" in first
    assert "examples:" in first


def test_an_unknown_verb_has_a_guess(capsys):
    assert door.main(["rnu"]) == 2
    assert "unknown verb 'rnu'; did you mean 'run'?" in capsys.readouterr().err


def test_wrong_words_are_all_named_on_stderr_and_nothing_is_written(tmp_path):
    done = command("run", "suite=hh-rlh", "losses=dop", "epochs=x", "bare", "out=made", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("error: ") for line in lines)
    assert list(tmp_path.iterdir()) == []


def test_light_completions_import_nothing_heavy():
    code = (
        "import sys; from harness.__main__ import main\n"
        "for words in (['--help'], ['run', '--help'], ['list', 'suites'], ['list', 'metrics'],\n"
        "              ['list', 'models'], ['list', 'options'], ['rnu'], ['report', 'nowhere']):\n"
        "    main(words)\n"
        "heavy = {'torch', 'pandas', 'numpy', 'scipy', 'pyarrow', 'transformers', 'datasets', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    assert command(code=code).stderr.splitlines()[-1] == "[]"


def test_a_shadowing_package_in_the_current_folder_is_named(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "__init__.py").touch()
    done = command("list", "suites", cwd=tmp_path)
    assert done.returncode == 2
    assert str(tmp_path) in done.stderr
    assert str(ROOT) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_plain_results_folder_in_the_current_folder_does_no_harm(tmp_path):
    (tmp_path / "results").mkdir()
    done = command("list", "models", cwd=tmp_path)
    assert done.returncode == 0
    assert "smollm2-135m" in done.stdout


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(door, "PACKAGES", (*door.PACKAGES, "no_such_package_here"))
    assert "'no_such_package_here' is missing" in door.misplaced_package()


def test_all_five_packages_belong_together_here():
    assert door.misplaced_package() is None


@pytest.mark.parametrize("error", [UsageError(["first", "second"]), SuiteError("first\nsecond")])
def test_what_run_finds_wrong_with_the_request_is_an_error_without_traceback(sweep, capsys, error):
    def fail():
        raise error

    sweep.does = fail
    assert door.main(["run", *GOOD]) == 2
    err = capsys.readouterr().err
    assert "error: first" in err
    assert "second" in err


def test_a_disk_that_cannot_be_written_is_an_error_without_traceback(sweep, capsys):
    def fail():
        raise OSError(errno.ENOSPC, "No space left on device", "/cache/digests/x.json")

    sweep.does = fail
    assert door.main(["run", *GOOD]) == 2
    assert capsys.readouterr().err.startswith("error: /cache/digests/x.json: no space left on device; free some space")


def test_a_fault_of_the_program_is_not_hidden(sweep):
    def fail():
        raise ZeroDivisionError

    sweep.does = fail
    with pytest.raises(ZeroDivisionError):
        door.main(["run", *GOOD])


def test_an_interruption_ends_with_its_own_code(sweep, capsys):
    def stop():
        raise KeyboardInterrupt

    sweep.does = stop
    assert door.main(["run", *GOOD]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_libraries_are_told_to_be_quiet_unless_the_user_decided(monkeypatch):
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "0")
    door.main(["list"])
    assert door.os.environ["TOKENIZERS_PARALLELISM"] == "false"
    assert door.os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] == "0"


def test_a_reader_that_goes_away_ends_the_listing_quietly():
    line = f"{sys.executable} -m harness list metrics | head -1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_list_prints_to_stdout_and_a_wrong_kind_is_an_error(capsys):
    assert door.main(["list", "models"]) == 0
    assert "smollm2-135m" in capsys.readouterr().out
    assert door.main(["list", "modles"]) == 2
    assert "did you mean 'models'?" in capsys.readouterr().err
