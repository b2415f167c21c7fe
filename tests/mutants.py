"""Mutation testing: find small changes of the core modules that no test detects.

    python -m tests.mutants [MODULE]... [--sample N] [--seed N] [--minutes N] [--processes N]

Each mutant is one change at one place: of a comparison, an operator, a constant or a condition, or a removed call. It
is written to a copy of the repository, never to the working tree, and the tests of its module run there until one
fails. A mutant is killed if a test fails, or if the tests take far longer than without it. A mutant that survives is a
fault that the tests do not detect, or an equivalent change; equivalent mutants are listed with the reason in
mutants.toml.
"""

from __future__ import annotations

import argparse
import ast
import compileall
import copy
import os
import queue
import random
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
EQUIVALENTS = Path(__file__).with_name("mutants.toml")
RUNTIME, EXPORT, TRAIN = "runtime/seisedge/runtime", "export/seisedge/export", "train/seisedge/train"
# module → its files or folders, and the tests that cover it, the fastest first
MODULES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "timeline": (
        (f"{RUNTIME}/timeline/timeline.py",),
        (
            "tests/runtime/timeline/test_timeline.py",
            "tests/runtime/station/test_channels.py",
            "tests/runtime/station/test_triaxial.py",
        ),
    ),
    "trigger": ((f"{RUNTIME}/detection/trigger.py",), ("tests/runtime/detection/test_trigger.py",)),
    "triggered": (
        tuple(f"{RUNTIME}/station/{name}.py" for name in ("triggered", "triggered_event", "event_estimator")),
        tuple(f"tests/runtime/station/test_{name}.py" for name in ("event_schedule", "event_estimator", "triggered")),
    ),
    "onset_detector": (
        (
            f"{RUNTIME}/inference/onset_detector.py",
            f"{RUNTIME}/detection/picking.py",
            f"{RUNTIME}/station/hop_lines.py",
        ),
        (
            "tests/runtime/inference/test_onset_detector.py",
            "tests/runtime/detection/test_picking.py",
            "tests/runtime/station/test_continuous.py",
        ),
    ),
    "journal": (
        tuple(
            f"{RUNTIME}/journal/{name}.py"
            for name in ("journal", "store", "outbox", "gaps", "points", "database", "folder_lock", "storage_clock")
        ),
        tuple(
            f"tests/runtime/journal/test_{name}.py"
            for name in ("journal", "store", "outbox", "gaps", "points", "database", "folder_lock", "emitted")
        ),
    ),
    "soundness": (
        (f"{RUNTIME}/detection/soundness.py",),
        ("tests/runtime/detection/test_soundness.py", "tests/train/archive/test_same_mask.py"),
    ),
    "estimate": ((f"{RUNTIME}/inference/estimate.py",), ("tests/runtime/inference/test_estimate.py",)),
    "windows": ((f"{RUNTIME}/inference/windows.py",), ("tests/runtime/inference/test_windows.py",)),
    "gate": (
        (f"{EXPORT}/gate.py", f"{EXPORT}/gate_windows.py"),
        ("tests/export/test_gate.py", "tests/export/test_gate_windows.py"),
    ),
    "prune": (
        (f"{EXPORT}/prune",),
        ("tests/export/test_select.py", "tests/export/test_prune.py", "tests/export/test_prune_run.py"),
    ),
    "quantize": (
        (f"{EXPORT}/quantize.py", f"{EXPORT}/int8.py"),
        ("tests/export/test_quantize.py", "tests/export/test_int8.py", "tests/export/commands/test_quantize.py"),
    ),
    "split": ((f"{TRAIN}/dataset/split.py",), ("tests/train/dataset/test_split.py",)),
    "holdout": (
        (f"{TRAIN}/dataset/holdout.py",),
        ("tests/train/dataset/test_holdout.py",),
    ),
}
COPIED = ("runtime", "export", "train", "tests")  # the rest of the tree is linked
PATIENCE = 5  # a mutant counts as killed after this many times the normal test time, plus GRACE_S
GRACE_S = 30.0
LONGEST_TEXT = 90

