"""An interrupt while Hydra composes ends the call, even if Hydra's cleanup fails because of it."""

import signal
import subprocess
import sys

import pytest
import smdecl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf.base import Container
from smdecl.errors import ConfigError

INTERRUPTED = """
import signal, sys
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from smdecl.cli import main

def interrupted(*_, **__):
    try:
        signal.raise_signal(signal.{name})
    finally:
        raise AttributeError("'NoneType' object has no attribute '_invalidate_flags_cache'")

ConfigLoaderImpl._compose_config_from_defaults_list = interrupted
sys.exit(main.main(["check", *sys.argv[1:]]))
"""


def interrupted(*_, **__):
    try:
        raise KeyboardInterrupt
    finally:
        raise AttributeError("'NoneType' object has no attribute '_invalidate_flags_cache'")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("SIGTERM", []), pytest.param("SIGINT", ["-m", "seed=1,2"], marks=pytest.mark.slow)],
)
def test_the_process_ends_by_the_signal_and_reports_no_error(tmp_path, name, arguments):
    process = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(name=name), *arguments],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip

    assert (process.stdout, process.stderr) == ("", "")
    assert process.returncode == -getattr(signal, name)


@pytest.mark.parametrize(
    ("owner", "method"),
    [
        (ConfigLoaderImpl, "_compose_config_from_defaults_list"),
        (Container, "_resolve_interpolation_from_parse_tree"),
    ],
    ids=["composing", "resolving"],
)
def test_a_program_gets_the_interrupt_itself(monkeypatch, owner, method):
    monkeypatch.setattr(owner, method, interrupted)

    with pytest.raises(KeyboardInterrupt):
        smdecl.compose(["model=adder"])


def test_a_program_that_was_interrupted_before_gets_the_errors_of_its_config():
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        with pytest.raises(ConfigError):
            smdecl.compose(["model=nothing"])
