"""Where each key of a TOML text stands, which tomllib does not tell.

The text is scanned once more after tomllib has accepted it. So the scanner need not check anything: it finds
keys, steps over values, and notes a line for every path. A path is a tuple of keys, and of numbers for the
items of arrays and of arrays of tables, as one would index what tomllib returns.
"""

from __future__ import annotations

from typing import Final, TypeAlias, final

Path: TypeAlias = tuple[str | int, ...]

_SPACES: Final = " \t"
_BLANKS: Final = " \t\r\n"
_BARE_ENDS: Final = " \t\r\n.=]"
_VALUE_ENDS: Final = ",]}\r\n#"
_ESCAPES: Final = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b", '"': '"', "\\": "\\"}
_HEX_ESCAPES: Final = {"x": 2, "u": 4, "U": 8}


def key_lines(text: str) -> dict[Path, int]:
    """Return the line, from 1, of every key, table and array item of a TOML text that tomllib accepts.

    A table that is written in several places (``[a.b]``, then ``[a.c]``) has the first line that names it.
    """
    return _Scanner(text).scan()


def line_of(lines: dict[Path, int], path: Path) -> int:
    """Return the line of a path, or that of the nearest table around it; 1 for the document itself."""
    while path:
        found = lines.get(path)
        if found is not None:
            return found
        path = path[:-1]
    return 1


@final
class _Scanner:
    """Walks over a text; every method that reads something begins at it and ends just behind it."""

    def __init__(self, text: str) -> None:
        self._text: Final = text
        self._place = 0
        self._line = 1
        self._lines: Final[dict[Path, int]] = {}
        self._counts: Final[dict[Path, int]] = {}

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        while True:
            self._skip(_BLANKS)
            if self._is_at_end():
                return self._lines
            if self._at("#"):
                self._skip_comment()
            elif self._at("["):
                table = self._read_header()
            else:
                self._read_pair(table)

    # Tables and pairs

    def _read_header(self) -> Path:
        line = self._line
        is_array = self._at("[[")
        self._step(2 if is_array else 1)
        keys = self._read_keys()
        self._skip(_SPACES)
        self._step(2 if is_array else 1)
        table: Path = ()
        for number, key in enumerate(keys):
            table = (*table, key)
            self._note(table, line)
            if number < len(keys) - 1 or not is_array:
                table = self._inside(table)
        if is_array:
            count = self._counts.get(table, 0)
            self._counts[table] = count + 1
            table = (*table, count)
            self._note(table, line)
        return table

    def _inside(self, table: Path) -> Path:
        """Return the table that a name means: of an array of tables the last one so far."""
        count = self._counts.get(table, 0)
        return (*table, count - 1) if count else table

    def _read_pair(self, table: Path) -> None:
        line = self._line
        path = table
        for key in self._read_keys():
            path = (*path, key)
            self._note(path, line)
        self._skip(_SPACES)
        self._step(1)
        self._skip(_SPACES)
        self._read_value(path)

    def _note(self, path: Path, line: int) -> None:
        self._lines.setdefault(path, line)

    # Keys

    def _read_keys(self) -> list[str]:
        keys: list[str] = []
        while True:
            self._skip(_SPACES)
            keys.append(self._read_key())
            self._skip(_SPACES)
            if not self._at("."):
                return keys
            self._step(1)

    def _read_key(self) -> str:
        if self._at('"'):
            return self._read_basic_key()
        if self._at("'"):
            end = self._text.index("'", self._place + 1)
            key = self._text[self._place + 1 : end]
            self._step(end + 1 - self._place)
            return key
        begin = self._place
        while not self._is_at_end() and self._text[self._place] not in _BARE_ENDS:
            self._step(1)
        return self._text[begin : self._place]

    def _read_basic_key(self) -> str:
        self._step(1)
        letters: list[str] = []
        while not self._at('"'):
            letter = self._text[self._place]
            self._step(1)
            if letter != "\\":
                letters.append(letter)
                continue
            escape = self._text[self._place]
            self._step(1)
            digits = _HEX_ESCAPES.get(escape, 0)
            if digits:
                letters.append(chr(int(self._text[self._place : self._place + digits], 16)))
                self._step(digits)
            else:
                letters.append(_ESCAPES[escape])
        self._step(1)
        return "".join(letters)

    # Values

    def _read_value(self, path: Path) -> None:
        if self._at('"""') or self._at("'''"):
            self._skip_long_text(self._text[self._place : self._place + 3])
        elif self._at('"') or self._at("'"):
            self._skip_short_text(self._text[self._place])
        elif self._at("["):
            self._read_array(path)
        elif self._at("{"):
            self._read_inline_table(path)
        else:
            while not self._is_at_end() and self._text[self._place] not in _VALUE_ENDS:
                self._step(1)

    def _read_array(self, path: Path) -> None:
        self._step(1)
        count = 0
        while True:
            self._skip_between()
            if self._at("]"):
                self._step(1)
                return
            item = (*path, count)
            self._note(item, self._line)
            self._read_value(item)
            count += 1
            self._skip_between()
            if self._at(","):
                self._step(1)

    def _read_inline_table(self, path: Path) -> None:
        self._step(1)
        while True:
            self._skip_between()
            if self._at("}"):
                self._step(1)
                return
            self._read_pair(path)
            self._skip_between()
            if self._at(","):
                self._step(1)

    def _skip_long_text(self, quotes: str) -> None:
        self._step(3)
        while not self._at(quotes):
            self._step(2 if self._at("\\") and quotes == '"""' else 1)
        self._step(3)
        for _ in range(2):
            # Up to two quotes more belong to the text.
            if self._at(quotes[0]):
                self._step(1)

    def _skip_short_text(self, quote: str) -> None:
        self._step(1)
        while not self._at(quote):
            self._step(2 if self._at("\\") and quote == '"' else 1)
        self._step(1)

    # Letters

    def _at(self, wanted: str) -> bool:
        return self._text.startswith(wanted, self._place)

    def _is_at_end(self) -> bool:
        return self._place >= len(self._text)

    def _step(self, count: int) -> None:
        end = min(self._place + count, len(self._text))
        self._line += self._text.count("\n", self._place, end)
        self._place = end

    def _skip(self, letters: str) -> None:
        while not self._is_at_end() and self._text[self._place] in letters:
            self._step(1)

    def _skip_comment(self) -> None:
        while not self._is_at_end() and not self._at("\n"):
            self._step(1)

    def _skip_between(self) -> None:
        """Step over blanks, line ends and comments inside brackets."""
        self._skip(_BLANKS)
        while self._at("#"):
            self._skip_comment()
            self._skip(_BLANKS)
