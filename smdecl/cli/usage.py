"""The help of each verb: what it does, and examples. Its arguments come from its parser."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import NoReturn

from smdecl.errors import UsageError, closest, did_you_mean

_OVERVIEW = (
    "smdecl --help lists all verbs, the config groups and the whole config."
)


@dataclass(frozen=True)
class Usage:
    """A verb of the command line.

    Attributes:
        about: What it does, as `smdecl --help` says it too.
        examples: Command lines without `smdecl`.
        more: What else to know; may have several lines.
    """

    about: str
    examples: tuple[str, ...]
    more: str = ""


USAGES = {
    "export": Usage(
        "composes, checks, builds, traces, saves, inspects, verifies and publishes (default)",
        (
            "export model=adder signatures=scalar_float",
            "--config-dir conf release=net    # export is the default verb",
            "--config-dir conf -m release=net seed=1,2    # a sweep",
            "--config-dir conf -m release=net seed=1,2 --resume sweeps/.../sweep.json",
        ),
    ),
    "check": Usage(
        "composes and checks the config; does not import TensorFlow",
        (
            "check --config-dir conf release=net",
            "check --watch --config-dir conf release=net",
        ),
    ),
    "plan": Usage(
        "stops after tracing and prints what an export would save; writes nothing",
        (
            "plan model=adder signatures=scalar_float",
            "plan --watch --config-dir conf release=net",
        ),
    ),
    "inspect": Usage(
        "describes any SavedModel from its files: --format text, json or html",
        (
            "inspect exports/adder/1",
            "inspect exports/adder/1 --format html > adder.html",
        ),
    ),
    "verify": Usage(
        "compares a release with its manifest, and runs its examples in both loaders",
        (
            "verify exports/adder/1",
            "verify exports/adder/1 --key release.pub",
        ),
    ),
    "reproduce": Usage(
        "makes a release again from its manifest, and compares the bytes",
        (
            "reproduce exports/net/1",
            "reproduce exports/net/1 --config-dir conf release=net",
            "reproduce exports/net/1 --environment",
        ),
        "Exits with 4 if the bytes differ.",
    ),
    "diff": Usage(
        "compares two SavedModels, and reports whether a change breaks callers",
        (
            "diff exports/net/1 exports/net/2",
            "diff exports/net/1 exports/net/2 --exit-code",
        ),
    ),
    "init": Usage(
        "writes a new project that is ready to export",
        ("init mine", "init mine --schemas"),
    ),
}


class Parser(argparse.ArgumentParser):
    """Parses the arguments of a verb; raises its errors."""

    @classmethod
    def of(cls, verb: str, *, add_help: bool = True) -> Parser:
        """Returns a parser with the help of a verb, and no arguments yet."""
        usage = USAGES[verb]
        examples = [f"  smdecl {example}" for example in usage.examples]
        parts = [usage.more, "\n".join(["examples:", *examples])]
        return cls(
            prog=f"smdecl {verb}",
            allow_abbrev=False,
            description=f"{usage.about[0].upper()}{usage.about[1:]}.",
            epilog="\n\n".join(filter(None, parts)),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            add_help=add_help,
        )

    @classmethod
    def of_config(cls, verb: str) -> Parser:
        """Returns a parser for a verb that composes a config; `--help` is an argument of it."""
        parser = cls.of(verb, add_help=False)
        parser.usage = f"smdecl {verb} [key=value ...] [options]"
        parser.epilog = f"{parser.epilog}\n\n{_OVERVIEW}"
        if verb == "export":
            parser.prog = "smdecl"
        return parser

    def exit_with_help(self) -> NoReturn:
        """Prints the help and ends the program."""
        self.print_help()
        raise SystemExit(0)

    def error(self, message: str) -> NoReturn:
        """Raises what is wrong with a command line.

        Raises:
            UsageError: Always.
        """
        hint = f"see {self.prog} --help{self._guess(message)}"
        # The report of an error begins with the name of the program.
        where = "" if self.prog == "smdecl" else f"{self.prog}: "
        raise UsageError(f"{where}{message}; {hint}")

    def _guess(self, message: str) -> str:
        before, _, unknown = message.partition("unrecognized arguments: ")
        if before or not unknown:
            return ""
        word = unknown.split(maxsplit=1)[0].lstrip("-")
        # Without dashes, which would make all flags look alike.
        flags = {}
        for flag in self._option_string_actions:
            if flag.startswith("--"):
                flags[flag.lstrip("-")] = flag
        near = closest(word.partition("=")[0], flags)
        if near is not None:
            return did_you_mean(flags[near])
        return f"; an override has no dashes: {word}" if "=" in word else ""