OPPOSITE: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.And: (ast.Or,), ast.Or: (ast.And,),
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div,), ast.Div: (ast.Mult,), ast.MatMult: (),
    ast.FloorDiv: (ast.Mult,), ast.Mod: (ast.Mult,), ast.Pow: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,), ast.BitOr: (ast.BitAnd,), ast.BitXor: (ast.BitAnd,),
    ast.LShift: (ast.RShift,), ast.RShift: (ast.LShift,),
}  # fmt: skip
PAIRS = (("min", "max"), ("any", "all"), ("floor", "ceil"), ("argmin", "argmax"), ("minimum", "maximum"))
SWAPS = {a: b for pair in PAIRS for a, b in (pair, pair[::-1])}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: `source` is the whole changed file; `change` reads "before -> after"."""

    module: str
    path: str
    line: int
    text: str  # of the line, stripped
    change: str
    source: str = field(repr=False)

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.change}"


def mutants_of(module: str, path: str, source: str) -> Iterator[Mutant]:
    """All mutants of a file. Docstrings, annotations, decorators, asserts and log lines are not changed."""
    lines = source.splitlines()
    tree = ast.parse(source)
    for number, node in enumerate(_nodes(tree)):
        for variant in range(len(_variants(node))):
            changed = copy.deepcopy(tree)
            target = next(x for k, x in enumerate(_nodes(changed)) if k == number)
            before = _short(target)
            replacement = _variants(target)[variant]
            _replace(changed, target, replacement)
            ast.fix_missing_locations(changed)
            text = lines[node.lineno - 1].strip()
            yield Mutant(module, path, node.lineno, text, f"{before} -> {_short(replacement)}", ast.unparse(changed))


def _short(node: ast.AST) -> str:
    text = ast.unparse(node).splitlines()[0]
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"


def _nodes(node: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """Statements and expressions that may be changed, depth first."""
    if isinstance(node, ast.Assert | ast.JoinedStr) or _is_log(node):
        return
    if isinstance(node, ast.expr | ast.stmt):
        yield node
    kept_out = {"annotation", "returns", "decorator_list", "type_params"}
    if isinstance(node, ast.ClassDef):
        kept_out |= {"bases", "keywords"}
    for name, value in ast.iter_fields(node):
        if name in kept_out:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _nodes(child)


def _is_log(node: ast.AST) -> bool:
    """True for a log or print statement, whose text no test has to check."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute)
        and isinstance(node.value.func.value, ast.Name)
        and node.value.func.value.id in ("logger", "click")
    )


def _variants(node: ast.expr | ast.stmt) -> list[ast.expr | ast.stmt]:  # noqa: C901 - one case for each kind of node
    """The replacements for a node."""
    out: list[ast.expr | ast.stmt] = []
    match node:
        case ast.Compare():
            for at, operator in enumerate(node.ops):
                for kind in OPPOSITE[type(operator)]:
                    ops = [kind() if k == at else x for k, x in enumerate(node.ops)]
                    out.append(ast.Compare(node.left, ops, node.comparators))
        case ast.BoolOp():
            out += [ast.BoolOp(kind(), node.values) for kind in OPPOSITE[type(node.op)]]
        case ast.BinOp() if not isinstance(node.left, ast.Constant) or not isinstance(node.left.value, str):
            out += [ast.BinOp(node.left, kind(), node.right) for kind in OPPOSITE[type(node.op)]]
        case ast.AugAssign():
            out += [ast.AugAssign(node.target, kind(), node.value) for kind in OPPOSITE[type(node.op)]]
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert()):
            out.append(node.operand)
        case ast.Constant(value=bool(value)):
            out.append(ast.Constant(not value))
        case ast.Constant(value=int(value)):
            out.append(ast.Constant(value + 1))
        case ast.Constant(value=float(value)):
            out.append(ast.Constant(value * 2 or 1.0))
        case ast.If():
            out.append(ast.If(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse))
        case ast.IfExp():
            out.append(ast.IfExp(node.test, node.orelse, node.body))
        case ast.Call(func=ast.Name(id=name)) if name in SWAPS:
            out.append(ast.Call(ast.Name(SWAPS[name], ast.Load()), node.args, node.keywords))
        case ast.Call(func=ast.Attribute(value=owner, attr=name)) if name in SWAPS:
            out.append(ast.Call(ast.Attribute(owner, SWAPS[name], ast.Load()), node.args, node.keywords))
        case ast.Expr(value=ast.Call()) | ast.Delete():
            out.append(ast.Pass())
        case ast.Assign(targets=[ast.Subscript() | ast.Attribute()]):
            out.append(ast.Pass())
        case ast.Continue():
            out.append(ast.Break())
        case ast.Break():
            out.append(ast.Continue())
    return out


def _replace(tree: ast.AST, target: ast.AST, replacement: ast.AST) -> None:
    for node in ast.walk(tree):
        for name, value in ast.iter_fields(node):
            if value is target:
                setattr(node, name, replacement)
                return
            if isinstance(value, list):
                for k, child in enumerate(value):
                    if child is target:
                        value[k] = replacement
                        return
    raise AssertionError("the node is not in the tree")


