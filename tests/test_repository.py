"""The repository around the code: what is installed, the build's decisions, lists that must agree."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import swarm
from swarm.version import __version__, is_compiled

ROOT = Path(os.environ.get("SWARM_REPOSITORY", Path(__file__).resolve().parents[1]))
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FRAGMENT = re.compile(r"[a-z0-9-]+\.(added|changed|fixed|removed|security)\.md")
IS_INSTALLED_RUN = "SWARM_EXPECT_COMPILED" in os.environ
installed_run_only = pytest.mark.skipif(not IS_INSTALLED_RUN, reason="only `make` tests an installed package")


def load(path: str) -> ModuleType:
    """Return a module of the repository that is not installed."""
    spec = importlib.util.spec_from_file_location(Path(path).stem + "_of_repository", ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def setup_script() -> ModuleType:
    return load("setup.py")


@installed_run_only
def test_the_installed_package_is_tested() -> None:
    assert swarm.__file__ is not None
    installed = Path(swarm.__file__).resolve()
    environment = Path(sys.prefix).resolve()
    assert installed.is_relative_to(environment), f"tests import {installed}, not what is in {environment}"
    assert not installed.is_relative_to(ROOT / "swarm")


@installed_run_only
def test_the_expected_build_is_tested() -> None:
    expected = os.environ["SWARM_EXPECT_COMPILED"]
    if expected:
        assert is_compiled() == (expected == "1"), (
            "SWARM_EXPECT_COMPILED names another build than the installed one"
        )


@installed_run_only
def test_every_module_of_the_group_is_compiled_or_none(setup_script: ModuleType) -> None:
    for file in setup_script.compiled_files(PYPROJECT["tool"]["swarm"], ROOT):
        name = file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        spec = importlib.util.find_spec(name)
        assert spec is not None, name
        assert spec.origin is not None, name
        assert (not spec.origin.endswith(".py")) == is_compiled(), f"{name} comes from {spec.origin}"


def test_version_of_the_distribution() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
    if IS_INSTALLED_RUN:
        from importlib.metadata import version

        assert version(PYPROJECT["project"]["name"]) == __version__


@pytest.mark.parametrize(
    ("setting", "missing", "expected"),
    [
        (None, "", True),
        ("", "", True),
        ("1", "", True),
        ("0", "", False),
        (None, "cc", False),
        ("0", "cc", False),
    ],
)
def test_decision_to_compile(
    setup_script: ModuleType, setting: str | None, missing: str, expected: bool
) -> None:
    assert setup_script.wants_compilation(setting, missing) is expected


def test_unknown_setting_names_the_value(setup_script: ModuleType) -> None:
    with pytest.raises(SystemExit, match="SWARM_MYPYC=yes"):
        setup_script.wants_compilation("yes", "")


def test_demand_that_cannot_be_met_names_what_is_missing(setup_script: ModuleType) -> None:
    with pytest.raises(SystemExit, match=r"Python\.h"):
        setup_script.wants_compilation("1", "Python.h")


def test_missing_compiler_is_named(setup_script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler -O2")
    assert setup_script.compiler_missing() == "the C compiler 'no-such-compiler'"


def test_lists_of_the_build_name_existing_modules(setup_script: ModuleType, tmp_path: Path) -> None:
    files = setup_script.compiled_files(PYPROJECT["tool"]["swarm"], ROOT)
    assert "swarm/core/timers.py" in files
    assert "swarm/core/errors.py" not in files
    with pytest.raises(SystemExit, match=r"names swarm\.core"):
        setup_script.compiled_files({"pure": ["swarm.core"], "simulator": [], "interpreted": []}, tmp_path)


def test_only_changed_files_are_compiled_again(setup_script: ModuleType, tmp_path: Path) -> None:
    source, product = tmp_path / "a.c", tmp_path / "a.o"
    source.touch()
    assert not setup_script.is_current(product, [source])
    product.touch()
    os.utime(source, ns=(1, 1))
    assert setup_script.is_current(product, [source])
    os.utime(product, ns=(1, 1))
    assert not setup_script.is_current(product, [source])


def test_pure_packages_are_the_ones_under_contract() -> None:
    contracts = PYPROJECT["tool"]["importlinter"]["contracts"]
    forbidden = next(contract for contract in contracts if contract["id"] == "pure")
    assert forbidden["source_modules"] == PYPROJECT["tool"]["swarm"]["pure"]


def test_changelog_fragments() -> None:
    names = [path.name for path in (ROOT / "changelog.d").iterdir() if path.name != "README.md"]
    assert [name for name in names if not FRAGMENT.fullmatch(name)] == []


def test_makefile_lists_itself() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = text[text.index(".PHONY:") : text.index("\n\n", text.index(".PHONY:"))]
    targets = phony.replace("\\\n", " ").split()[1:]
    explained = re.findall(r"^([a-z0-9-]+):.*## ", text, re.MULTILINE)
    assert sorted(targets) == sorted(explained)


def test_continuous_integration_runs_the_command_of_the_readme() -> None:
    assert (ROOT / ".ci/run").read_text(encoding="utf-8").rstrip().endswith("\nmake test")
    assert "make test" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_tables_of_the_wire_are_up_to_date() -> None:
    document = (ROOT / "docs/WIRE.md").read_text(encoding="utf-8")
    assert load("tools/wire_tables.py").rewritten(document) == document, "run `make fmt`"


def test_tables_of_the_wire() -> None:
    source = '# Kinds\n\nA: Final = 1\n"""[x: 1|2]\n and more"""\nB: Final = 2\n'
    source += "\n# Others\n_C: Final = 3\nD: Final = 4\n"
    made = load("tools/wire_tables.py").tables(source)
    assert [line for line in made.splitlines() if line and not line.startswith(("|--", "| number"))] == [
        "**Kinds**",
        "| 1 | `A` | [x: 1\\|2] and more |",
        "| 2 | `B` |  |",
        "**Others**",
        "| 4 | `D` |  |",
    ]


def test_pure_modules_import_only_pure_modules(setup_script: ModuleType) -> None:
    settings = PYPROJECT["tool"]["swarm"]
    pure = setup_script.compiled_files({**settings, "interpreted": []}, ROOT)
    names = {file.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for file in pure}
    strangers: list[str] = []
    for file in pure:
        for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
            if (
                not isinstance(node, ast.ImportFrom)
                or node.module is None
                or not node.module.startswith("swarm.")
            ):
                continue
            for alias in node.names:
                if node.module not in names and f"{node.module}.{alias.name}" not in names:
                    strangers.append(
                        f"{file} imports {node.module}, which pyproject.toml does not list as pure"
                    )
    assert strangers == []


def test_requirements_of_a_group() -> None:
    requirements = load("tools/requirements.py").requirements
    project = {
        "name": "x",
        "dependencies": ["a>=1"],
        "optional-dependencies": {"f": ["b"], "dev": ["c", "x[f]", "b"]},
    }
    assert requirements(["runtime", "dev"], project) == ["a>=1", "c", "b"]
    with pytest.raises(ValueError, match="no group 'other'; it has runtime, f, dev"):
        requirements(["other"], project)


@pytest.mark.parametrize("blocked", ["ujson", "psutil", "segno"])
def test_optional_packages_are_optional(blocked: str) -> None:
    script = f"import sys; sys.modules[{blocked!r}] = None\nimport swarm.daemon.daemon, swarm.cli.main"
    subprocess.run([sys.executable, "-P", "-c", script], check=True, timeout=60)


def test_msgpack_without_its_extension() -> None:
    script = (
        "import sys; sys.modules['msgpack._cmsgpack'] = None\n"
        "from swarm.wire.codec import pack, unpack_untrusted\n"
        "import msgpack; assert 'fallback' in msgpack.Unpacker.__module__\n"
        "assert unpack_untrusted(pack([1, b'2', {'3': 4.0}])) == [1, b'2', {'3': 4.0}]\n"
    )
    subprocess.run([sys.executable, "-P", "-c", script], check=True, timeout=60)


def test_core_packages_do_not_load_the_network() -> None:
    script = (
        "import sys, swarm.gossip, swarm.election\n"
        "assert not {'trio', 'networkx', 'click', 'rich'} & set(sys.modules), sorted(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-P", "-c", script], check=True, timeout=60)
