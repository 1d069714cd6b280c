"""What is measured: each case a row, each beside what its users would run instead.

A command runs in an empty directory of its case. It writes below `out`, which is removed before
every run. `made` holds what the case has prepared.
"""

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent / "scripts"
RECORD = "record.jsonl"
# What a script that measures a part of its own run writes.
MEASURED = "measured.json"
_SMDECL = (sys.executable, "-m", "smdecl")
_LAUNCH = "hydra/launcher=joblib"
_MOST_OF_HYDRA = 32  # variants; more take minutes and show nothing new
_LARGEST_SAMPLE = 8  # scripts of a loop that are run; the rest is extrapolated


@dataclass(frozen=True)
class Command:
    """Something to measure.

    Attributes:
        label: What it is called in the table.
        arguments: To run.
        scale: What its seconds are multiplied by, where it is a sample of something larger.
    """

    label: str
    arguments: tuple[str, ...]
    scale: float = 1


@dataclass(frozen=True)
class Case:
    """A row of the table.

    Attributes:
        name: To select it by.
        title: What the table calls it.
        command: Of smdecl.
        beside: What its users would run instead; the first is what ratios refer to.
        prepare: What makes the files that the commands read.
        needs: A package without which the case is left out.
    """

    name: str
    title: str
    command: Command
    beside: tuple[Command, ...] = ()
    prepare: tuple[Command, ...] = ()
    needs: str | None = None

    @property
    def is_installed(self) -> bool:
        return self.needs is None or importlib.util.find_spec(self.needs) is not None


@dataclass(frozen=True)
class Growth:
    """How the CPU time of an export grows with the size of something.

    Attributes:
        name: To select it by.
        sizes: Three, each the same multiple of the one before it.
        command: From a size to what is measured.
    """

    name: str
    sizes: tuple[int, int, int]
    command: Callable[[int], Command]


def script(name: str, *arguments: object, label: str = "plain script") -> Command:
    path = str(SCRIPTS / f"{name}.py")
    return Command(label, (sys.executable, path, *map(str, arguments)))


def smdecl(*arguments: str) -> Command:
    return Command("smdecl", (*_SMDECL, *arguments))


def export(*overrides: str) -> Command:
    return smdecl(*overrides, "export_dir=out/smdecl", f"publish.run_record={RECORD}")


def _module(module: str, name: str, argument: str) -> Command:
    return export("--trust", module, f"model._target_={module}.{name}", f"+model.{argument}")


def _variables(count: int) -> Command:
    return _module("variables", "Variables", f"count={count}")


def _big(mebibytes: int) -> Command:
    return _module("big", "Big", f"mebibytes={mebibytes}")


def _keras(name: str) -> Command:
    target = f"model._target_=keras.applications.{name}"
    return export("--trust", "keras", target, "+model.weights=null", "signatures=none")


def _sweep(variants: int) -> Command:
    factors = ",".join(map(str, range(variants)))
    return smdecl("-m", "model=scaler", f"model.factor={factors}", "export_dir=out/smdecl")


def _signatures(count: int) -> Command:
    one = "{method: add, inputs: {x: {shape: [], dtype: float32}}}"
    return export("signatures=none", *(f"+signatures.s{number}={one}" for number in range(count)))


def _examples(count: int) -> Command:
    return export(f"verify.generate={count}")


def _loop(variants: int) -> Command:
    """Returns the loop of plain scripts, or a sample of it whose seconds are scaled."""
    sample = min(variants, _LARGEST_SAMPLE)
    path = SCRIPTS / "scaler.py"
    loop = f'for n in $(seq {sample}); do "$0" "{path}" $n out/plain/$n || exit; done'
    label = f"{variants} plain scripts"
    if sample < variants:
        label += f" ({sample} run, scaled)"
    return Command(label, ("bash", "-c", loop, sys.executable), variants / sample)


