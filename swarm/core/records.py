"""Base of value objects: effects, messages and views.

Subclasses are ``@final``, declare ``__slots__`` and ``Final`` attributes, and write ``__init__`` and
:meth:`Record.fields` by hand: building one then costs a fifth of a dataclass in compiled code.
"""

from __future__ import annotations

from mypy_extensions import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class Record:
    """An immutable value, compared and printed by its fields."""

    __slots__ = ()

    def fields(self) -> tuple[object, ...]:
        """Return the values that make up this record, in declaration order."""
        return ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and type(self) is type(other) and self.fields() == other.fields()

    def __hash__(self) -> int:
        return hash(self.fields())

    def __repr__(self) -> str:
        inside = ", ".join([repr(value) for value in self.fields()])
        return f"{type(self).__name__}({inside})"
