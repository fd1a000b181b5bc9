"""The page's bundle: made of the sources as they are, by their content; a build to be handed on has one."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("hatchling")


@pytest.fixture
def hook(tmp_path, monkeypatch):
    """hatch_build.py in a project of its own, whose npm writes down that it was called."""
    spec = importlib.util.spec_from_file_location("hatch_build", Path(__file__).parents[1] / "hatch_build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "web").mkdir()
    module.WEB.relative_to(module.ROOT)
    folder = tmp_path / module.WEB.relative_to(module.ROOT)
    folder.mkdir(parents=True)
    for name in ("ROOT", "WEB", "BUNDLE", "MADE_OF"):
        monkeypatch.setattr(module, name, tmp_path / getattr(module, name).relative_to(module.ROOT))
    monkeypatch.setattr(module, "SOURCES", [tmp_path / "web" / source.name for source in module.SOURCES])
    for source in module.SOURCES:
        source.write_text(f"// {source.name}\n")
    calls: list[list[str]] = []

    def run(words, **_):
        calls.append(words[-1:])
        if getattr(module, "offline", False):
            raise subprocess.CalledProcessError(1, "npm ci")
        return subprocess.CompletedProcess(words, 0, b"bundled")

    monkeypatch.setattr(module.subprocess, "run", run)
    module.calls = calls
    return module


def built(hook, version: str) -> list[str]:
    data: dict = {}
    bundle = object.__new__(hook.Bundle)
    hook.Bundle.initialize(bundle, version, data)
    return data["artifacts"]


def test_content_decides_and_not_the_time_of_the_files(hook):
    artifacts = built(hook, "standard")
    assert len(hook.calls) == 2 and len(artifacts) == 2 and hook.is_current()
    for source in hook.SOURCES:  # as a checkout leaves them
        os.utime(source)
    assert built(hook, "standard") == artifacts and len(hook.calls) == 2
    assert hook.Bundle.dependencies(object.__new__(hook.Bundle)) == []
    hook.SOURCES[0].write_text("// another page\n")
    os.utime(hook.SOURCES[0], (0, 0))  # older than the bundle
    assert not hook.is_current() and hook.Bundle.dependencies(object.__new__(hook.Bundle)) == [hook.NODE]
    built(hook, "standard")
    assert len(hook.calls) == 4


def test_line_ends_of_a_checkout_do_not_count(hook):
    built(hook, "standard")
    hook.SOURCES[0].write_bytes(hook.SOURCES[0].read_bytes().replace(b"\n", b"\r\n"))
    assert hook.is_current()


def test_without_a_registry_a_release_fails_and_a_developer_is_warned(hook, capsys):
    hook.offline = True
    with pytest.raises(RuntimeError, match="could not be bundled"):
        built(hook, "standard")
    assert built(hook, "editable") == [] and "no index.html" in capsys.readouterr().err


def test_a_bundle_of_other_sources_is_not_shipped(hook):
    built(hook, "standard")
    hook.SOURCES[0].write_text("// another page\n")
    hook.offline = True
    assert built(hook, "editable") == []


def test_the_types_of_the_package_are_announced():
    import macrosplat

    assert (Path(macrosplat.__file__).parent / "py.typed").is_file()
    assert sys.version_info >= (3, 11)
