"""The style that a machine can check (docs/STYLE.md), and proof that each rule fires."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tidy_rules

ROOT = Path(os.environ.get("SWARM_REPOSITORY", Path(__file__).resolve().parents[1]))
TEXT_SUFFIXES = (".py", ".pyi", ".md", ".toml", ".txt", ".sh", ".svg", "")
UNREAD = ("LICENSE", ".git")
"""Files beside the sources that nobody reads: a text of others, and where a worktree keeps its repository."""
TEXT_FOLDERS = (".ci", "changelog.d", "docs", "examples", "sims", "swarm", "tests", "tools", "typings")

GLOSSARY_WORDS = [
    "node",
    "mesh",
    "member",
    "peer",
    "leader",
    "council",
    "job",
    "task",
    "attempt",
    "object",
    "executor",
    "client",
    "dag",
    "dependency",
    "alive",
    "suspect",
    "dead",
    "left",
    "incarnation",
    "probe",
    "ping",
    "ping_req",
    "ack",
    "nack",
    "suspicion",
    "confirmation",
    "refute",
    "rumour",
    "piggyback",
    "dissemination",
    "retransmit",
    "anti-entropy",
    "push-pull",
    "digest",
    "delta",
    "seed",
    "fanout",
    "awareness",
    "ballot",
    "candidate",
    "vote",
    "pre-vote",
    "promise",
    "beat",
    "fence",
    "quorum",
    "lease",
    "stamp",
    "ready",
    "upward-rank",
    "placement",
    "locality",
    "slot",
    "steal",
    "victim",
    "thief",
    "retract",
    "result",
    "completion",
    "fact",
    "part",
    "intent",
    "invitation",
    "identity",
    "seal",
    "session",
    "effect",
    "core",
    "driver",
]


def python_files(*folders: str) -> dict[str, str]:
    """Return the text of the Python files below the folders, by their path in the repository."""
    found: dict[str, str] = {}
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            found[path.relative_to(ROOT).as_posix()] = path.read_text(encoding="utf-8")
    return found


def text_files() -> Iterator[tuple[str, str]]:
    """Yield path and text of everything in the repository that people read."""
    candidates = [path for path in ROOT.iterdir() if path.is_file() and path.name not in UNREAD]
    for folder in TEXT_FOLDERS:
        candidates += [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    for path in sorted(candidates):
        if path.suffix in TEXT_SUFFIXES and "__pycache__" not in path.parts:
            try:
                yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


def complain(complaints: list[str]) -> None:
    """Fail with one complaint a line."""
    assert not complaints, "\n" + "\n".join(complaints)


def test_sizes() -> None:
    files = python_files("swarm", "sims", "tools", "tests", "examples")
    complain([line for path, text in files.items() for line in tidy_rules.check_sizes(path, text)])


def test_package_roots_offer_few_names() -> None:
    files = python_files("swarm", "sims")
    complain([line for path, text in files.items() for line in tidy_rules.check_root_names(path, text)])


def test_docstrings() -> None:
    complain(tidy_rules.check_docstrings(python_files("swarm", "sims")))


def test_texts() -> None:
    complain([line for path, text in text_files() for line in tidy_rules.check_text(path, text)])


def test_module_names() -> None:
    files = python_files("swarm", "sims", "tools", "tests", "examples")
    complain([line for path in files for line in tidy_rules.check_module_name(path)])


@pytest.mark.parametrize("module", ["swarm/wire/messages.py", "swarm/wire/executor_frames.py"])
def test_wire_is_documented(module: str) -> None:
    constants = tidy_rules.int_constants((ROOT / module).read_text(encoding="utf-8"))
    document = (ROOT / "docs/WIRE.md").read_text(encoding="utf-8")
    assert constants
    complain(tidy_rules.check_documented(constants, document))


def test_kinds_of_messages_are_unique() -> None:
    text = (ROOT / "swarm/wire/messages.py").read_text(encoding="utf-8")
    kinds = text[: text.index("# Job intents")]
    numbers = [number for name, number in tidy_rules.int_constants(kinds).items() if "PROTOCOL" not in name]
    assert len(numbers) == len(set(numbers))


def test_errors_are_documented() -> None:
    from swarm.core import errors

    document = (ROOT / "docs/WIRE.md").read_text(encoding="utf-8")
    names = [name for name, value in vars(errors).items() if isinstance(value, type)]
    assert "SwarmError" in names
    complain(
        [f"docs/WIRE.md does not name the error {name}" for name in names if f"`{name}`" not in document]
    )


def test_glossary() -> None:
    complain(
        tidy_rules.check_glossary(GLOSSARY_WORDS, (ROOT / "docs/GLOSSARY.md").read_text(encoding="utf-8"))
    )


# Each rule fires


def test_size_rule_fires() -> None:
    long_function = "def f():\n" + "    x = 1\n" * 70
    methods = "class C:\n" + "".join([f"    def m{number}(self): ...\n" for number in range(26)])
    assert tidy_rules.check_sizes("a.py", "x = 1\n" * 501) == ["a.py: 501 lines, a module has at most 500"]
    assert tidy_rules.check_sizes("a.py", long_function) == ["a.py:1: f has 71 lines, a function at most 70"]
    assert tidy_rules.check_sizes("a.py", methods) == ["a.py:1: C has 26 public methods, a class at most 25"]
    assert tidy_rules.check_sizes("a.py", long_function.replace("    x = 1\n", "", 1)) == []
    assert tidy_rules.check_sizes("a.py", methods.replace("m7", "_m7")) == []


def test_root_names_rule_fires() -> None:
    names = [f"n{number}" for number in range(26)]
    assert tidy_rules.check_root_names("a.py", f"__all__ = {names}") == [
        "a.py: 26 names in __all__, a package offers at most 25"
    ]
    assert tidy_rules.check_root_names("a.py", f"__all__ = {names[:25]}") == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "a.py: the module has no docstring"),
        ('"""M."""\ndef f(): ...', "a.py:2: f has no docstring"),
        ('"""M."""\nclass C: ...', "a.py:2: C has no docstring"),
        ('"""M."""\nclass C:\n    """C."""\n    def m(self): ...', "a.py:4: C.m has no docstring"),
    ],
)
def test_docstring_rule_fires(text: str, complaint: str) -> None:
    assert tidy_rules.check_docstrings({"a.py": text}) == [complaint]


def test_docstrings_are_inherited() -> None:
    base = '"""M."""\nclass B:\n    """B."""\n    def m(self):\n        """Do."""\n'
    derived = '"""M."""\nclass C(B):\n    """C."""\n    def m(self): ...\n    def _n(self): ...\n'
    protocol = '"""M."""\nclass P(Protocol):\n    """P."""\n    def m(self): ...\n'
    assert tidy_rules.check_docstrings({"a.py": base, "b.py": derived, "c.py": protocol}) == []
    assert tidy_rules.check_docstrings({"b.py": derived}) == []  # B is a library's
    assert len(tidy_rules.check_docstrings({"b.py": derived.replace("C(B)", "C(Exception)")})) == 1


@pytest.mark.parametrize(
    "text",
    [
        "x = 1  # TO" + "DO: more",
        "# FIX" + "ME",
        "open('/ro" + "ot/x')",
        "see /wo" + "rk/main/x",
        "/ho" + "me/pi/x",
        "py" + "pi.org",
    ],
)
def test_text_rule_fires(text: str) -> None:
    assert len(tidy_rules.check_text("a.py", text)) == 1


@pytest.mark.parametrize(
    "text", ["a todo list", "~/wo" + "rk/x", "network/ro" + "ot/x", "/dev/null", "hacking"]
)
def test_text_rule_is_silent(text: str) -> None:
    assert tidy_rules.check_text("a.py", text) == []


def test_module_name_rule_fires() -> None:
    assert len(tidy_rules.check_module_name("swarm/net/socket_utils.py")) == 1
    assert len(tidy_rules.check_module_name("swarm/common/x.py")) == 1
    assert tidy_rules.check_module_name("swarm/net/sockets.py") == []


def test_documentation_rules_fire() -> None:
    constants = tidy_rules.int_constants('A: Final = 1\nB: Final = 2\nC: Final = "text"\n_D: Final = 4\n')
    assert constants == {"A": 1, "B": 2, "_D": 4}
    assert tidy_rules.check_documented(constants, "| 1 | `A` | x |\n| 3 | `B` | y |") == [
        "B = 2 has no row in the tables of the document"
    ]
    assert tidy_rules.check_glossary(
        ["node", "mesh", "fence"], "**node**: x\n**Mesh**, **member**: y, *fence*"
    ) == ["the glossary does not define 'fence'"]
