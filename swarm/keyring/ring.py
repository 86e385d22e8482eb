"""The keys of one node, in their order: which one seals, and under which of the others members may return."""

from __future__ import annotations

from typing import final

from swarm.core.ids import NodeId
from swarm.keyring.config import KEY_COUNT_MAX
from swarm.keyring.effects import UseKeys
from swarm.keyring.keys import KeyOrder, MeshKey, count_ids


@final
class Ring:
    """One to three keys; what is wanted of them stands at the head of `swarm.keyring.core`.

    Attributes:
        keys: the oldest first.
        primary: fingerprint of the one that seals.
        ages_s: for how long each of the returning keys is one, by fingerprint.
    """

    def __init__(self, first: MeshKey) -> None:
        self.keys: list[MeshKey] = [first]
        self.primary: bytes = first.fingerprint
        self.ages_s: dict[bytes, float] = {}

    def find(self, fingerprint: bytes) -> MeshKey | None:
        """Return the key of that name, None when it is not here."""
        for key in self.keys:
            if key.fingerprint == fingerprint:
                return key
        return None

    def newest(self) -> MeshKey:
        """Return the highest key."""
        return self.keys[-1]

    def has_switched(self) -> bool:
        """Return whether the newest key seals."""
        return self.primary == self.keys[-1].fingerprint

    def primary_key(self) -> MeshKey:
        """Return the key that seals."""
        key = self.find(self.primary)
        assert key is not None, "invariant 1: the primary is in the ring"
        return key

    def add(self, key: MeshKey) -> int:
        """Add a newer key and return how many had to make room for it."""
        assert key.order() > self.newest().order(), "only newer keys are added"
        self.keys.append(key)
        dropped = 0
        while len(self.keys) > KEY_COUNT_MAX:
            spare = [other for other in self.keys[:-1] if other.fingerprint != self.primary]
            self.drop(spare[0])
            dropped += 1
        return dropped

    def drop(self, key: MeshKey) -> None:
        """Forget a key that does not seal."""
        assert key.fingerprint != self.primary, "the primary is never dropped"
        self.keys.remove(key)
        self.ages_s.pop(key.fingerprint, 0.0)

    def retire(self) -> None:
        """Make all keys but the newest returning ones."""
        for key in self.keys[:-1]:
            self.ages_s.setdefault(key.fingerprint, 0.0)

    def grow_old(self, passed_s: float, return_s: float) -> int:
        """Let the returning keys be older by `passed_s`; drop those of `return_s` and count them."""
        dropped = 0
        for key in self.keys[:]:
            age_s = self.ages_s.get(key.fingerprint, -1.0)
            if age_s < 0:
                continue
            self.ages_s[key.fingerprint] = age_s + passed_s
            if age_s + passed_s >= return_s:
                self.drop(key)
                dropped += 1
        return dropped

    def to_effect(self) -> UseKeys:
        """Return what the daemon shall do with the keys."""
        primary = self.primary_key()
        opening = [primary.secret]
        returning: list[bytes] = []
        for key in reversed(self.keys):
            if key.fingerprint in self.ages_s:
                returning.append(key.secret)
            elif key.fingerprint != self.primary:
                opening.append(key.secret)
        return UseKeys(primary.secret, primary.number, opening, returning)

    def rows(self, everybody: list[NodeId], is_settled: bool) -> list[dict[str, object]]:
        """Return one row for each key, the newest first; counts are among the members `everybody`."""
        found: list[dict[str, object]] = []
        for key in reversed(self.keys):
            state = "returning" if key.fingerprint in self.ages_s else "open"
            holders, switched = count_ids(key.holders, everybody), count_ids(key.switched, everybody)
            if key is self.newest() and is_settled:
                holders = switched = len(everybody)  # without it nobody would be seen here
            found.append(
                {
                    "fingerprint": key.fingerprint,
                    "number": key.number,
                    "state": "primary" if key.fingerprint == self.primary else state,
                    "holders": holders,
                    "switched": switched,
                    "members": len(everybody),
                    "age_s": self.ages_s.get(key.fingerprint, 0.0),
                    "excluded": sorted(key.excluded),
                }
            )
        return found

    def orders(self) -> list[KeyOrder]:
        """Return the order of each key, the oldest first."""
        return [key.order() for key in self.keys]

    def check_invariants(self, is_settled: bool) -> None:
        """Assert what `swarm.keyring.core` promises of a ring."""
        names = [key.fingerprint for key in self.keys]
        assert 1 <= len(names) <= KEY_COUNT_MAX, "invariant 1: a ring has 1 to 3 keys"
        assert len(dict.fromkeys(names)) == len(names), "invariant 1: keys of a ring differ"
        assert self.primary in names, "invariant 1: the primary is in the ring"
        orders = self.orders()
        assert orders == sorted(orders), "invariant 2: keys stand in their order"
        assert self.primary not in self.ages_s, "invariant 2: the primary is open"
        assert names[-1] not in self.ages_s, "invariant 2: the newest key is open"
        for name in self.ages_s:
            assert name in names, "invariant 2: what returns is in the ring"
        if is_settled:
            assert self.has_switched(), "invariant 4: the primary of a settled ring is the newest"
            assert len(self.ages_s) == len(names) - 1, "invariant 4: a settled ring has one open key"
