"""Build of swarm: everything is in pyproject.toml but the compilation of the pure cores by mypyc.

The environment variable SWARM_MYPYC decides: unset compiles where a C compiler and Python.h are present;
``1`` demands it; ``0`` forbids it; any other value is an error. A compilation that was begun and fails
fails the build: there is never a silent fallback. docs/decisions/0006-mypyc.md has the reasons.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sysconfig
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
VARIABLE = "SWARM_MYPYC"
GROUP = "swarm"
OPTIMISATION = "1"
"""Of 0..3. Level 2 makes the simulator 5 % faster and the build a fifth longer; see the decision record."""


def compiler_missing() -> str:
    """Return what is missing for compiling ("" when nothing is), as words for people."""
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    if shutil.which(command[0]) is None:
        return f"the C compiler {command[0]!r}"
    headers = [sysconfig.get_path(name) for name in ("include", "platinclude")]
    if not any((Path(folder) / "Python.h").is_file() for folder in headers):
        return f"Python.h in {headers[0]}"
    return ""


def wants_compilation(setting: str | None, missing: str) -> bool:
    """Return whether to compile.

    Args:
        setting: the value of SWARM_MYPYC, None when it is not set.
        missing: what `compiler_missing` found.

    Raises:
        SystemExit: the value is unknown, or demands what cannot be done.
    """
    if setting not in (None, "", "0", "1"):
        raise SystemExit(
            f"{VARIABLE}={setting}: unknown value; use 1 (compile), 0 (do not) or leave it unset"
        )
    if setting == "1" and missing:
        raise SystemExit(
            f"{VARIABLE}=1 demands compiled cores, but {missing} is missing; install it or use 0"
        )
    return setting != "0" and not missing


def compiled_files(settings: dict[str, list[str]], root: Path) -> list[str]:
    """Return the modules to compile, as paths relative to `root`, sorted.

    Args:
        settings: the table [tool.swarm] of pyproject.toml.
        root: the repository.

    Raises:
        SystemExit: the table names a module that does not exist.
    """
    found: set[str] = set()
    for name in settings["pure"] + settings["simulator"]:
        found.update(_files_of(name, root))
    for name in settings["interpreted"]:
        found.difference_update(_files_of(name, root))
    return sorted(found)


def _files_of(name: str, root: Path) -> list[str]:
    path = root / name.replace(".", "/")
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    for file in files:
        if not file.is_file():
            raise SystemExit(f"pyproject.toml [tool.swarm] names {name}, but {file} does not exist")
    return [file.relative_to(root).as_posix() for file in files]


def is_current(product: Path, sources: list[Path]) -> bool:
    """Return whether `product` exists and is newer than all of `sources`."""
    if not product.is_file():
        return False
    made = product.stat().st_mtime_ns
    return all(source.stat().st_mtime_ns < made for source in sources)


class build_mypyc(build_ext):  # noqa: N801 - setuptools shows the class name as the name of the command
    """Translates the cores when it runs (not when setup.py is read) and compiles files in parallel."""

    def run(self) -> None:
        """Translate, then compile."""
        self.distribution.ext_modules = translate(compiled_files(read_settings(), ROOT))
        self.swig_opts = None  # setuptools splits it once more in the second round
        self.finalize_options()
        self.parallel = worker_count()
        super().run()

    def build_extensions(self) -> None:
        """Compile the files of an extension side by side, leaving out those that did not change."""
        compile_serially = self.compiler.compile

        def compile_in_parallel(sources: list[str], output_dir: str, **options: Any) -> list[str]:
            headers = [Path(header) for header in options.get("depends") or []]

            def compile_one(source: str) -> list[str]:
                objects: list[str] = self.compiler.object_filenames([source], output_dir=output_dir)
                if is_current(Path(objects[0]), [Path(source), *headers]):
                    return objects
                made: list[str] = compile_serially([source], output_dir=output_dir, **options)
                return made

            with ThreadPoolExecutor(worker_count()) as pool:
                return [made for objects in pool.map(compile_one, sources) for made in objects]

        self.compiler.compile = compile_in_parallel
        super().build_extensions()


def worker_count() -> int:
    """Return how many compilers run at once."""
    return max(2, os.cpu_count() or 2)


def translate(files: list[str]) -> list[Extension]:
    """Return the extensions that mypyc makes of the files, all in one group.

    Raises:
        SystemExit: mypyc is not installed, or it rejects a file.
    """
    try:
        from mypyc.build import mypycify
    except ImportError as error:
        raise SystemExit(f"compiling needs mypyc ({error}): install mypy, or set {VARIABLE}=0") from None
    arguments = ["--config-file=", "--ignore-missing-imports", "--check-untyped-defs", *files]
    extensions: list[Extension] = mypycify(
        arguments, opt_level=OPTIMISATION, debug_level="0", multi_file=True, group_name=GROUP
    )
    return extensions


def read_settings() -> dict[str, list[str]]:
    """Return the table [tool.swarm] of pyproject.toml."""
    table: dict[str, list[str]] = read_pyproject()["tool"]["swarm"]
    return table


def read_pyproject() -> dict[str, Any]:
    """Return pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def main() -> None:
    """Run setuptools, with the cores as extensions when they are to be compiled."""
    if not wants_compilation(os.environ.get(VARIABLE), compiler_missing()):
        setup()
        return
    # That there is an extension makes the wheel one for this platform; build_mypyc finds out which they are.
    announced = Extension(f"{GROUP}__mypyc", sources=[])
    needed = read_pyproject()["project"]["optional-dependencies"]["build"]
    setup(
        ext_modules=[announced],
        cmdclass={"build_ext": build_mypyc},
        setup_requires=[line for line in needed if line.startswith("mypy")],
    )


if __name__ == "__main__":
    main()
