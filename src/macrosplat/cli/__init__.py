"""The command line: words in, one call of the library, sentences out.

Exit codes: 0 done, 2 bad usage or bad input (one sentence on stderr), 130 interrupted. Results go to stdout, progress
to stderr.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import tyro
from tyro.conf import arg

from macrosplat.cli.collection import Batch
from macrosplat.cli.commands import COMMANDS, Command, Demo, Reconstruct
from macrosplat.cli.measuring import Compare
from macrosplat.cli.overview import overview
from macrosplat.options.help import Baselines, Photographers
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.memory import keep_freed
from macrosplat.support.spelling import misspelt
from macrosplat.support.stop import INTERRUPTS
from macrosplat.support.terminal import shortened, width_of, wrapped


def _resumed(words: list[str]) -> list[str]:
    """`reconstruct --resume RUN`, which names no photos and no --out, is `continue RUN`."""
    if words[:2] == ["reconstruct", "--resume"] and len(words) > 2 and "--out" not in " ".join(words):
        return ["continue", *words[2:]]
    return words


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. Bad usage leaves through SystemExit(2), as argument parsers do."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments == ["--version"]:
        print(importlib.metadata.version("macrosplat"))
        return 0
    if arguments[:1] == ["--completion"]:
        return _completion(arguments[1:])
    own_process()
    # What libraries have to say to their programmers, of damaged EXIF for example, is no sentence for a photographer.
    warnings.simplefilter("ignore")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may lack letters that a name has
            stream.reconfigure(errors="replace")
    began: list[Command] = []
    try:
        # `kill` is answered like Ctrl-C, so that half-written files are removed on the way out.
        INTERRUPTS.install()
        return _run(arguments, began)
    except KeyboardInterrupt:
        _say(f"Interrupted.{_how_to_resume(began[0] if began else None)}")
        return 130


def _run(arguments: list[str], began: list[Command]) -> int:
    """Read the words and run their command, which is noted in `began`; the exit code."""
    if "" in arguments:  # which as a path would be this folder
        return _refused(
            "One of the words is empty: a variable that is not set, perhaps; give a folder, or leave it out."
        )
    try:
        arguments = _resumed(arguments)
        wrong = misspelt(arguments, COMMANDS)
        if wrong is not None:
            _say(wrong)
            raise SystemExit(2)
        if arguments in ([], ["-h"], ["--help"]):
            print(overview(width_of(sys.stdout) if sys.stdout is not None else None))
            return 0
        _help_of_reconstruct(arguments)
        with _wrapped_help(arguments):
            began.append(tyro.cli(Command, prog="macrosplat", args=arguments))  # type: ignore[arg-type]
        began[0].run()
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where it is said in a sentence that there is no room for the summary
    except MacrosplatError as error:
        return _refused(str(error))
    except BrokenPipeError:
        # The reader (`| head`) has what it wanted; the interpreter's own flush at exit must not complain either.
        _mute()
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _mute()
        return _refused(f"The system refused something ({where}{error.strerror or error}).")
    except ImportError as error:  # no room for it, or an installation that is damaged
        return _refused(f"A part of the program cannot be loaded ({error}); free memory, or install it again.")
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        return _refused("Memory ran out; give a smaller --width or fewer --max-gaussians, or end other programs.")
    return 0


SHELLS = ("bash", "zsh", "fish")


def _completion(words: Sequence[str]) -> int:
    """Print what makes a shell complete commands and options."""
    if len(words) != 1 or words[0] not in SHELLS:
        return _refused(f"--completion takes one of {', '.join(SHELLS)}; see docs/installing.md for where it goes.")
    with contextlib.suppress(SystemExit):
        tyro.cli(Command, prog="macrosplat", args=["--tyro-print-completion", words[0]])  # type: ignore[arg-type]
    return 0


@dataclass(frozen=True)
class _Photographers(Reconstruct):
    options: Annotated[Photographers, arg(name="")] = field(default_factory=Photographers)


_Photographers.__doc__ = Reconstruct.__doc__


def _help_of_reconstruct(arguments: Sequence[str]) -> None:
    """`reconstruct --help` shows what a photographer needs, `reconstruct --help-baselines` the rest; both then exit."""
    if arguments[:1] != ["reconstruct"]:
        return
    shown: Any = Baselines if "--help-baselines" in arguments else _Photographers
    if {"-h", "--help", "--help-baselines"} & set(arguments):
        with _wrapped_help(arguments):
            tyro.cli(shown, prog="macrosplat reconstruct", args=["--help"])


@contextlib.contextmanager
def _wrapped_help(arguments: Sequence[str]) -> Iterator[None]:
    """tyro breaks what stands in its boxes to the width of the terminal, but not what stands above them."""
    width = width_of(sys.stdout) if sys.stdout is not None else None
    if width is None or not {"-h", "--help", "--help-baselines"} & set(arguments):
        yield
        return
    said = _Held()
    try:
        with contextlib.redirect_stdout(said):
            yield
    finally:
        for line in said.getvalue().splitlines():
            print(line if line[:1] in tuple("╭│╰") else wrapped(line, width, "  " if line.startswith("- ") else ""))


class _Held(io.StringIO):
    encoding = "utf-8"  # else tyro draws its boxes with what ASCII has


def own_process() -> None:
    """What only a program of our own may set for its whole process, before numpy, torch, pycolmap or Numba are loaded.

    Waiting threads sleep: spinning ones burn the time slice that the thread they wait for needs as soon as another
    program wants a core. Those of numpy's BLAS always spin, and our products are small (experiments: end-of-a-run).
    Memory that a step frees is kept for the next.
    """
    keep_freed()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _refused(sentence: str) -> int:
    _say(sentence)
    return 2


def _say(sentence: str) -> None:
    """The last words, on stderr: a line of their own for a script, broken to its width on a terminal."""
    INTERRUPTS.decided()
    if sys.stderr is not None:
        seen = sys.stderr.isatty()
        said = wrapped(f"macrosplat: {shortened(sentence)}", width_of(sys.stderr) if seen else None)
        with contextlib.suppress(OSError, ValueError):
            print(said, file=sys.stderr, flush=True)


def _mute() -> None:
    """Whatever is still to be written to stdout goes nowhere."""
    if sys.stdout is not None:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _out_of_memory(error: Exception) -> bool:
    """Whether it is the machine that has no more of it; torch says so in words."""
    words = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in words or "can't allocate memory" in words


def _how_to_resume(command: object) -> str:
    """What to say after Ctrl-C, with the space before it."""
    match command:
        case Reconstruct(out=out) if not (out / "config.json").is_file():
            return f" Nothing was done yet: there is no run in {out}."
        case Reconstruct(out=out):
            return f" What was done is kept in {out}: `macrosplat continue {out}` (or --resume) goes on."
        case Compare(out=out) | Batch(out=out) | Demo(out=out):
            return f" What was done is kept in {out}: give the same command again to go on."
    return ""
