"""The command line: help, exit codes, what is said on which stream. The work itself is replaced by a stand-in."""

import dataclasses
import json
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest
import torch

from macrosplat import cli, demo
from macrosplat.cli.overview import GROUPS
from macrosplat.options import Options
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.spelling import misspelt

COMMANDS = ["reconstruct", "render", "evaluate", "compare", "bench", "demo"]


@pytest.fixture
def pipeline(monkeypatch):
    """A stand-in for the library that writes down its calls."""
    calls = []

    def stand_in(name, result):
        def call(*arguments, **more):
            given = {key: value for key, value in more.items() if value is not None and value is not False}
            calls.append((name, *arguments, *([given] if given else [])))
            return result

        return call

    results = {"reconstruct": "summary", "go_on": "summary", "render_cameras": [Path("a.png")], "evaluate": "table"}
    module = types.SimpleNamespace(calls=calls, **{name: stand_in(name, result) for name, result in results.items()})
    for name in ("pipeline", "loaded"):
        monkeypatch.setitem(sys.modules, f"macrosplat.{name}", module)
        monkeypatch.setattr(f"macrosplat.{name}", module, raising=False)
    return module


def run(words):
    """The exit code of one command line."""
    return cli.main(words.split())


def usage(*arguments):
    """The exit code of arguments that leave while they are parsed."""
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    return left.value.code


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    assert usage(command, "--help") == 0
    assert f"usage: macrosplat {command}" in capsys.readouterr().out


def test_without_a_word_the_commands_are_listed(capsys):
    assert cli.main([]) == 0
    out = capsys.readouterr().out
    assert all(command in out for command in COMMANDS)


def test_every_option_of_a_reconstruction_is_in_a_help_and_has_a_text(capsys, monkeypatch):
    """The photographer's in `--help`, those of the methods to compare with in `--help-baselines`; all can be given."""
    monkeypatch.setenv("COLUMNS", "100")
    texts = {}
    for name in ("--help", "--help-baselines"):
        assert usage("reconstruct", name) == 0
        texts[name] = capsys.readouterr().out
    for field in dataclasses.fields(Options):
        owned = getattr(Options(), field.name)
        inner = [f.name for f in dataclasses.fields(owned)] if dataclasses.is_dataclass(owned) else []
        apart = field.name in ("blurnet", "focus", "covariance", "deblur")
        for name in [f"{field.name}.{i}" for i in inner] or [field.name]:
            option = f"--{name.replace('_', '-')} "
            assert (option in texts["--help"]) is not apart
            after = texts["--help-baselines" if apart else "--help"].split(option, 1)[1]
            assert len(after.split("│ --", 1)[0]) > 60, f"{option} has no text"


@pytest.mark.parametrize("width", [60, 120])
def test_the_help_of_the_program_fits_a_screen(width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    assert cli.main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width and len(lines) <= 55
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(cli.COMMANDS)
    assert all(any(line.startswith(f"  {name} ") for line in lines) for name in cli.COMMANDS)


def test_the_help_of_a_reconstruction_fits_two_screens(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    usage("reconstruct", "--help")
    assert len(capsys.readouterr().out.splitlines()) <= 60


def test_help_is_quick_since_it_needs_no_torch():
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "macrosplat", "--help"], check=True, capture_output=True)
    assert (
        time.perf_counter() - start < 5
    )  # 0.3 s on a quiet machine; loading torch on a busy one takes longer than this


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.count(".") == 2


def test_words_reach_the_library_as_they_were_meant(pipeline, capsys):
    words = "reconstruct photos --out run --lens plain --quality draft --steps 7 --width 320 --max-gaussians 2000"
    words += " --device cpu --seed 3 --masks off --hold-out 8 --resume"
    assert run(words) == 0
    options = Options(
        lens="plain",
        quality="draft",
        steps=7,
        width=320,
        max_gaussians=2000,
        device="cpu",
        seed=3,
        masks="off",
        hold_out=8,
    )
    assert pipeline.calls == [("reconstruct", Path("photos"), Path("run"), options, True)]
    assert capsys.readouterr().out == "summary\n"
    assert run("reconstruct photos --out run --width auto") == 0 and pipeline.calls[-1][3] == Options()


