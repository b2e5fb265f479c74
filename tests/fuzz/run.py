"""Any schema, any data, any settings, through penstock.preview: no crash, and every message has a reader.

    python tests/fuzz/run.py --seconds 60        all targets; a new seed each time
    python tests/fuzz/run.py --only csv,avro     targets whose name holds one of the words
    python tests/fuzz/run.py --replay FILE …     inputs that were found before, one after another

First every file of corpus/ is tried, then inputs that Hypothesis draws (tests/strategies.py) and, one in four, batches
of the corpus with other settings. What counts: the process ends (a signal, a sanitizer's report: run it on a core built
with sanitizers, as tools/test --sanitize does), an exception that is not a PenstockError, or a reader's refusal. The
smallest input that was found goes to corpus/ and stays there for good once what it found is mended. Exit status 1 then.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pyarrow as pa
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import strategies
from fuzz.cases import Case, load
from fuzz.targets import CHANGES, TARGETS
from penstock import ConfigError, EncodeError, PenstockError, SchemaError, preview
from penstock.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Sequence

CORPUS = Path(__file__).resolve().parent / "corpus"
FOUND = 3  # exit status of a child that found something; every other one but 0 is a crash
SHRINK_SECS = 20.0
IDENTIFIERS = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,5}\Z")
STRING_KEYS = st.one_of(strategies.STRINGS, strategies.INTEGERS)
AT_ONCE = 6
ALWAYS = 20  # so many refusals and nothing else are no accident


class Enough(BaseException):
    """The time is over; Hypothesis lets it through."""


# ---- one input ------------------------------------------------------------------------------------------------------


def attempt(case: Case) -> str:
    """Write and read one case; "read", or why there was nothing to read. Any other exception is a find."""
    while True:
        messages = []
        stream = pa.RecordBatchReader.from_batches(case.schema, case.batches)
        try:
            messages.extend(preview(stream, topic="t", **case.settings))
        except SchemaError as error:
            column = error.column
            if column not in case.schema.names or column in CHANGES or len(case.schema.names) == 1:
                return "refused"
            case = case.without(column)  # the others may have a form
            continue
        except ConfigError:
            return "refused"
        except EncodeError:
            TARGETS[case.target].read(case, messages, None)
            return "a value without a form"
        except InternalError as error:
            raise AssertionError(f"InternalError: {error}") from error
        TARGETS[case.target].read(case, messages, rows_of(case))
        return "read"


def rows_of(case: Case) -> int:
    """Return how many rows there are, each as often as its weight says."""
    if "#weight" in case.schema.names:
        return sum(abs(weight) for batch in case.batches for weight in batch.column("#weight").to_pylist())
    return sum(batch.num_rows for batch in case.batches)


@st.composite
def rows(draw: st.DrawFn, kept: Sequence[Case], *, identifiers: bool) -> list[pa.RecordBatch]:
    """Return batches: new ones or, one time in four, those of a case that was kept, less some of the first rows."""
    if kept and draw(st.integers(0, 3)) == 3:
        batches = draw(st.sampled_from(kept)).batches
        names = [name for name in batches[0].schema.names if name not in CHANGES]
        start = draw(st.integers(0, 2))
        return [batch.select(names).slice(min(start, batch.num_rows)) for batch in batches]
    names, keys = (IDENTIFIERS, STRING_KEYS) if identifiers else (strategies.NAMES, strategies.KEYS)
    with mock.patch.multiple(strategies, NAMES=names, KEYS=keys):
        return draw(strategies.batches())


@st.composite
def changed(draw: st.DrawFn, batches: list[pa.RecordBatch]) -> tuple[list[pa.RecordBatch], dict[str, str]]:
    """Return the batches with or without a column that says what each row is, and the setting that names it."""
    name = draw(st.sampled_from(["", "", *CHANGES]))
    if not name:
        return batches, {}
    kind, values = CHANGES[name]
    columns = [pa.array([draw(values) for _ in range(batch.num_rows)], kind) for batch in batches]
    added = [batch.append_column(name, column) for batch, column in zip(batches, columns, strict=True)]
    return added, {f"{name[1:]}_column": name}


@st.composite
def fields(draw: st.DrawFn, names: Sequence[str]) -> dict[str, Any]:
    """Return settings that take a message's key, headers, timestamp or null value from columns, or none of them."""
    column = st.sampled_from(names)
    several = st.lists(column, unique=True, min_size=1, max_size=2)
    key = st.fixed_dictionaries(
        {"key": several}, optional={"key_format": st.sampled_from(["json", "string", "bytes", "big_endian"])}
    )
    others = st.fixed_dictionaries(
        {},
        optional={
            "header_columns": several,
            "headers_column": column,
            "timestamp_column": column,
            "tombstone_column": column,
            "key_in_value": st.booleans(),
        },
    )
    return draw(st.one_of(st.just({}), key, st.builds(lambda one, more: {**one, **more}, key, others), others))


@st.composite
def cases(draw: st.DrawFn, names: Sequence[str], kept: Sequence[Case]) -> list[Case]:
    """Return the same rows for some of the targets: drawing them is what takes the time."""
    identifiers = draw(st.booleans()) or all(TARGETS[name].identifiers for name in names)
    batches = draw(rows(kept, identifiers=identifiers))
    fit = [name for name in names if identifiers or not TARGETS[name].identifiers]
    chosen = draw(st.lists(st.sampled_from(fit), unique=True, min_size=1, max_size=AT_ONCE))
    made = []
    for name in chosen:
        target = TARGETS[name]
        given_batches, column = draw(changed(batches)) if target.changes else (batches, {})
        chosen_fields = draw(fields(batches[0].schema.names)) if target.fields and batches[0].schema.names else {}
        made.append(Case(name, {**draw(target.settings), **column, **chosen_fields}, given_batches))
    return made