def _hydra(variants: int, launcher: str, *overrides: str) -> Command:
    factors = ",".join(map(str, range(variants)))
    sweep = ("-m", f"factor={factors}", "hydra.sweep.dir=out/multirun", *overrides)
    return script("hydra_scaler", *sweep, label=f"Hydra's {launcher} launcher")


def _of_sweep(variants: int) -> Case:
    beside = [_loop(variants)]
    if variants <= _MOST_OF_HYDRA:
        beside.append(_hydra(variants, "basic"))
        beside.append(_hydra(variants, "joblib", _LAUNCH, "hydra.launcher.n_jobs=2"))
    title = f"sweep of {variants}"
    return Case(f"sweep-{variants}", title, _sweep(variants), tuple(beside))


def _of_keras(name: str) -> Case:
    return Case(name.lower(), name, _keras(name), (script(name.lower(), "out/plain"),))


def _of_variables(count: int) -> Case:
    beside = (script("variables", count, "out/plain"),)
    return Case(f"variables-{count}", f"{count:,} variables", _variables(count), beside)


def _of_bytes(gibibytes: float) -> Case:
    mebibytes = int(gibibytes * 1024)
    beside = (script("big", mebibytes, "out/plain"),)
    return Case(f"gib-{gibibytes:g}", f"{gibibytes:g} GiB of variables", _big(mebibytes), beside)


def _release(seed: int) -> Command:
    overrides = _keras("ResNet50").arguments[len(_SMDECL) :]
    return smdecl(*overrides, "export_dir=made", f"seed={seed}")


def _watch(verb: str) -> Case:
    title = f"{verb} --watch, from a save to the answer"
    arguments = (verb, "model=scaler", "export_dir=out/smdecl")
    once = Command(f"smdecl {verb}", (*_SMDECL, *arguments))
    return Case(f"watch-{verb}", title, script("watch", verb, label="smdecl"), (once,))


_RELEASES = (_release(0), _release(1))
_BERT = export("--trust", "bert", "model._target_=bert.make", "signatures=none")
_CLI = "tensorflow.python.tools.saved_model_cli"
_SHOW = Command(
    "saved_model_cli show --all",
    (sys.executable, "-m", _CLI, "show", "--all", "--dir", "made/1"),
)
_HYDRA = Command('python -c "import hydra"', (sys.executable, "-c", "import hydra"))
_LOAD = script("load", "made/1", label="plain script: load")

CASES = (
    Case("adder", "adder", export(), (script("adder", "out/plain"),)),
    _of_variables(500),
    _of_variables(2000),
    _of_keras("MobileNetV2"),
    _of_keras("ResNet50"),
    _of_keras("EfficientNetB0"),
    _of_keras("EfficientNetB4"),
    Case("bert", "KerasHub BERT, 115 MB", _BERT, (script("bert", "out/plain"),), (), "keras_hub"),
    _of_bytes(0.5),
    _of_bytes(2),
    _of_sweep(8),
    _of_sweep(32),
    _of_sweep(128),
    Case(
        "second-export",
        "second smdecl.export in one process",
        script("second_export", label="smdecl"),
        (script("adder", "out/plain"), export()),
    ),
    _watch("check"),
    _watch("plan"),
    _watch("export"),
    Case("check", "check", smdecl("check"), (_HYDRA,)),
    Case("inspect", "inspect, 100 MB", smdecl("inspect", "made/1"), (_SHOW,), _RELEASES[:1]),
    Case("diff", "diff, twice 100 MB", smdecl("diff", "made/1", "made/2"), (), _RELEASES),
    Case("verify", "verify, 100 MB", smdecl("verify", "made/1"), (_LOAD,), _RELEASES[:1]),
)
GROWTHS = (
    Growth("variants", (8, 32, 128), _sweep),
    Growth("signatures", (4, 16, 64), _signatures),
    Growth("variables", (125, 500, 2000), _variables),
    Growth("mebibytes", (128, 512, 2048), _big),
    Growth("examples", (10, 100, 1000), _examples),
)
