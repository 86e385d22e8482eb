"""Bulk transfers that share capacity: max-min fair rates, or none at all.

In the shared model every pair (source, target) with a transfer under way is one flow. Rates are max-min fair
under what each node sends and receives at most, and under any further links that the pair crosses (a Wi-Fi
cell, an up-link); the transfers of a pair share its rate equally. A pair that is held moves nothing and uses
nothing. Rates change only when a flow begins or ends, is held or goes on. In the simple model each transfer
runs at the smaller of the two ends' rates, whatever else goes on.

Only bulk data goes through here. In the shared model an instant with changes costs time in proportion to the
transfers under way, however many changes it has; in the simple model a transfer costs its place in a heap.

Source: Bertsekas, Gallager, "Data Networks" (1992), section 6.5.2, progressive filling.
"""

from __future__ import annotations

import heapq
from typing import Final, final

from swarm.core.errors import ConfigError

NEVER: Final = float("inf")
_SAME_INSTANT_S: Final = 1e-9


@final
class Transfer:
    """Bytes on their way. `left_bytes` is as of the last change of rates."""

    def __init__(self, number: int, pair: int, left_bytes: float) -> None:
        self.number: Final = number
        self.pair: Final = pair
        self.left_bytes = left_bytes
        self.rate_bytes_s = 0.0
        self.end_s = NEVER


@final
class Flow:
    """All transfers of a pair, and the capacities that it uses, by number."""

    def __init__(self, resources: list[int]) -> None:
        self.resources: Final = resources
        self.count = 0
        self.rate_bytes_s = 0.0


