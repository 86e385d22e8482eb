"""Which edges between lines of swarm an input takes, by `sys.settrace`: on every Python from 3.11."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import swarm

_LINE_BITS = 20
_PLACE_BITS = 40


class EdgeTracer:
    """Collects edges: pairs of lines that ran one after the other, across calls too."""

    def __init__(self) -> None:
        self._root = str(Path(str(swarm.__file__)).resolve().parent)
        self._bases: dict[CodeType, int] = {}
        self._previous = 0
        self._found: set[int] = set()

    def edges_of(self, act: Callable[[], object]) -> tuple[set[int], BaseException | None]:
        """Return the edges that a call takes and what it raised, None for nothing."""
        self._found = set()
        self._previous = 0
        raised: BaseException | None = None
        before = sys.gettrace()
        sys.settrace(self._on_call)
        try:
            act()
        except Exception as error:  # noqa: BLE001 - whatever comes out is the find
            raised = error
        finally:
            sys.settrace(before)
        return self._found, raised

    def _on_call(self, frame: FrameType, event: str, arg: object) -> Any:
        code = frame.f_code
        base = self._bases.get(code)
        if base is None:
            is_ours = code.co_filename.startswith(self._root)
            base = (len(self._bases) + 1) << _LINE_BITS if is_ours else 0
            self._bases[code] = base
        return self._on_line if base else None

    def _on_line(self, frame: FrameType, event: str, arg: object) -> Any:
        if event == "line":
            here = self._bases[frame.f_code] + (frame.f_lineno or 0)
            self._found.add(self._previous << _PLACE_BITS | here)
            self._previous = here
        return self._on_line
