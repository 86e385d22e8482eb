"""Finding services: gossip suffices or the node is asked; exclude, retries and max_nodes do what they say."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import unquote

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.core.errors import ConnectionLost, TransportError
from swarm.core.ids import Address, NodeId, short
from swarm.daemon.service_finder import ServiceFinder, is_named
from swarm.gossip.members import Member
from swarm.net.object_client import ObjectClient
from swarm.registry.records import BadService, Params
from swarm.registry.wishes import Wish, wish_of


class FakeNode:
    """A node and what it would answer."""

    def __init__(self, number: int, services: dict[str, Params], told: int = 32) -> None:
        self.node_id = bytes([number]) * 16
        self.name = f"n{number}"
        self.address: Address = (f"10.0.0.{number}", 7117)
        self.services = services
        self.groups: dict[str, list[str]] = {}
        self.not_in: dict[str, list[str]] = {}
        self.told = told
        self.is_hiding = False
        self.state = "alive"
        self.failures = 0
        self.is_silent = False

    def member(self) -> Member:
        names = sorted(self.services)
        facts: dict[str, object] = {"arch": "arm", "cores": 2.0, "tags": ["room=5", "fast"]}
        if names and self.told:
            facts["services"] = names[: self.told]
        if names:
            facts["services_digest"] = json.dumps([self.services, self.groups, self.not_in]).encode()[:64]
        if len(names) > self.told:
            facts["services_more"] = len(names) - self.told
        if self.is_hiding:
            facts["services_hidden"] = True
        return Member(self.node_id, self.name, [self.address], 1, self.state, facts, 0.0)

    def answer(self, name: str) -> list[object]:
        return [
            {
                "name": each,
                "params": self.services[each],
                "groups": self.groups.get(each, []),
                "not_in": self.not_in.get(each, []),
            }
            for each in sorted(self.services)
            if name in ("", each)
        ]


class FakeObjects(ObjectClient):
    """Asks fake nodes, and notes it."""

    def __init__(self, nodes: Sequence[FakeNode]) -> None:
        self.nodes = {node.node_id: node for node in nodes}
        self.asked: list[tuple[str, str]] = []

    async def get_json(
        self, node: NodeId, addresses: Sequence[Address], target: str, size_max: int
    ) -> object:
        await trio.lowlevel.checkpoint()
        asked = self.nodes[node]
        name = unquote(target.removeprefix("/services").removeprefix("/"))
        self.asked.append((asked.name, name))
        if asked.is_silent:
            await trio.sleep_forever()
        if asked.failures:
            asked.failures -= 1
            raise ConnectionLost("lost")
        return asked.answer(name)


class Mesh:
    def __init__(self, *nodes: FakeNode) -> None:
        self.nodes = nodes
        self.objects = FakeObjects(nodes)
        me = nodes[0]

        async def own(name: str) -> list[object]:
            return me.answer(name)

        answer: Callable[[str], Awaitable[list[object]]] = own
        self.finder = ServiceFinder(
            me.node_id, lambda: [node.member() for node in nodes], answer, self.objects
        )

    def find(self, name: str, **wish: object) -> list[str]:
        return [str(row["node"]) for row in trio.run(self.finder.find, wish_of({"service": name, **wish}))]


def test_a_name_is_found_without_asking_anybody() -> None:
    mesh = Mesh(FakeNode(1, {}), FakeNode(2, {"web": {}}), FakeNode(3, {"db": {}}))
    assert mesh.find("web", details=False) == ["n2"]
    assert mesh.find("nothing", details=False) == []
    assert mesh.objects.asked == []


def test_parameters_come_from_the_node_and_only_once_while_nothing_changes() -> None:
    two = FakeNode(2, {"web": {"port": 80}})
    mesh = Mesh(FakeNode(1, {}), two, FakeNode(3, {"web": {"port": 81}}), FakeNode(4, {"db": {}}))
    assert mesh.find("web", params={"port": 80}) == ["n2"]
    assert mesh.find("web", params={"port": 81}) == ["n3"]
    assert mesh.find("web") == ["n2", "n3"]
    assert len(mesh.objects.asked) == 2
    two.services = {"web": {"port": 81}}
    assert mesh.find("web", params={"port": 81}) == ["n2", "n3"]
    assert len(mesh.objects.asked) == 3


def test_a_node_whose_names_did_not_all_fit_is_asked() -> None:
    mesh = Mesh(FakeNode(1, {}), FakeNode(2, {"a": {}, "b": {}, "c": {}}, told=1))
    assert mesh.find("c", details=False) == ["n2"]
    assert mesh.find("nothing", details=False) == []
    assert len(mesh.objects.asked) == 1


def test_a_node_with_many_services_is_asked_for_one() -> None:
    many: dict[str, Params] = {f"s{index:02}": {} for index in range(40)}
    mesh = Mesh(FakeNode(1, {}), FakeNode(2, many, told=5))
    assert mesh.find("s39") == ["n2"]
    assert mesh.objects.asked == [("n2", "s39")]


def test_services_of_users_are_asked_for_where_they_may_be_hidden() -> None:
    hiding, plain = FakeNode(2, {}), FakeNode(3, {})
    hiding.is_hiding = True
    mesh = Mesh(FakeNode(1, {}), hiding, plain)
    assert mesh.find("ana:web") == []
    assert mesh.objects.asked == [("n2", "ana:web")]
    assert mesh.find("web") == []
    assert len(mesh.objects.asked) == 1, "a root service is told"


def test_the_own_services_are_found() -> None:
    mesh = Mesh(FakeNode(1, {"web": {"port": 80}}))
    assert mesh.find("web", params={"port": 80}) == ["n1"]
    assert mesh.objects.asked == []


def test_the_gone_are_not_listed_and_the_suspect_are() -> None:
    nodes = [FakeNode(number, {"web": {}}) for number in range(1, 5)]
    nodes[1].state, nodes[2].state = "dead", "suspect"
    assert Mesh(*nodes).find("web") == ["n1", "n3", "n4"]


@given(st.sets(st.integers(1, 9), max_size=5), st.integers(0, 9), st.booleans())
@settings(deadline=None)
def test_excluded_nodes_are_never_listed_and_max_nodes_counts_the_listed(
    excluded: set[int], max_nodes: int, has_details: bool
) -> None:
    nodes = [FakeNode(number, {"web": {}} if number % 3 else {}) for number in range(1, 10)]
    having = {number for number in range(1, 10) if number % 3}
    kinds = [
        lambda n: f"n{n}",
        lambda n: f"10.0.0.{n}",
        lambda n: f"10.0.0.{n}:7117",
        lambda n: short(bytes([n]) * 16),
    ]
    exclude = [kinds[number % 4](number) for number in sorted(excluded)]
    found = Mesh(*nodes).find("web", exclude=exclude, max_nodes=max_nodes or None, details=has_details)
    listed = {int(name[1:]) for name in found}
    assert len(found) == len(listed)
    assert listed <= having - excluded
    assert len(listed) == min(max_nodes or 99, len(having - excluded))


def test_a_retry_asks_again_those_that_did_not_answer() -> None:
    nodes = [FakeNode(number, {"web": {}}) for number in range(1, 5)]
    nodes[2].failures = 2
    mesh = Mesh(*nodes)
    assert mesh.find("web", retries=1) == ["n1", "n2", "n4"]
    nodes[2].failures = 2
    assert Mesh(*nodes).find("web", retries=2) == ["n1", "n2", "n3", "n4"]
    assert sum([name == "n2" for name, _ in mesh.objects.asked]) == 1


def test_a_silent_node_is_waited_for_no_longer_than_was_wished() -> None:
    nodes = [FakeNode(number, {"web": {}}) for number in range(1, 4)]
    nodes[1].is_silent = True
    mesh = Mesh(*nodes)
    found: list[object] = []

    async def main() -> None:
        started = trio.current_time()
        found.extend(await mesh.finder.find(Wish("web", timeout_s=2.0, retries=2)))
        assert trio.current_time() - started == pytest.approx(6.0)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert len(found) == 2


def test_groups_limit_what_is_found() -> None:
    one, two, three = FakeNode(1, {"web": {}}), FakeNode(2, {"web": {}}), FakeNode(3, {"web": {}})
    two.groups = {"web": ["224.0.0.113"]}
    three.not_in = {"web": ["224.0.0.112"]}
    mesh = Mesh(one, two, three)
    assert mesh.find("web", group="224.0.0.112") == ["n1"]
    assert mesh.find("web", group="224.0.0.113") == ["n1", "n2", "n3"]
    assert mesh.find("web") == ["n1", "n2", "n3"]


def test_one_node_is_asked_when_it_is_named() -> None:
    mesh = Mesh(FakeNode(1, {"web": {}}), FakeNode(2, {"web": {}}), FakeNode(3, {}))
    assert mesh.find("web", node="n2") == ["n2"]
    assert mesh.find("web", node="n3") == []
    assert mesh.find("web", node="nobody") == []


def test_all_services_of_a_node() -> None:
    node = FakeNode(2, {"web": {}, "db": {}})
    mesh = Mesh(FakeNode(1, {}), node)
    rows = trio.run(mesh.finder.services_of, "10.0.0.2", 1.0, 0)
    assert len(rows) == 2
    with pytest.raises(BadService, match="'nobody'"):
        trio.run(mesh.finder.services_of, "nobody", 1.0, 0)
    node.failures, node.services = 9, {"other": {}}
    with pytest.raises(TransportError, match="n2 did not answer"):
        trio.run(mesh.finder.services_of, "n2", 1.0, 1)


def test_nodes_by_what_they_say_about_themselves() -> None:
    mesh = Mesh(FakeNode(1, {}), FakeNode(2, {}))
    assert len(mesh.finder.nodes({"arch": "arm", "room": "5", "fast": True}, 0, [])) == 2
    assert len(mesh.finder.nodes({}, 1, [])) == 1
    assert [row["node"] for row in mesh.finder.nodes({}, 0, ["n1"])] == ["n2"]
    assert mesh.finder.nodes({"arch": "x86"}, 0, []) == []


@given(
    st.recursive(
        st.none() | st.text(max_size=9) | st.integers(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["name", "params", "groups", "not_in"]), inner)
        ),
    )
)
def test_whatever_a_member_answers_nothing_raises(answer: object) -> None:
    node = FakeNode(2, {"web": {}})
    mesh = Mesh(FakeNode(1, {}), node)
    node.answer = lambda name: answer  # type: ignore[method-assign,assignment,return-value]  # as any may
    mesh.find("web")


def test_names_ids_and_addresses_name_a_node() -> None:
    member = FakeNode(7, {}).member()
    for word in ("n7", "10.0.0.7", "10.0.0.7:7117", short(member.node_id), short(member.node_id)[:6]):
        assert is_named(member, [word])
    for word in ("", "n", "10.0.0", short(member.node_id)[:3], "10.0.0.7:1"):
        assert not is_named(member, [word])
