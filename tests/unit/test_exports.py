"""What `import penstock` offers, and what it does not load."""

from __future__ import annotations

import ast
import importlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import penstock

HEAVY = ("confluent_kafka", "pyarrow")
SOURCES = Path(penstock.__file__).parent


def modules_loaded_by(statement: str, where: Path) -> set[str]:
    """The top-level names in sys.modules of a fresh interpreter after the statement."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{statement}\nprint(*sorted(m.partition('.')[0] for m in sys.modules))"],
        capture_output=True, text=True, check=True, cwd=where,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    return set(done.stdout.split())


def typed_imports() -> dict[str, str]:
    """Name to module, as the package's `if TYPE_CHECKING:` tells type checkers."""
    tree = ast.parse((SOURCES / "__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    return {
        alias.name: node.module or "" for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }


def test_every_name_offered_is_there():
    """Each name of __all__ can be had, and belongs to the module that a type checker is told."""
    assert list(penstock.__all__) == sorted(penstock.__all__)
    typed = typed_imports()
    assert set(typed) == set(penstock.__all__)
    for name, module in typed.items():
        assert getattr(penstock, name) is getattr(importlib.import_module(module), name)


def test_every_name_offered_is_in_the_all_of_its_module():
    """What the package offers, its module offers too."""
    for name, module in typed_imports().items():
        assert name in importlib.import_module(module).__all__


def test_every_error_is_offered():
    """A caller can name each class of the error tree."""
    errors = importlib.import_module("penstock.errors")
    assert set(errors.__all__) <= set(penstock.__all__)
    classes = {
        name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, BaseException)
    }
    assert classes == set(errors.__all__)


def test_star_and_dir_agree_with_all():
    """`from penstock import *` gives __all__ and no more; dir() names all of it before it is loaded."""
    found: dict[str, object] = {}
    exec("from penstock import *", found)  # noqa: S102
    assert set(found) - {"__builtins__"} == set(penstock.__all__)
    code = "import penstock; print(*(set(penstock.__all__) - set(dir(penstock))), 'Writer' in vars(penstock))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_an_unknown_name_is_an_attribute_error():
    """A misspelt name fails as that of any other module does."""
    with pytest.raises(AttributeError, match="module 'penstock' has no attribute 'wrote'"):
        penstock.wrote  # noqa: B018
    assert not hasattr(penstock, "_core_that_is_not_there")


def test_the_package_is_typed_and_versioned():
    """py.typed and the core's stub are where type checkers look; the version is the core's."""
    assert (SOURCES / "py.typed").exists()
    assert (SOURCES / "_core.pyi").exists()
    assert importlib.import_module("penstock._core").version() == penstock.__version__


def test_an_error_survives_pickling_by_its_public_name():
    """An error from another process is the same class with the same facts."""
    error = penstock.WorkerDied("worker 1 was killed", code="_X", retriable=True, acknowledged_rows=7)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(again) is penstock.WorkerDied
    assert vars(again) == vars(error)


@pytest.mark.parametrize(
    "module", ["penstock", "penstock.cli", "penstock.worker", "penstock.config", "penstock.report"]
)
def test_what_handles_no_arrow_objects_loads_no_arrow(module, tmp_path):
    """Neither pyarrow (0.35 s) nor confluent_kafka (0.15 s) is loaded by what a worker or `penstock --help` imports."""
    loaded = modules_loaded_by(f"import {module}", tmp_path)
    assert "penstock" in loaded
    assert not loaded & {*HEAVY, "numpy"}


def test_the_look_at_loaded_modules_sees_them(tmp_path):
    """The check above would notice: the writer does load pyarrow."""
    assert "pyarrow" in modules_loaded_by("import penstock; penstock.write", tmp_path)


def test_importing_the_package_loads_no_core(tmp_path):
    """`import penstock` alone works where the core is not built: it loads nothing but itself."""
    code = "import sys, penstock; print(*sorted(m for m in sys.modules if m.startswith('penstock')))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.stdout.split() == ["penstock"]