@final
class FlowNetwork:
    """Transfers between nodes, which are numbered from 0.

    Args:
        up, down: bytes per second that each node sends and receives at most, > 0, infinity allowed.
        is_shared: whether transfers share capacity max-min fairly; else see the simple model above.

    Raises:
        ConfigError: a capacity is not above 0, or the lists differ in length.
    """

    def __init__(self, up: list[float], down: list[float], is_shared: bool) -> None:
        if len(up) != len(down):
            raise ConfigError(f"{len(up)} nodes send and {len(down)} receive; name both for each node")
        for rate in up + down:
            if not rate > 0:
                raise ConfigError(f"a capacity is above 0 bytes per second, not {rate}")
        self._count: Final = len(up)
        self._capacity: Final = up + down
        self._is_shared: Final = is_shared
        self._links: dict[int, list[int]] = {}
        self._flows: dict[int, Flow] = {}
        self._held: dict[int, bool] = {}
        self._transfers: dict[int, Transfer] = {}
        self._changed_s = 0.0
        self._is_stale = False
        self._next_end = NEVER
        # Of the simple model: (end, order of the begin, number); cancelled ones stay until their end.
        self._ends: list[tuple[float, int, int]] = []
        self._orders: dict[int, int] = {}
        self._order = 0

    def add_link(self, capacity_bytes_s: float) -> int:
        """Add a capacity that pairs may cross besides their own; return its number.

        Raises:
            ConfigError: it is not above 0.
        """
        if not capacity_bytes_s > 0:
            raise ConfigError(f"a capacity is above 0 bytes per second, not {capacity_bytes_s}")
        self._capacity.append(capacity_bytes_s)
        return len(self._capacity) - 1

    def route(self, source: int, target: int, links: list[int]) -> None:
        """Let the transfers from `source` to `target` that begin from now on cross these links."""
        self._links[source * self._count + target] = links

    def start(self, transfer: int, source: int, target: int, size_bytes: float, now: float) -> None:
        """Begin a transfer of `size_bytes` >= 0; its number is not in use."""
        assert transfer not in self._transfers, f"transfer {transfer} is under way"
        assert size_bytes >= 0, "a size is at least 0"
        pair = source * self._count + target
        self._advance(now)
        flow = self._flows.get(pair)
        if flow is None:
            extra = self._links.get(pair)
            resources = [source, self._count + target]
            if extra is not None:
                resources = resources + extra
            flow = Flow(resources)
            self._flows[pair] = flow
        flow.count += 1
        added = Transfer(transfer, pair, size_bytes)
        self._transfers[transfer] = added
        if self._is_shared:
            self._is_stale = True
        else:
            self._run_alone(added, flow, now)

    def cancel(self, transfer: int, now: float) -> float:
        """Stop a transfer; return the bytes that were left of it, 0 for one that is unknown or has ended.

        In the simple model a transfer that is stopped counts as not begun.
        """
        if transfer not in self._transfers:
            return 0.0
        self._advance(now)
        left_bytes = self._transfers[transfer].left_bytes
        self._remove(transfer)
        self._is_stale = self._is_shared
        return left_bytes

    def hold(self, source: int, target: int, is_held: bool, now: float) -> None:
        """Let the transfers from `source` to `target`, present and later, stand still or go on.

        Only in the shared model; costs nothing when it is so already.
        """
        assert self._is_shared, "transfers of the simple model have their ends when they begin"
        pair = source * self._count + target
        if (pair in self._held) == is_held:
            return
        self._advance(now)
        if is_held:
            self._held[pair] = True
        else:
            del self._held[pair]
        self._is_stale = self._is_stale or pair in self._flows

    def next_end(self) -> float:
        """Return when the next transfer ends, infinity for never."""
        if not self._is_shared:
            self._drop_cancelled()
            return self._ends[0][0] if self._ends else NEVER
        self._share()
        return self._next_end

    def take_ended(self, now: float) -> list[int]:
        """Return and forget the transfers that have ended by `now`, in the order in which they began."""
        if self.next_end() > now + _SAME_INSTANT_S:
            return []
        self._advance(now)
        ended = self._ended_shared(now) if self._is_shared else self._ended_alone(now)
        for number in ended:
            self._remove(number)
        self._is_stale = self._is_shared
        return ended

    def rate_bytes_s(self, transfer: int) -> float:
        """Return the present rate of a transfer that is under way."""
        self._share()
        return self._transfers[transfer].rate_bytes_s

    def __len__(self) -> int:
        return len(self._transfers)

    def _ended_shared(self, now: float) -> list[int]:
        ended: list[int] = []
        for transfer in self._transfers.values():
            if transfer.end_s <= now + _SAME_INSTANT_S:
                ended.append(transfer.number)
        return ended

    def _ended_alone(self, now: float) -> list[int]:
        found: list[tuple[int, int]] = []
        while self._ends and self._ends[0][0] <= now + _SAME_INSTANT_S:
            _, order, number = heapq.heappop(self._ends)
            if self._orders.get(number) == order:
                found.append((order, number))
        found.sort()
        return [number for _, number in found]

    def _run_alone(self, transfer: Transfer, flow: Flow, now: float) -> None:
        """Give a transfer of the simple model its rate and its end, which nothing changes."""
        rate = min([self._capacity[resource] for resource in flow.resources])
        transfer.rate_bytes_s = rate
        transfer.end_s = now if rate == NEVER else now + transfer.left_bytes / rate
        self._order += 1
        self._orders[transfer.number] = self._order
        heapq.heappush(self._ends, (transfer.end_s, self._order, transfer.number))

    def _drop_cancelled(self) -> None:
        while self._ends and self._orders.get(self._ends[0][2]) != self._ends[0][1]:
            heapq.heappop(self._ends)

    def _advance(self, now: float) -> None:
        """Take what has been moved until now off the transfers of the shared model."""
        passed_s = now - self._changed_s
        if passed_s > 0 and self._is_shared:
            self._share()
            for transfer in self._transfers.values():
                if transfer.rate_bytes_s < NEVER:
                    transfer.left_bytes = max(0.0, transfer.left_bytes - transfer.rate_bytes_s * passed_s)
        self._changed_s = now

    def _remove(self, number: int) -> None:
        transfer = self._transfers.pop(number)
        self._orders.pop(number, None)
        flow = self._flows[transfer.pair]
        flow.count -= 1
        if flow.count == 0:
            del self._flows[transfer.pair]

    def _share(self) -> None:
        """Give every flow its rate, and every transfer its end, if something has changed."""
        if not self._is_stale:
            return
        self._is_stale = False
        self._fill()
        now = self._changed_s
        self._next_end = NEVER
        for transfer in self._transfers.values():
            flow = self._flows[transfer.pair]
            rate = flow.rate_bytes_s / flow.count
            transfer.rate_bytes_s = rate
            if rate == NEVER:
                transfer.end_s = now
            else:
                transfer.end_s = now + transfer.left_bytes / rate if rate > 0 else NEVER
            self._next_end = min(self._next_end, transfer.end_s)

    def _fill(self) -> None:
        """Raise all rates together; whoever meets a full capacity keeps its rate."""
        left: dict[int, float] = {}
        users: dict[int, int] = {}
        open_flows: list[Flow] = []
        for pair, flow in self._flows.items():
            flow.rate_bytes_s = NEVER
            if self._held and pair in self._held:
                flow.rate_bytes_s = 0.0
                continue
            for resource in flow.resources:
                if self._capacity[resource] < NEVER:
                    left[resource] = self._capacity[resource]
                    users[resource] = users.get(resource, 0) + 1
            open_flows.append(flow)
        while open_flows and users:
            level = NEVER
            for resource, count in users.items():
                level = min(level, left[resource] / count)
            full: dict[int, bool] = {}
            for resource, count in users.items():
                if left[resource] / count <= level * (1 + 1e-12):
                    full[resource] = True
            still_open: list[Flow] = []
            for flow in open_flows:
                if _touches(flow, full):
                    flow.rate_bytes_s = level
                    _take(flow, left, users)
                else:
                    still_open.append(flow)
            open_flows = still_open


def _touches(flow: Flow, full: dict[int, bool]) -> bool:
    for resource in flow.resources:
        if resource in full:
            return True
    return False


def _take(flow: Flow, left: dict[int, float], users: dict[int, int]) -> None:
    """Take a flow with its rate out of what is left to share."""
    for resource in flow.resources:
        if resource in users:
            left[resource] = max(0.0, left[resource] - flow.rate_bytes_s)
            users[resource] -= 1
            if users[resource] == 0:
                del users[resource]
