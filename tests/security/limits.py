"""Runs calls in children with little processor time and memory: a clean process that forks one for each.

An attack that is not refused ends its child, and no other.
"""

import json
import os
import pickle
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

SECONDS = 10  # of the processor, for what takes a tenth of one
MEMORY = 1 << 30  # bytes, beside those that the imports take
_REFUSED, _BUG = 3, 4


@dataclass(frozen=True)
class Outcome:
    """How a call ended: what it returned in text, or the refusal with its exit code."""

    text: str
    exit_code: int


class Limited:
    """A process that runs calls in children of its own."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.security.limits"]
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def __call__(self, verb: str, *paths: Path) -> Outcome:
        """Runs a verb of `VERBS`; asserts that it stays in its limits and shows no traceback."""
        self._process.stdin.write(json.dumps([verb, *map(str, paths)]).encode() + b"\n")
        self._process.stdin.flush()
        code, text = json.loads(self._process.stdout.readline())
        assert code >= 0, f"ended by signal {-code} at its limits"
        assert code != _BUG, text
        return Outcome(text, 0 if code == 0 else int(text.partition("\n")[0]))

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def _inspect(directory: Path) -> str:
    from smdecl.cli.output import inspect_output
    from smdecl.release import description
    from smdecl.savedmodel import inspection
    from smdecl.savedmodel.audits import outside_ops

    found = description.describe(directory)
    outside_ops.find(inspection.read(directory))
    inspect_output.html(directory, found)
    return inspect_output.to_json(directory, found) and inspect_output.text(directory, found)


def _diff(before: Path, after: Path) -> str:
    from smdecl.cli.output import rendering
    from smdecl.release import diffing

    found = diffing.diff(before, after)
    return rendering.diff_json(found) and rendering.diff_text(found)


def _manifest(directory: Path) -> str:
    from smdecl.release import comparison, manifest

    problems = comparison.compare(directory, manifest.read(directory))
    return "\n".join(map(str, problems))


def _signature(directory: Path) -> str:
    from smdecl.release import signing

    signing.verify(directory, directory.parent / "key.pem")
    return "signed"


def _examples(directory: Path) -> str:
    from smdecl.verification import stored_examples

    return repr(stored_examples.read(directory))


def _checkpoint(prefix: Path) -> str:
    from smdecl.savedmodel.checkpoint_files import checkpoint

    return "\n".join(tensor.name for tensor in checkpoint.read(prefix))


def _compose(directory: Path, *overrides: Path) -> str:
    from smdecl.config import compose

    found = compose.compose(list(map(str, overrides)), directories=[directory])
    return json.dumps(found.values)


def _sweep(*overrides: Path) -> str:
    from smdecl.pipeline.sweeping import sweep_overrides

    return json.dumps(sweep_overrides.expand(list(map(str, overrides))))


VERBS = {
    "compose": _compose,
    "sweep": _sweep,
    "inspect": _inspect,
    "diff": _diff,
    "manifest": _manifest,
    "signature": _signature,
    "examples": _examples,
    "checkpoint": _checkpoint,
}


def _limit() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(verb: str, paths: list[str]) -> tuple[int, str]:
    import traceback

    from smdecl.errors import SmdeclError

    try:
        return 0, VERBS[verb](*map(Path, paths))
    except SmdeclError as error:
        code = _BUG if error.exit_code == 1 else _REFUSED
        return code, f"{error.exit_code}\n{error}"
    except BaseException:
        return _BUG, traceback.format_exc()


def _child(write_end: int, verb: str, paths: list[str]) -> None:
    _limit()
    code, text = _answer(verb, paths)
    with os.fdopen(write_end, "wb") as pipe:
        pickle.dump((code, text), pipe)
    os._exit(0)


def _serve() -> None:
    # What the verbs import, so that no child does.
    from smdecl.verification import stored_examples  # noqa: F401

    for line in sys.stdin:
        verb, *paths = json.loads(line)
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            _child(write_end, verb, paths)
        os.close(write_end)
        with os.fdopen(read_end, "rb") as pipe:
            answer = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        code, text = (
            pickle.loads(answer) if status == 0 and answer else (status or _BUG, "no answer")
        )
        print(json.dumps([code, text]), flush=True)


if __name__ == "__main__":
    _serve()
