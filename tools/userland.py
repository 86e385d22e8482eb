"""A Debian userland of another architecture, run by an emulator: a board in a folder, with swarm inside.

`debootstrap` fills the folder, `qemu-user-static` runs what is in it, and the pure wheel of swarm with its
dependencies is installed by the userland's own pip, as on a real board. Everything is kept: the second run
only exchanges swarm itself. Root on Linux only; :func:`why_not` says what is missing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

SUITE = "bookworm"
"""The release of Debian, whose Python is 3.11."""

ARCHITECTURE = "arm64"
EMULATOR = "qemu-aarch64-static"
PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_17_aarch64", "manylinux_2_28_aarch64")
PACKAGES = ("python3", "python3-venv")
PYTHON = "/opt/swarm/bin/python"
"""Inside the userland."""

REGISTRY = Path("/proc/sys/fs/binfmt_misc")
HANDLER = "swarm-aarch64"
_MAGIC = r"\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
"""An ELF header of 64 bits, little-endian, for machine 183 (Documentation/admin-guide/binfmt-misc.rst)."""

STAGE_TIMEOUT_S = 1800.0
"""The second stage of debootstrap runs dpkg emulated: two minutes on an idle machine, ten on a busy one."""


def why_not() -> str:
    """Return why no userland can be made and run here, "" when one can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "it takes root on Linux"
    missing = [tool for tool in ("debootstrap", EMULATOR) if shutil.which(tool) is None]
    if missing:
        return f"{' and '.join(missing)} not found; Debian has them in debootstrap and qemu-user-static"
    return ""


@contextlib.contextmanager
def emulation(trouble: str = "") -> Iterator[str]:
    """Let the kernel run programs of the architecture inside the block; gives why it cannot, "" when it can.

    A handler that is there already stays as it is. The flag F makes the kernel keep the emulator open, so
    that it is found from inside a changed root as well.

    Args:
        trouble: why there is nothing to emulate, "" when there is; it is given back.
    """
    if trouble:
        yield trouble
    elif (REGISTRY / HANDLER).exists() or any(_is_ours(path) for path in sorted(REGISTRY.glob("*"))):
        yield ""
    else:
        reason = _register()
        try:
            yield reason
        finally:
            if not reason:
                with contextlib.suppress(OSError):
                    (REGISTRY / HANDLER).write_text("-1")


def _is_ours(path: Path) -> bool:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    words = dict(line.partition(" ")[::2] for line in lines)
    flags = words.get("flags:", "")
    return "enabled" in lines and "qemu-aarch64" in words.get("interpreter", "") and "F" in flags


def _register() -> str:
    """Register the emulator; return why that cannot be done."""
    line = f":{HANDLER}:M:0:{_MAGIC}:{_MASK}:{shutil.which(EMULATOR)}:F"
    try:
        if not (REGISTRY / "register").exists():
            subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", REGISTRY], check=True, timeout=20)
        (REGISTRY / "register").write_text(line)
    except (OSError, subprocess.SubprocessError) as error:
        return f"the kernel takes no handler for programs of {ARCHITECTURE}: {error}"
    return ""


class Userland:
    """The userland in a folder.

    Args:
        folder: where it is kept; made when missing.

    Attributes:
        root: the root of its file system.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.root = self.folder / "root"

    def make(self, wheels: Path, requirements: Sequence[str], constraints: Path) -> None:
        """Make what is not there yet, and install swarm.

        Args:
            wheels: a folder with the pure wheel of swarm.
            requirements: what to install with it, as pip reads them.
            constraints: versions of them.

        Raises:
            subprocess.SubprocessError: a step failed or took too long.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        wheel = min(wheels.glob("swarm_mesh-*-none-any.whl"))
        self._step("system", f"{SUITE} {' '.join(PACKAGES)}", self._make_system)
        text = "\n".join([*requirements, constraints.read_text(encoding="utf-8")])
        self._step("libraries", text, lambda: self._install_libraries(requirements, constraints))
        self._step(
            "swarm", hashlib.sha256(wheel.read_bytes()).hexdigest(), lambda: self._install_swarm(wheel)
        )

    def run(self, *command: str) -> str:
        """Run a command inside and return what it printed."""
        return subprocess.run(
            ["chroot", str(self.root), *command],
            check=True,
            timeout=STAGE_TIMEOUT_S,
            stdout=subprocess.PIPE,
            text=True,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/"},
        ).stdout

    def _step(self, name: str, made_of: str, make: Callable[[], None]) -> None:
        """Do a step unless it was done with the same ingredients."""
        mark = self.folder / f"{name}.done"
        digest = hashlib.sha256(made_of.encode()).hexdigest()
        if mark.exists() and mark.read_text(encoding="utf-8") == digest:
            return
        mark.unlink(missing_ok=True)
        started = time.monotonic()
        print(f"{ARCHITECTURE} userland: {name}", flush=True)
        make()
        mark.write_text(digest, encoding="utf-8")
        print(f"{ARCHITECTURE} userland: {name} after {time.monotonic() - started:.0f} s", flush=True)

    def _make_system(self) -> None:
        for mark in self.folder.glob("*.done"):
            mark.unlink()
        shutil.rmtree(self.root, ignore_errors=True)
        include = f"--include={','.join(PACKAGES)}"
        command = ["debootstrap", f"--arch={ARCHITECTURE}", "--foreign", "--variant=minbase", include, SUITE]
        with (self.folder / "debootstrap.log").open("w", encoding="utf-8") as log:
            subprocess.run([*command, str(self.root)], check=True, timeout=STAGE_TIMEOUT_S, stdout=log)
        self.run("/debootstrap/debootstrap", "--second-stage")
        self.run("/usr/bin/python3", "-m", "venv", str(Path(PYTHON).parents[1]))

    def _install_libraries(self, requirements: Sequence[str], constraints: Path) -> None:
        """Download with the host's pip, which knows the way to the index, and install with the userland's."""
        version = self.run(PYTHON, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
        place = self.root / "opt/wheels"
        shutil.rmtree(place, ignore_errors=True)
        words = ["--only-binary=:all:", "--implementation=cp", f"--python-version={version}"]
        words += [f"--platform={platform}" for platform in PLATFORMS]
        words += ["--constraint", str(constraints), "--dest", str(place), *requirements]
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *words], check=True, timeout=STAGE_TIMEOUT_S)
        self._pip("--find-links=/opt/wheels", *[f"/opt/wheels/{path.name}" for path in place.iterdir()])

    def _install_swarm(self, wheel: Path) -> None:
        shutil.copy(wheel, self.root / "opt")
        self._pip("--no-deps", "--force-reinstall", f"/opt/{wheel.name}")

    def _pip(self, *words: str) -> None:
        command = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        self.run(*command, "--root-user-action=ignore", "--no-compile", "--no-index", *words)
