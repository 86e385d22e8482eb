"""Check that both builds of swarm behave alike: equal traces from equal seeds, whatever the hash seed.

``python tools/parity.py COMPILED_PYTHON PURE_PYTHON`` runs `sims.parity` under each interpreter with two
values of PYTHONHASHSEED and compares the digests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

SEEDS = 6
TIMEOUT_S = 600.0


def run(python: str, hash_seed: str) -> dict[str, Any]:
    """Return what the runs under one interpreter and hash seed print."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    environment.pop("PYTHONPATH", None)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run(
            [python, "-P", "-m", "sims.parity", "--seeds", str(SEEDS)],
            cwd=empty,
            env=environment,
            stdout=subprocess.PIPE,
            timeout=TIMEOUT_S,
            check=True,
        )
    result: dict[str, Any] = json.loads(done.stdout)
    result["took_s"] = time.perf_counter() - started
    return result


def complaints(results: list[tuple[str, bool, dict[str, Any]]]) -> list[str]:
    """Return what is wrong with results, each (name, whether it must be compiled, what it printed)."""
    found: list[str] = []
    for name, must_be_compiled, result in results:
        if result["is_compiled"] != must_be_compiled:
            found.append(f"{name} is {'' if result['is_compiled'] else 'not '}compiled")
    first_name, _, first = results[0]
    for name, _, result in results[1:]:
        for seed, digest in first["digests"].items():
            if result["digests"].get(seed) != digest:
                found.append(
                    f"seed {seed}: {first_name} gives {digest}, {name} gives {result['digests'].get(seed)}"
                )
    return found


def main() -> int:
    """Compare; 1 when the builds differ."""
    if len(sys.argv) != 3:
        print("usage: parity.py COMPILED_PYTHON PURE_PYTHON", file=sys.stderr)
        return 2
    compiled_python, pure_python = sys.argv[1:]
    results: list[tuple[str, bool, dict[str, Any]]] = []
    for name, python, must_be_compiled in (("compiled", compiled_python, True), ("pure", pure_python, False)):
        for hash_seed in ("0", "4242"):
            result = run(python, hash_seed)
            results.append((f"the {name} build, hash seed {hash_seed}", must_be_compiled, result))
            print(f"{name:8}  hash seed {hash_seed:4}  {2 * SEEDS} meshes in {result['took_s']:.1f} s")
    for seed, digest in results[0][2]["digests"].items():
        print(f"{seed}: {digest}")
    found = complaints(results)
    print("\n".join(found) if found else "both builds agree")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