@pytest.mark.parametrize(("word", "port"), [("--live", 8080), ("--live 9001", 9001), ("--live 0", 0), ("", None)])
def test_the_live_view_has_a_port_of_its_own_or_8080(pipeline, word, port):
    assert run(f"reconstruct photos --out run {word}") == 0
    (more,) = pipeline.calls[0][5:]
    assert more.pop("ahead") is not None and more == ({} if port is None else {"live": port})


def test_a_strange_port_is_refused(capsys):
    assert usage("reconstruct", "photos", "--out", "run", "--live", "65536") == 2
    assert "takes one port" in " ".join(capsys.readouterr().err.replace("│", "").split())


def test_a_script_gets_events_alone(pipeline, monkeypatch, capsys):
    def reconstruct(*arguments, shown, **more):
        shown[0].say("progress", done=1)
        return types.SimpleNamespace(steps=7, run=Path("run"))

    monkeypatch.setattr(pipeline, "reconstruct", reconstruct)
    assert run("reconstruct photos --out run --json") == 0
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one.pop("time") > 1e9 for one in said] == [True, True]
    assert said == [{"event": "progress", "done": 1}, {"event": "done", "run": "run", "steps": 7}]


def test_going_on_needs_the_run_alone(pipeline):
    assert run("continue run --steps +2000 --device cpu") == 0
    assert run("reconstruct --resume run --finish") == 0
    assert pipeline.calls == [
        ("go_on", Path("run"), "+2000", "cpu", None),
        ("go_on", Path("run"), None, None, None, {"results": True}),
    ]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("reconstuct photos --out run", "reconstruct"),
        ("reconstruct --lnes thin photos --out run", "--lens"),
        ("reconstruct photos --out run --lens thni", "thin"),
        ("reconstruct photos --out=run --thin.aperture_sampels 8", "--thin.aperture-samples"),
        ("export run --format mehs", "mesh"),
        ("compare a --out run --method plain", "--methods"),
    ],
)
def test_a_typo_is_answered_with_what_was_meant(words, meant, pipeline, capsys):
    assert usage(*words.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith("macrosplat: ") and said.endswith(f"did you mean {meant}?\n") and said.count("\n") == 1


def test_what_is_spelt_well_is_left_alone():
    for words in (
        "reconstruct photos --out run --deblur-first none --hold_out 8 --live --json",
        "reconstruct --help-baselines",
        "export --help",
        "bench --no-scaling",
        "view -- --strange",
        "--version",
        "compare fly chess --out run",
        "list runs --help",
    ):
        assert misspelt(words.split(), cli.COMMANDS) is None


def test_of_several_photos_the_folder_is_asked_for(pipeline, capsys):
    with pytest.raises(SystemExit, match="2"):
        run("reconstruct photos/a.jpg photos/b.jpg --out run")
    said = capsys.readouterr().err
    assert "photos/a.jpg and photos/b.jpg" in said and "name the folder" in said and not pipeline.calls


def test_what_is_not_there_is_not_of_a_wrong_kind(capsys):
    assert run("view nosuch") == 2
    assert "nosuch does not exist" in capsys.readouterr().err


def test_render_and_evaluate(pipeline, capsys):
    assert run("render run --cameras novel.json --out views --device cpu") == 0
    assert run("evaluate run --truth capture --device cpu") == 0
    cpu = torch.device("cpu")
    assert pipeline.calls == [
        ("render_cameras", Path("run"), Path("novel.json"), Path("views"), cpu),
        ("evaluate", Path("run"), Path("capture"), cpu),
    ]
    assert capsys.readouterr().out == "1 views in views\ntable\n"


def test_the_demo_takes_the_packaged_photos_and_goes_on_where_it_stopped(pipeline, tmp_path):
    out = tmp_path / "demo"
    assert cli.main(["demo", "--out", str(out)]) == 0
    out.mkdir()
    (out / "config.json").write_text("{}")
    assert cli.main(["demo", "--out", str(out)]) == 0
    assert pipeline.calls == [
        ("reconstruct", demo.FOLDER, out, Options(quality="draft", width=320), begun) for begun in (False, True)
    ]


def test_the_packaged_photos_are_small_and_name_source_and_licence():
    photos = list((demo.FOLDER / "photos").iterdir())
    assert len(photos) == 30
    assert sum(photo.stat().st_size for photo in photos) < 2_000_000
    assert "Apache License" in (demo.FOLDER / "LICENSE.txt").read_text()


@pytest.mark.parametrize(
    "words",
    [
        "reconstuct photos --out run",
        "reconstruct photos",
        "reconstruct photos --out run --lens fisheye",
        "reconstruct photos --out run --steps many",
        "reconstruct photos --out run --step 10",
        "bench --device tpu",
    ],
)
def test_bad_usage_leaves_with_2_and_without_a_traceback(words, pipeline, capsys):
    assert usage(*words.split()) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert pipeline.calls == []


@pytest.mark.parametrize(
    ("words", "named"),
    [("--steps 0", "--steps"), ("--width 2", "--width"), ("--hold-out 1", "--hold-out"), ("--seed -1", "--seed")],
)
def test_impossible_numbers_are_one_sentence_and_2(words, named, pipeline, capsys):
    assert cli.main(["reconstruct", "photos", "--out", "run", *words.split()]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert named in said.err
    assert pipeline.calls == []


def fail_with(error):
    def call(*arguments, **more):
        raise error

    return call


def test_bad_input_is_one_sentence_on_stderr_and_2(pipeline, monkeypatch, capsys):
    monkeypatch.setattr(pipeline, "reconstruct", fail_with(MacrosplatError("photos holds no photos.")))
    assert run("reconstruct photos --out run") == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "macrosplat: photos holds no photos.\n")


def test_a_defect_is_not_dressed_up_as_bad_input(pipeline, monkeypatch):
    monkeypatch.setattr(pipeline, "reconstruct", fail_with(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        run("reconstruct photos --out run")


@pytest.mark.parametrize(
    ("words", "way_on"),
    [("reconstruct photos --out run", "--resume"), ("demo --out run", "the same command again")],
)
def test_an_interruption_says_how_to_go_on(words, way_on, pipeline, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pipeline, "reconstruct", fail_with(KeyboardInterrupt()))
    if words.startswith("reconstruct"):
        assert run(words) == 130 and "Nothing was done yet: there is no run in run." in capsys.readouterr().err
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    assert run(words) == 130
    said = capsys.readouterr().err
    assert "run:" in said
    assert way_on in said


def test_a_killed_run_says_so_too(tmp_path):
    """`kill` is answered like Ctrl-C. A stand-in pipeline waits for it."""
    code = f"""
import sys, time, types
stand_in = types.ModuleType("macrosplat.pipeline")
def wait(capture, out, *arguments, **more):
    (out / "config.json").write_text("{{}}")
    print("waiting", flush=True)
    time.sleep(60)
stand_in.reconstruct = wait
sys.modules["macrosplat.pipeline"] = stand_in
import macrosplat
macrosplat.pipeline = stand_in
from macrosplat.cli import main
sys.exit(main(["reconstruct", "photos", "--out", {str(tmp_path)!r}]))
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "waiting\n"
    child.terminate()
    _, said = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "--resume" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_options(shell, capsys):
    assert run(f"--completion {shell}") == 0
    said = capsys.readouterr().out
    assert "macrosplat" in said and "reconstruct" in said and "max-gaussians" in said


def test_a_shell_that_is_not_known_is_said(capsys):
    assert run("--completion tcsh") == 2
    assert "bash, zsh, fish" in capsys.readouterr().err
