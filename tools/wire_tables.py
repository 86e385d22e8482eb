"""Write the tables of numbers in docs/WIRE.md from the modules that define them.

``python tools/wire_tables.py`` rewrites what stands between the lines ``<!-- numbers: MODULE -->`` and
``<!-- end -->``; `make fmt` does it. ``--check`` only says whether something would change. A constant
``NAME: Final = 7`` with the docstring behind it becomes a row; a comment line before it a heading.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs/WIRE.md"
BLOCK = re.compile(r"(<!-- numbers: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def tables(source: str) -> str:
    """Return the tables of a module's numbers, in Markdown.

    Args:
        source: text of the module.
    """
    body = ast.parse(source).body
    lines = source.splitlines()
    made: list[str] = []
    heading = ""
    for node, following in zip(body, [*body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        number = node.value.value if isinstance(node.value, ast.Constant) else None
        if type(number) is not int or node.target.id.startswith("_"):
            continue
        found = heading_before(lines, node.lineno)
        if found != heading or not made:
            heading = found
            made += [
                "",
                f"**{heading or 'Numbers'}**",
                "",
                "| number | name | body or meaning |",
                "|---|---|---|",
            ]
        made.append(f"| {number} | `{node.target.id}` | {_meaning(following)} |")
    return "\n".join([*made, "", ""])


def heading_before(lines: list[str], line: int) -> str:
    """Return the last comment line above `line` (counted from 1), "" when there is none."""
    for above in range(line - 2, -1, -1):
        if lines[above].startswith("# "):
            return lines[above][2:]
    return ""


def rewritten(document: str) -> str:
    """Return the document with fresh tables."""

    def fresh(block: re.Match[str]) -> str:
        source = (ROOT / block.group(2)).read_text(encoding="utf-8")
        return block.group(1) + tables(source) + block.group(3)

    return BLOCK.sub(fresh, document)


def _meaning(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return " ".join(str(node.value.value).split()).replace("|", "\\|")
    return ""


def main() -> int:
    """Rewrite the document; with --check return 1 when it is not up to date."""
    before = DOCUMENT.read_text(encoding="utf-8")
    after = rewritten(before)
    if before == after:
        return 0
    if "--check" in sys.argv[1:]:
        print("docs/WIRE.md is behind the code: run `make fmt`", file=sys.stderr)
        return 1
    DOCUMENT.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