# ---- many inputs ----------------------------------------------------------------------------------------------------


class Child:
    """The process that tries inputs; `scratch` always holds the one being tried, for when it takes us down."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.scratch = Path(options.scratch)
        self.deadline = time.monotonic() + options.seconds
        self.names = options.names
        self.seed = options.seed
        self.outcomes: dict[str, Counter[str]] = {name: Counter() for name in TARGETS}
        self.found: dict[str, tuple[str, str]] = {}

    def run(self) -> int:
        kept = [load(path.read_text()) for path in sorted(CORPUS.glob("*.json"))]
        for case in kept:
            if case.target in self.names:
                self.guarded(case)
        number = self.seed
        while time.monotonic() < self.deadline and (names := [n for n in self.names if n not in self.found]):
            self.round(number, names, kept)
            number += 1
        for name in self.names:
            outcomes = self.outcomes[name]
            print(f"  {name:20} " + ", ".join(f"{count} {what}" for what, count in outcomes.most_common()))
            if outcomes["read"] == 0 and outcomes["refused"] > ALWAYS:
                self.found.setdefault(name, ("", "all inputs were refused: this target is not tried at all"))
        for name, (text, why) in self.found.items():
            print(f"\n{name}: {f'kept as {keep(text)}' if text else 'FAILED'}\n{why}")
        return FOUND if self.found else 0

    def round(self, number: int, names: list[str], kept: list[Case]) -> None:
        """Draw a few dozen inputs; the smallest of one target that fails is kept."""
        stop = [self.deadline]

        @seed(number)
        @settings(
            max_examples=40,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        )
        @given(drawn=cases(names, kept))
        def one(drawn: list[Case]) -> None:
            if time.monotonic() > stop[0]:
                raise Enough
            tried = [self.guarded(case) for case in drawn]
            if not all(tried):
                stop[0] = min(stop[0], time.monotonic() + SHRINK_SECS)
                raise AssertionError

        try:
            with open(os.devnull, "w") as quiet, mock.patch("sys.stdout", quiet):  # noqa: PTH123
                one()
        except Enough:
            return
        except Exception as error:  # our own AssertionError, or Hypothesis on an input that is flaky
            if not self.found:
                raise RuntimeError("the fuzzer itself failed") from error

    def guarded(self, case: Case) -> bool:
        """Try one input; False and noted down when it is a find."""
        text = case.dump()
        self.scratch.write_text(text)
        try:
            self.outcomes[case.target][attempt(case)] += 1
        except (Exception, PenstockError) as error:  # noqa: BLE001 - whatever it is, it is a find
            why = "".join(traceback.format_exception(error)[-3:]).strip()[-2000:]
            if case.target not in self.found or len(text) < len(self.found[case.target][0]):
                self.found[case.target] = (text, why)
            return False
        return True


def keep(text: str) -> Path:
    """Put an input into the corpus; its path."""
    name = load(text).target.replace(" ", "-")
    path = CORPUS / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:10]}.json"
    CORPUS.mkdir(exist_ok=True)
    path.write_text(text)
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def campaign(options: argparse.Namespace) -> int:
    """Run children until the time is over; one that dies is replaced, without the target that it died of."""
    end = time.monotonic() + options.seconds
    names = [name for name in TARGETS if any(word in name for word in options.only.split(","))]
    number = random.SystemRandom().randrange(1 << 30) if options.seed is None else options.seed
    print(f"fuzzing {', '.join(names)} for {options.seconds:.0f} s, seed {number}", flush=True)
    failed = False
    with tempfile.TemporaryDirectory(prefix="penstock-fuzz-") as directory:
        scratch = Path(directory, "case.json")
        while names and (left := end - time.monotonic()) > 0:
            words = [f"--seconds={left}", f"--seed={number}", f"--scratch={scratch}", f"--only={'|'.join(names)}"]
            done = subprocess.run(
                [sys.executable, __file__, "--child", *words], stderr=subprocess.PIPE, text=True, check=False
            )
            if done.returncode in {0, FOUND}:
                return 1 if failed or done.returncode else 0
            failed = True
            print(done.stderr[-6000:])
            if not scratch.exists():
                return 1
            text = scratch.read_text()
            target = load(text).target
            print(f"\n{target}: exit status {done.returncode}; the input is kept as {keep(text)}", flush=True)
            names.remove(target)
            number += 1
    return 1 if failed else 0


def replay(paths: Sequence[str]) -> int:
    """Try files of the corpus in this process, and say what comes of each."""
    failed = 0
    for path in paths:
        case = load(Path(path).read_text())
        print(f"{path}: {case.target} {case.settings}\n{case.schema}")
        try:
            print("  ->", attempt(case))
        except Exception:  # noqa: BLE001 - what it found
            traceback.print_exc()
            failed = 1
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--only", default="", help="words, separated by commas")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--replay", nargs="+", metavar="FILE")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--scratch", help=argparse.SUPPRESS)
    options: Any = parser.parse_args()
    if options.replay:
        return replay(options.replay)
    if not options.child:
        return campaign(options)
    options.names = options.only.split("|")
    return Child(options).run()


if __name__ == "__main__":
    sys.exit(main())
