"""Tells the user's own code in a traceback from everyone else's."""

from __future__ import annotations

import ast
import functools
import os
import re
import sys
import sysconfig
import traceback
import warnings
from collections.abc import Container, Iterable, Iterator, Set
from importlib import metadata
from pathlib import Path

from smdecl.errors import KeyPath, ModelError, Problem

_PACKAGE = Path(__file__).resolve().parent
_INSTALLED = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
_SITES = ("site-packages", "dist-packages")
_NAMED = re.compile(r"\w+(Error|Exception|Interrupt|Exit): ")


def summary(error: BaseException) -> str:
    """Returns type and message of an error in a line, without the frames that AutoGraph and Keras put into messages."""
    kind = type(error).__name__
    lines = [line.strip() for line in _plain(str(error)).splitlines() if line.strip()]
    if lines and lines[0] == "in user code:":
        named = [index for index, line in enumerate(lines) if _NAMED.match(line)]
        lines = lines[named[-1] :] if named else lines[-1:]
        kind, _, lines[0] = lines[0].partition(": ")
    if len(lines) > 1 and lines[0].startswith("Exception encountered when calling"):
        del lines[0]
    return f"{kind}: {lines[0]}" if lines else kind


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[\d*m", "", text)


def traceback_text(error: BaseException) -> str:
    """Returns the traceback of an error, with only the frames that lie in the user's own files."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    message = _plain("".join(traceback.format_exception_only(type(error), error)))
    if not frames:
        return message
    return "Traceback (your code):\n" + "".join(traceback.format_list(frames)) + message


def _is_users(filename: str) -> bool:
    path = Path(filename)
    if path.is_relative_to(_PACKAGE) and path.name != "models.py":
        return False
    # AutoGraph runs functions from temporary copies, whose lines are not the user's.
    return (
        path.is_file() and not any(path.is_relative_to(place) for place in _INSTALLED) and "autograph" not in filename
    )


def source_line(frames: traceback.StackSummary) -> str | None:
    """Returns file and line of the innermost frame that lies in the user's own files."""
    own = [frame for frame in frames if _is_users(frame.filename)]
    return f"{os.path.relpath(own[-1].filename)}:{own[-1].lineno}" if own else None


def modules(root: Path) -> dict[str, Path]:
    """Returns the project's own modules that this process has imported, by their place in the project."""
    found = [vars(module).get("__file__") for module in [*sys.modules.values()] if hasattr(module, "__dict__")]
    files = {file for file in found if isinstance(file, str) and file.endswith(".py")}

    @functools.cache  # TensorFlow has thousands of modules, in far fewer directories
    def is_own(directory: str) -> bool:
        place = Path(directory).resolve()
        # A virtual environment often lies in the project.
        return place.is_relative_to(root) and not {*_SITES} & {*place.parts}

    paths = {Path(file).resolve() for file in files if is_own(file.rpartition("/")[0])}
    own = [path for path in paths if path.is_relative_to(root) and _is_users(str(path))]
    return {path.relative_to(root).as_posix(): path for path in sorted(own)}


def brought(before: Set[str]) -> set[str]:
    """Returns the names of the modules that this process has imported since it had those of some names.

    A further module of a package that it had already is none of them: TensorFlow imports some when it first needs them.
    """
    return {name for name in [*sys.modules] if name not in before and not {*_packages_of(name)} & before}


def outside(names: Iterable[str], root: Path) -> dict[str, Path]:
    """Returns those of some modules that lie neither in the project nor where packages are installed.

    They are called as they are imported, for their place is the machine's own.
    """
    found = {name: path for name in names if (path := _file(name)) and _is_users(str(path)) and _site(path) is None}
    return {
        _called(name, path): path
        for name, path in sorted(found.items())
        if not path.is_relative_to(_PACKAGE) and not path.resolve().is_relative_to(root)
    }


def _called(name: str, path: Path) -> str:
    parts = name.split(".")
    return "/".join([*(parts if path.stem == "__init__" else parts[:-1]), path.name])


def imported(files: Iterable[Path]) -> set[str]:
    """Returns the names in the import statements of some modules: what was there before is brought in by nobody."""
    nodes = [node for file in files if file.suffix == ".py" for node in _statements(_parse(file))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names & {*sys.modules}


def _parse(file: Path) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they were told when it was imported
        try:
            return ast.parse(file.read_bytes())
        except SyntaxError:  # somebody is writing it anew
            return ast.Module([], [])


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yields what holds statements, and each of them; `ast.walk` goes through all expressions too."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        parts = [getattr(node, field, None) for field in ("body", "orelse", "handlers", "finalbody", "cases")]
        pending += [child for part in parts if isinstance(part, list) for child in part]


def distributions(names: Iterable[str], known: Container[str] = ()) -> set[str]:
    """Returns the names of the installed distributions that some modules are of, those that are known left out.

    By the lists of their files: importlib.metadata.packages_distributions takes a tenth of a second.
    """
    wanted: dict[Path, set[bytes]] = {}
    for name in {next(_packages_of(name)) for name in names}:
        path = _file(name)
        if name not in known and path is not None and (site := _site(path)):
            wanted.setdefault(site, set()).add(os.fsencode(f"\n{path.relative_to(site)},"))
    found = set()
    for site, lines in wanted.items():
        for record in site.glob("*.dist-info/RECORD"):
            # TensorFlow's own list is longer than all others.
            content = b"" if record.parent.name.partition("-")[0] in known else b"\n" + record.read_bytes()
            if any(line in content for line in lines):
                found.add(metadata.PathDistribution(record.parent).metadata["Name"])
    return found


def _packages_of(name: str) -> Iterator[str]:
    """Yields the packages that a module is in, the outermost first, and itself; no namespace, which has no file."""
    parts = name.split(".")
    for package in (".".join(parts[:end]) for end in range(1, len(parts) + 1)):
        if package == name or _file(package):
            yield package


def _file(name: str) -> Path | None:
    file = getattr(sys.modules.get(name), "__file__", None)
    return Path(file) if isinstance(file, str) else None


def _site(path: Path) -> Path | None:
    return next((place for place in path.parents if place.name in _SITES), None)


def failure(path: KeyPath, doing: str, error: BaseException) -> ModelError:
    """Returns the error that says that the model's own code failed, with its part of the traceback."""
    return ModelError(Problem(path, f"{doing} failed: {summary(error)}"), traceback_text(error))
