"""Importing the package: quick, without torch, and Numba's cache where the user's caches are."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import macrosplat


def python(code: str, **environment: str) -> str:
    """Run `code` in a fresh interpreter; what it printed."""
    env = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"} | environment
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    "module", ["macrosplat", "macrosplat.cli", "macrosplat.options.options", "macrosplat.support.progress"]
)
def test_what_the_command_line_needs_leaves_the_heavy_packages_alone(module):
    heavy = {"torch", "numba", "numpy", "pycolmap", "PIL"}
    loaded = python(f"import sys, {module}; print(*sys.modules)").split()
    assert heavy.isdisjoint(loaded)


def test_the_command_has_one_thread_of_blas():
    told = "print({one['num_threads'] for one in threadpool_info() if one['user_api'] == 'blas'})"
    libraries = "import numpy, scipy.linalg; from threadpoolctl import threadpool_info"
    assert python(f"from macrosplat.cli import own_process; own_process(); {libraries}; {told}") == "{1}"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries cannot be told")
def test_the_command_keeps_what_a_step_frees():
    faults = "resource.getrusage(resource.RUSAGE_SELF).ru_minflt"
    # Planes of a step, more than glibc by itself keeps; each page of them that comes anew is a fault.
    step = "planes = [np.ones(7 << 20, np.float32) for _ in range(6)]; del planes"
    counted = f"{step}; {step}; before = {faults}; {step}; print({faults} - before)"
    begin = "import resource; import numpy as np; from macrosplat.cli import own_process"
    assert int(python(f"{begin}; own_process(); {counted}")) < 1000
    assert int(python(f"{begin}; {counted}")) > 1000


def test_public_names_are_listed_and_an_unknown_one_is_an_attribute_error():
    assert macrosplat.Options().lens == "thin"
    assert issubclass(macrosplat.MacrosplatError, Exception)
    assert {"Options", "MacrosplatError", "reconstruct"} <= set(dir(macrosplat))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = macrosplat.no_such_name


def test_every_public_name_can_be_had():
    assert all(callable(getattr(macrosplat, name)) for name in macrosplat._HOMES)


KERNEL = """
from macrosplat.support.numba import njit

@njit
def double(x):
    return 2 * x
"""


@pytest.mark.parametrize("before", ["", "import numba; "])
def test_compiled_kernels_are_cached_in_the_users_cache_folder(before, tmp_path: Path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "kernel.py").write_text(KERNEL)
    call = (
        f"{before}import sys; sys.path.insert(0, {str(tmp_path / 'code')!r}); import kernel; print(kernel.double(21))"
    )
    assert python(call, XDG_CACHE_HOME=str(tmp_path / "cache"), PYTHONDONTWRITEBYTECODE="1") == "42"
    assert list((tmp_path / "cache" / "macrosplat").rglob("*.nbi"))
    assert [path.name for path in (tmp_path / "code").rglob("*")] == ["kernel.py"]


LOOP = """
from macrosplat.support.numba import njit
from macrosplat.support.spread import spread, team

@njit(inner=True)
def halved(x):
    return x / 3

@njit(part=True)
def some(begin, end, x):
    for i in range(begin, end):
        x[i] = halved(x[i])

@njit
def loop(team, count, *arguments):
    spread(some, team, count, arguments)
"""


def test_a_kernel_holds_its_own_copies_of_what_it_calls(tmp_path: Path):
    """Numba's weak copies are replaced by whichever was there first, which the cache changes: and with it the bits."""
    (tmp_path / "loops.py").write_text(LOOP)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import loops, numpy as np; "
        "loops.loop(loops.team(), 8, np.ones(8)); "
        "(text,) = loops.loop.inspect_llvm().values(); print('define internal' in text, 'define linkonce' in text)"
    )
    assert python(code, XDG_CACHE_HOME=str(tmp_path)) == "True False"


def test_kill_is_answered_as_before_the_import():
    """pycolmap puts a handler of its own in place."""
    code = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.default_int_handler)
import macrosplat.cameras.colmap
try:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(9)
except KeyboardInterrupt:
    print("as before")
"""
    assert python(code) == "as before"


LIBRARY = ["macrosplat", "macrosplat.pipeline", "macrosplat.loaded", "macrosplat.cameras.sfm.solve", "macrosplat.stack"]


@pytest.mark.parametrize("module", LIBRARY)
def test_an_import_changes_nothing_of_the_program_that_does_it(module):
    """Environment, signal handlers and torch's threads are the host program's; so is Numba's cache folder."""
    code = f"""
import importlib, os, signal, threading
import numba, torch
from numba.core import config
numba.get_num_threads()  # starts its pool, which sets OpenMP's threads, torch's too
torch.set_num_threads(1)

def state():
    handlers = [signal.getsignal(one) for one in sorted(signal.valid_signals())]
    return dict(os.environ), handlers, torch.get_num_threads(), config.CACHE_DIR, numba.get_num_threads()

before = state()
importlib.import_module({module!r})
print(before == state(), threading.active_count())
"""
    assert python(code) == "True 1"


@pytest.mark.parametrize("module", LIBRARY)
def test_an_import_brings_neither_the_evaluation_nor_optional_packages(module):
    optional = (
        "flip_evaluator viser skimage trimesh imageio_ffmpeg rawpy pillow_heif spandrel einops safetensors triton"
    )
    code = f"""
import sys, {module}
wanted = set({optional.split()!r})
print(*sorted(name for name in sys.modules if name in wanted or name.startswith("macrosplat.evaluate")))
"""
    assert python(code) == ""
