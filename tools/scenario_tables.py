"""Write the tables of keys in docs/SCENARIOS.md from the dataclasses of the simulator.

``python tools/scenario_tables.py`` rewrites what stands between the lines ``<!-- keys: NAME -->`` and
``<!-- end -->``; `make fmt` does it. ``--check`` only says whether something would change.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs/SCENARIOS.md"


def main() -> int:
    """Rewrite the document; with ``--check`` return 1 when it is stale."""
    sys.path.insert(0, str(ROOT))
    from sims.scenario.reference import rewritten

    text = DOCUMENT.read_text(encoding="utf-8")
    fresh = rewritten(text)
    if "--check" in sys.argv[1:]:
        return 0 if fresh == text else 1
    if fresh != text:
        DOCUMENT.write_text(fresh, encoding="utf-8")
        print(f"{DOCUMENT.name}: rewritten")
    return 0


if __name__ == "__main__":
    sys.exit(main())
