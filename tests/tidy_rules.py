"""The rules of docs/STYLE.md that a machine can check, as functions from text to complaints.

Each returns complaints as text, an empty list when all is well. `test_tidy.py` applies them to the
repository and shows that each of them fires.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

MODULE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
PUBLIC_METHODS_MAX = 25
ROOT_NAMES_MAX = 25

BANNED_NAMES = frozenset(["util", "utils", "helper", "helpers", "common", "manager", "managers", "misc"])
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"]) + r")\b")
MACHINE_PATH = re.compile(
    "|".join([r"(?<![\w.~-])/" + place for place in ("work/", "root/", r"home/\w+/", "Users/", "tmp/lab")])
)
REGISTRY = re.compile(
    "|".join(["py" + r"pi\.org", "python" + "hosted", "registry." + "npm", "deb." + "debian"])
)

SILENT_BASES = frozenset([*dir(builtins), "ABC", "Enum", "Generic", "IntEnum", "NamedTuple", "Protocol"])

Definition = ast.FunctionDef | ast.AsyncFunctionDef


def check_sizes(path: str, text: str) -> list[str]:
    """Complain about long modules, long functions and wide classes."""
    complaints: list[str] = []
    line_count = len(text.splitlines())
    if line_count > MODULE_LINES_MAX:
        complaints.append(f"{path}: {line_count} lines, a module has at most {MODULE_LINES_MAX}")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, Definition):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                place = f"{path}:{node.lineno}"
                complaints.append(
                    f"{place}: {node.name} has {length} lines, a function at most {FUNCTION_LINES_MAX}"
                )
        elif isinstance(node, ast.ClassDef):
            methods = {
                item.name for item in node.body if isinstance(item, Definition) and is_public(item.name)
            }
            if len(methods) > PUBLIC_METHODS_MAX:
                complaints.append(
                    f"{path}:{node.lineno}: {node.name} has {len(methods)} public methods, "
                    f"a class at most {PUBLIC_METHODS_MAX}"
                )
    return complaints


def check_root_names(path: str, text: str) -> list[str]:
    """Complain about a package that offers too many names at its root."""
    for node in ast.parse(text).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            assert isinstance(node, ast.Assign)
            names = ast.literal_eval(node.value)
            if len(names) > ROOT_NAMES_MAX:
                return [f"{path}: {len(names)} names in __all__, a package offers at most {ROOT_NAMES_MAX}"]
    return []


def check_docstrings(modules: Mapping[str, str]) -> list[str]:
    """Complain about public modules, classes, functions and methods that say nothing.

    A method inherits the docstring of the method of that name in a base class of the repository, or may do so
    from a base class of a library; protocols and overloads need none.

    Args:
        modules: text of each module by its path.
    """
    trees = {path: ast.parse(text) for path, text in modules.items()}
    classes: dict[str, ast.ClassDef] = {}
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                classes.setdefault(node.name, node)
    complaints: list[str] = []
    for path, tree in trees.items():
        if ast.get_docstring(tree) is None:
            complaints.append(f"{path}: the module has no docstring")
        for definition in _public_definitions(tree):
            if ast.get_docstring(definition) is None and not _is_excused(definition):
                complaints.append(f"{path}:{definition.lineno}: {definition.name} has no docstring")
            if isinstance(definition, ast.ClassDef):
                complaints += [
                    f"{path}:{method.lineno}: {definition.name}.{method.name} has no docstring"
                    for method in _silent_methods(definition, classes)
                ]
    return complaints


def check_text(path: str, text: str) -> list[str]:
    """Complain about unfinished business, paths of one machine and host names of registries."""
    complaints: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        for what, pattern in (
            ("unfinished", UNFINISHED),
            ("a path of one machine", MACHINE_PATH),
            ("the host name of a registry", REGISTRY),
        ):
            found = pattern.search(line)
            if found is not None:
                complaints.append(f"{path}:{number}: {what}: {found.group(0)!r}")
    return complaints


def check_module_name(path: str) -> list[str]:
    """Complain about module names that say nothing."""
    for part in Path(path).with_suffix("").parts:
        banned = BANNED_NAMES.intersection(part.lower().split("_"))
        if banned:
            return [f"{path}: {min(banned)!r} names nothing; name what is inside"]
    return []


def int_constants(text: str) -> dict[str, int]:
    """Return the module's constants of the form ``NAME: Final = 7``."""
    found: dict[str, int] = {}
    for node in ast.parse(text).body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        value = node.value
        if isinstance(value, ast.Constant) and type(value.value) is int:
            found[node.target.id] = value.value
    return found


def check_documented(constants: Mapping[str, int], document: str) -> list[str]:
    """Complain about constants without a row ``| 7 | `NAME` |`` in a table of the document."""
    rows = set(re.findall(r"^\|\s*(\d+)\s*\|\s*`(\w+)`", document, re.MULTILINE))
    return [
        f"{name} = {number} has no row in the tables of the document"
        for name, number in constants.items()
        if is_public(name) and (str(number), name) not in rows
    ]


def check_glossary(words: list[str], document: str) -> list[str]:
    """Complain about words that the glossary does not define, that is, name in bold."""
    defined = {word.lower() for word in re.findall(r"\*\*([^*\n]+)\*\*", document)}
    return [f"the glossary does not define {word!r}" for word in words if word not in defined]


def is_public(name: str) -> bool:
    """Return whether a name is meant for others."""
    return not name.startswith("_")


def _public_definitions(tree: ast.Module) -> Iterator[Definition | ast.ClassDef]:
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and is_public(node.name):
            yield node


def _silent_methods(owner: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> Iterator[Definition]:
    if "Protocol" in _base_names(owner):
        return
    for method in owner.body:
        if not isinstance(method, Definition) or not is_public(method.name) or _is_excused(method):
            continue
        if ast.get_docstring(method) is None and not _inherits(owner, method.name, classes):
            yield method


def _inherits(owner: ast.ClassDef, name: str, classes: Mapping[str, ast.ClassDef]) -> bool:
    waiting = _base_names(owner)
    seen: list[str] = []
    while waiting:
        base = waiting.pop()
        if base in seen or base in SILENT_BASES:
            continue
        if base not in classes:
            return True
        seen.append(base)
        for method in classes[base].body:
            if (
                isinstance(method, Definition)
                and method.name == name
                and ast.get_docstring(method) is not None
            ):
                return True
        waiting += _base_names(classes[base])
    return False


def _base_names(owner: ast.ClassDef) -> list[str]:
    names: list[str] = []
    for base in owner.bases:
        plain = base.value if isinstance(base, ast.Subscript) else base
        if isinstance(plain, ast.Name):
            names.append(plain.id)
        elif isinstance(plain, ast.Attribute):
            names.append(plain.attr)
    return names


def _is_excused(definition: Definition | ast.ClassDef) -> bool:
    return any(
        (isinstance(item, ast.Name) and item.id in ("overload", "override"))
        or (isinstance(item, ast.Attribute) and item.attr in ("overload", "setter"))
        for item in definition.decorator_list
    )
