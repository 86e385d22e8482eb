"""Checkers of records judge right where an identity was on two hosts."""

from __future__ import annotations

import pytest

from sims.checkers.base import Violation
from sims.checkers.records import RecordChecker
from sims.observer import MESSAGE
from tests.unit.sims.checker_samples import JOB, acknowledgement, frame, mesh


def receipt(identity: bytes) -> bytes:
    """A RECORD_STORED of the part that is acknowledged, from a node with an identity."""
    return frame(51, (1, b""), [1, JOB, 0, True], identity)


def test_s6_a_copy_that_a_clone_answered_for_went_with_the_clone() -> None:
    cluster, truth = mesh()
    checker = RecordChecker(truth)
    host, keeper, clone = cluster.hosts
    host.disk.tables["parts"] = {JOB + bytes(4): b"part"}
    identity = keeper.node_id
    checker.on_input(host, MESSAGE, clone.index, receipt(identity), 5.0)
    with pytest.raises(Violation, match="nothing is on the disk of n1"):
        checker.on_performed(host, acknowledgement(["n0", "n1"]), 5.0)
    truth.cloned[identity] = True
    checker.on_input(host, MESSAGE, clone.index, receipt(identity), 5.0)
    for name in ("n1", "n2"):
        checker.on_performed(host, acknowledgement(["n0", name]), 5.0)
        assert checker.acknowledged[JOB + bytes(4)].keepers[1] == (clone.index, identity)
    checker.on_input(host, MESSAGE, keeper.index, receipt(identity), 5.0)
    with pytest.raises(Violation, match="nothing is on the disk of n1"):
        checker.on_performed(host, acknowledgement(["n0", "n1"]), 5.0)


def test_s6_a_keeper_that_became_another_node_is_still_named_for_what_its_clone_took() -> None:
    cluster, truth = mesh()
    checker = RecordChecker(truth)
    host, keeper, clone = cluster.hosts
    checker.on_boot(keeper, 1.0)
    truth.cloned[keeper.node_id] = True
    checker.on_input(host, MESSAGE, clone.index, receipt(keeper.node_id), 5.0)
    keeper.node_id = b"new" + keeper.node_id[3:]
    checker.on_performed(host, acknowledgement(["n1"]), 5.0)
    host.disk.tables["parts"] = {}
    with pytest.raises(Violation, match="nothing is on the disk of n0"):
        checker.on_performed(host, acknowledgement(["n0"]), 5.0)


def test_s6_who_slept_after_the_answers_could_not_know_that_a_keeper_was_replaced() -> None:
    cluster, truth = mesh()
    checker = RecordChecker(truth)
    host, keeper, _ = cluster.hosts
    host.disk.tables["parts"] = {JOB + bytes(4): b"part"}
    checker.on_boot(keeper, 1.0)
    answered = keeper.node_id
    checker.on_input(host, MESSAGE, keeper.index, receipt(answered), 5.0)
    with pytest.raises(Violation, match="nothing is on the disk of n1"):
        checker.on_performed(host, acknowledgement(["n0", "n1"]), 5.0)
    keeper.node_id = b"new" + answered[3:]
    checker.on_performed(host, acknowledgement(["n0", "n1"]), 40.0)
    assert checker.acknowledged[JOB + bytes(4)].keepers[1] == (keeper.index, answered)