class Workshop:
    """A copy of the repository in which one mutant at a time is tested."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for path in ROOT.iterdir():
            if path.name in COPIED:
                shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("__pycache__"))
                compileall.compile_dir(folder / path.name, quiet=2)
            elif path.name not in (".git", ".venv", ".venv-lowest"):
                (folder / path.name).symlink_to(path)
        self._environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(str(folder / name) for name in ("runtime", "export", "train")),
            "PYTHONDONTWRITEBYTECODE": "1",  # a mutant must not leave compiled code behind
            "OMP_NUM_THREADS": "1",
            "ORT_DISABLE_TELEMETRY": "1",
        }

    def passes(self, tests: tuple[str, ...], timeout_s: float | None) -> bool:
        """True if the tests pass within the timeout."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not long", "-p", "no:cacheprovider", *tests]
        process = subprocess.Popen(
            command, cwd=self._folder, env=self._environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            self.output = process.communicate(timeout=timeout_s)[0]
        except subprocess.TimeoutExpired:
            return False
        finally:
            if process.poll() is None:
                os.killpg(process.pid, 9)
                process.communicate()
        return process.returncode == 0

    def survives(self, mutant: Mutant, tests: tuple[str, ...], timeout_s: float) -> bool:
        path = self._folder / mutant.path
        sound = path.read_text(encoding="utf-8")
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
            compiled.unlink()
        path.write_text(mutant.source, encoding="utf-8")
        try:
            return self.passes(tests, timeout_s)
        finally:
            path.write_text(sound, encoding="utf-8")


def load(module: str) -> list[Mutant]:
    places = [ROOT / place for place in MODULES[module][0]]
    if missing := [place for place in places if not place.exists()]:
        raise SystemExit(f"MODULES names {missing[0].relative_to(ROOT)}, which does not exist; correct the table")
    paths = [path for place in places for path in (sorted(place.glob("*.py")) if place.is_dir() else [place])]
    return [
        mutant
        for path in paths
        for mutant in mutants_of(module, str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))
    ]


def equivalents() -> dict[tuple[str, str, str], str]:
    """Reasons of equivalent mutants (those without effect), by module, text of the line and change."""
    if not EQUIVALENTS.exists():
        return {}
    entries = tomllib.loads(EQUIVALENTS.read_text(encoding="utf-8"))["equivalent"]
    return {(x["module"], x["line"], x["change"]): x["reason"] for x in entries}


def main() -> int:
    parser = argparse.ArgumentParser(description="Find small changes of the core modules that no test detects.")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=", ".join(MODULES))
    parser.add_argument(
        "--sample", type=int, default=40, metavar="N", help="largest number of mutants for each module (default 40)"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the sample (default 1)")
    parser.add_argument(
        "--minutes", type=float, default=120, help="time after which no mutant is started (default 120)"
    )
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="mutants tested in parallel (default 2)")
    arguments = parser.parse_args()
    if unknown := set(arguments.modules) - set(MODULES):
        parser.error(f"no module {', '.join(sorted(unknown))}; known: {', '.join(MODULES)}")
    end = time.monotonic() + 60 * arguments.minutes
    known, rows = equivalents(), list[str]()
    with tempfile.TemporaryDirectory(prefix="seisedge-mutants-") as place:
        shops: queue.Queue[Workshop] = queue.Queue()
        for k in range(arguments.processes):
            (folder := Path(place) / str(k)).mkdir()
            shops.put(Workshop(folder))
        for module in arguments.modules or MODULES:
            found, tests = load(module), MODULES[module][1]
            there = {(module, x.text, x.change) for x in found}
            for entry in (x for x in known if x[0] == module and x not in there):
                print(
                    f"{EQUIVALENTS.name}: does not occur in {module} any more; remove the entry: {entry[1]}: {entry[2]}"
                )
            candidates = [x for x in found if (module, x.text, x.change) not in known]
            chosen = sorted(
                random.Random(f"{arguments.seed} {module}").sample(candidates, min(arguments.sample, len(candidates))),
                key=lambda x: (x.path, x.line),
            )
            shop = shops.get()
            began = time.monotonic()
            if not shop.passes(tests, None):
                print(shop.output, f"{module}: its tests fail without any change", sep="\n", file=sys.stderr)
                return 2
            timeout_s = PATIENCE * (time.monotonic() - began) + GRACE_S
            shops.put(shop)

            def survives(mutant: Mutant, tests: tuple[str, ...] = tests, timeout_s: float = timeout_s) -> bool | None:
                if time.monotonic() > end:
                    return None
                shop = shops.get()
                try:
                    return shop.survives(mutant, tests, timeout_s)
                finally:
                    shops.put(shop)

            with ThreadPoolExecutor(arguments.processes) as pool:
                outcomes = list(pool.map(survives, chosen))
            alive = [x for x, outcome in zip(chosen, outcomes, strict=True) if outcome]
            tested = sum(outcome is not None for outcome in outcomes)
            killed = tested - len(alive)
            share = f"{killed / tested:.0%}" if tested else "-"
            row = f"{module:12}{len(found):9}{len(found) - len(candidates):12}{tested:8}{killed:8}{share:>8}"
            rows.append(row)
            for mutant in alive:
                print(f"survived: {mutant}\n    in: {mutant.text}", flush=True)
    print(f"\n{'module':12}{'mutants':>9}{'equivalent':>12}{'tested':>8}{'killed':>8}{'share':>8}")
    print("\n".join(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
