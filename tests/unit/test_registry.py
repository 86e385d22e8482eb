"""Services of a node: what may be one, the files that hold some, publishing and withdrawing."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.core.errors import StorageError
from swarm.registry import files as files_module
from swarm.registry.files import FILE_COUNT_MAX, FILE_SIZE_MAX, ServiceFolder, User, parse_service_untrusted
from swarm.registry.records import (
    BadService,
    check_flag,
    check_group,
    check_groups,
    check_id,
    check_params,
    has_params,
    split_name,
)
from swarm.registry.registry import UNKNOWN_KEPT_S, Registry

GROUP = "224.0.0.112"
OTHER = "224.0.0.113"


class World:
    """A machine with the users me, ana (who has services) and bob (who has none)."""

    def __init__(self, root: Path) -> None:
        self.system = root / "etc"
        uid = os.geteuid()
        self.me = User("me", uid, os.getegid(), root / "me")
        self.ana = User("ana", uid, os.getegid(), root / "ana")
        self.bob = User("bob", uid, os.getegid(), root / "bob")
        for user in (self.me, self.ana, self.bob):
            user.home.mkdir()
        self.complaints: list[tuple[str, str]] = []
        self.asked: list[str] = []
        self.registry = Registry(
            [self.system],
            self.me,
            lambda user: [user.home / "services"],
            self.find_user,
            lambda path, why: self.complaints.append((Path(path).name, why)),
        )

    def find_user(self, name: str) -> User | None:
        self.asked.append(name)
        return {"me": self.me, "ana": self.ana, "bob": self.bob}.get(name)

    def drop(self, folder: Path, name: str, value: object) -> Path:
        folder.mkdir(exist_ok=True)
        path = folder / name
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return path

    def names(self) -> list[str]:
        return [service.name for service in self.registry.services]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# What a service may be: one error per case, with the faulty value in it


@pytest.mark.parametrize(
    "value", ["", "x" * 31, 7, None, "a b", "a:b", "a/b", ".hidden", "new\nline", "a\\b"]
)
def test_what_is_no_id_is_refused_by_its_value(value: object) -> None:
    with pytest.raises(BadService, match=re.escape(repr(value)[:40])):
        check_id(value)


@pytest.mark.parametrize("value", ["", 3, "a:", ":a", "-x:web", "a b:web", "a:b:c", None])
def test_what_is_no_name_is_refused(value: object) -> None:
    with pytest.raises(BadService):
        split_name(value)


def test_a_name_is_an_id_with_or_without_a_user() -> None:
    assert split_name("web") == ("", "web")
    assert split_name("ana:web") == ("ana", "web")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (5, "is a text"),
        ("abc", "no dotted IPv4"),
        ("224.0.0", "no dotted IPv4"),
        ("ff02::1", "no dotted IPv4"),
        ("192.168.1.1", "not within 224 to 239"),
        ("240.0.0.1", "not within 224 to 239"),
        (OTHER, "has not joined"),
    ],
)
def test_what_is_no_group_of_ours_is_refused_by_its_value(value: object, why: str) -> None:
    with pytest.raises(BadService, match=why) as caught:
        check_group(value, [GROUP])
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("value", [0, 1, "true", None, [True]])
def test_only_a_truth_value_is_one(value: object) -> None:
    with pytest.raises(BadService, match=re.escape(f"permanent is true or false, not {value!r}")):
        check_flag("permanent", value)


@pytest.mark.parametrize(
    "value", [[], "x", {"a": {}}, {"a": []}, {"": 1}, {1: 2}, {"a": float("nan")}, {"a": 2**64}]
)
def test_parameters_are_flat(value: object) -> None:
    with pytest.raises(BadService):
        check_params(value)


def test_wanted_parameters_are_compared_by_kind_and_value() -> None:
    assert has_params({"port": 80, "tls": True}, {"port": 80})
    assert has_params({"port": 80}, {})
    assert not has_params({"port": 1}, {"port": True})
    assert not has_params({"port": "80"}, {"port": 80})
    assert not has_params({}, {"port": None})


@given(st.binary(max_size=300))
def test_any_bytes_are_a_service_or_a_refusal(data: bytes) -> None:
    try:
        service = parse_service_untrusted(data, "", "x")
    except BadService:
        return
    assert check_id(service.service_id)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=40), inner, max_size=4),
    max_leaves=10,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={"id": json_values, "params": json_values, "groups": json_values, "disabled": json_values},
    )
)
def test_any_object_is_a_service_or_a_refusal(value: dict[str, object]) -> None:
    try:
        service = parse_service_untrusted(json.dumps(value).encode(), "ana", "x")
    except BadService:
        return
    again = parse_service_untrusted(json.dumps(service.to_file()).encode(), "ana", "x")
    assert again == service


# Files


def test_a_dropped_file_is_a_service_and_a_removed_one_is_none(world: World) -> None:
    path = world.drop(world.system, "any-name", {"id": "web", "params": {"port": 80}})
    assert world.registry.look()
    assert world.names() == ["web"]
    assert not world.registry.look()
    path.unlink()
    assert world.registry.look()
    assert world.names() == []


def test_disabled_hides_a_service(world: World) -> None:
    path = world.drop(world.system, "web", {"id": "web"})
    world.registry.look()
    path.write_text('{"id": "web", "disabled": true}')
    assert world.registry.look()
    assert world.names() == []
    assert world.registry.info("web")["disabled"] is True


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "no JSON"),
        ("[1]", "one JSON object"),
        ("{}", "id is missing"),
        ('{"id": ""}', "1 to 30 characters, not ''"),
        ('{"id": "x", "disable": true}', "'disable' means nothing"),
        ('{"id": "x", "disabled": 1}', "true or false, not 1"),
        ('{"id": "x", "params": {"a": [1]}}', "the parameter a"),
        ('{"id": "x", "groups": ["10.0.0.1"]}', "'10.0.0.1' is not within"),
        ('{"id": "x", "groups": "224.0.0.1"}', "a list of texts"),
        (" " * (FILE_SIZE_MAX + 1), "at most 4096 bytes"),
    ],
)
def test_a_malformed_file_is_named_and_skipped(world: World, text: str, why: str) -> None:
    world.drop(world.system, "bad.json", text)
    world.drop(world.system, "good.json", {"id": "good"})
    world.registry.look()
    world.registry.look()
    assert world.names() == ["good"]
    assert len(world.complaints) == 1, "once for each state of the file"
    assert world.complaints[0][0] == "bad.json"
    assert why in world.complaints[0][1]


def test_a_mended_file_counts(world: World) -> None:
    path = world.drop(world.system, "x", "{")
    world.registry.look()
    path.write_text('{"id": "web"}')
    assert world.registry.look()
    assert world.names() == ["web"]


def test_links_pipes_and_folders_are_not_read(world: World, tmp_path: Path) -> None:
    world.system.mkdir()
    secret = tmp_path / "secret"
    secret.write_text('{"id": "secret"}')
    (world.system / "link").symlink_to(secret)
    os.mkfifo(world.system / "pipe")
    (world.system / "folder").mkdir()
    (world.system / "token").write_text("0:abc")
    (world.system / ".hidden").write_text("{")
    (world.system / "web.json~").write_text("{")
    world.registry.look()
    assert world.names() == []
    assert sorted(name for name, _ in world.complaints) == ["link", "pipe"]


def test_files_of_somebody_else_do_not_count_in_a_users_folder(tmp_path: Path) -> None:
    folder = tmp_path / "services"
    folder.mkdir()
    (folder / "web").write_text('{"id": "web"}')
    complaints: list[str] = []
    of_another = ServiceFolder(folder, "ana", os.geteuid() + 1, lambda path, why: complaints.append(why))
    of_another.look()
    assert of_another.services == ()
    assert "belongs to uid" in complaints[0]


def test_of_two_files_with_one_id_the_first_counts(world: World) -> None:
    world.drop(world.system, "a", {"id": "web", "params": {"n": 1}})
    world.drop(world.system, "b", {"id": "web", "params": {"n": 2}})
    world.registry.look()
    assert world.registry.services[0].params == {"n": 1}
    assert "which counts" in world.complaints[0][1]


def test_too_many_files_are_said(world: World) -> None:
    for index in range(FILE_COUNT_MAX + 5):
        world.drop(world.system, f"{index:04}", {"id": f"s{index}"})
    world.registry.look()
    world.registry.look()
    assert len(world.names()) == FILE_COUNT_MAX
    assert len(world.complaints) == 1


# Users


def test_the_own_user_is_looked_at_from_the_start_others_when_asked_for(world: World) -> None:
    world.drop(world.me.home / "services", "x", {"id": "mine"})
    world.drop(world.ana.home / "services", "x", {"id": "web"})
    world.registry.look()
    assert world.names() == ["me:mine"]
    assert world.registry.is_asked_first("ana:web", 1.0)
    assert world.registry.load_user("ana:web", 1.0)
    assert world.names() == ["ana:web", "me:mine"]
    assert not world.registry.is_asked_first("ana:other", 1.0)
    world.drop(world.ana.home / "services", "y", {"id": "later"})
    assert world.registry.look()
    assert world.registry.find("ana:later") is not None


def test_a_user_without_services_is_asked_for_again_a_little_later(world: World) -> None:
    assert not world.registry.load_user("bob:web", 1.0)
    assert not world.registry.load_user("bob:web", 1.1)
    assert not world.registry.is_asked_first("bob:web", 1.1)
    assert world.asked == ["bob"]
    world.drop(world.bob.home / "services", "x", {"id": "web"})
    assert world.registry.load_user("bob:web", 1.0 + UNKNOWN_KEPT_S)
    assert not world.registry.is_asked_first("web", 9.0), "a root service has no user"


def test_unknown_users_are_bounded(world: World) -> None:
    for index in range(1000):
        world.registry.load_user(f"nobody{index}:x", 1.0)
    assert len(world.registry._unknown) <= 256
    assert world.names() == []


# Publishing


def test_a_published_service_ends_with_the_daemon_unless_it_is_permanent(world: World) -> None:
    made = world.registry.publish("web", {"port": 80}, (), False, world.me)
    assert made.name == "me:web"
    assert made.path == ""
    kept = world.registry.publish("db", {}, (GROUP,), True, world.me)
    assert json.loads(Path(kept.path).read_text()) == {"id": "db", "params": {}, "groups": [GROUP]}
    root = world.registry.publish("web", {}, (), True, None)
    assert Path(root.path).parent == world.system
    assert world.names() == ["me:db", "me:web", "web"]
    again = Registry(
        [world.system], world.me, lambda user: [user.home / "services"], world.find_user, lambda *_: None
    )
    again.look()
    assert [service.name for service in again.services] == ["me:db", "web"]


def test_a_name_is_published_once(world: World) -> None:
    world.registry.publish("web", {}, (), False, world.me)
    with pytest.raises(BadService, match="'me:web' is there already"):
        world.registry.publish("web", {}, (), True, world.me)
    world.drop(world.system, "x", {"id": "db", "disabled": True})
    world.registry.look()
    with pytest.raises(BadService, match="'db' is there already"):
        world.registry.publish("db", {}, (), False, None)


def test_a_file_in_the_way_is_named(world: World) -> None:
    world.drop(world.system, "web.json", "{")
    with pytest.raises(BadService, match=r"web\.json is there already"):
        world.registry.publish("web", {}, (), True, None)
    assert (world.system / "web.json").read_text() == "{"


def test_a_folder_that_cannot_be_written_is_named(world: World) -> None:
    world.system.write_text("no folder")
    with pytest.raises(StorageError, match="cannot write"):
        world.registry.publish("web", {}, (), True, None)
    assert world.names() == []


def test_unpublishing_keeps_the_file_until_told_otherwise(world: World) -> None:
    kept = world.registry.publish("db", {}, (), True, world.me)
    world.registry.unpublish("me:db", (), False)
    assert world.names() == []
    assert Path(kept.path).exists()
    world.registry.look()
    assert world.names() == []
    assert world.registry.reload()
    assert world.names() == ["me:db"]
    world.registry.unpublish("me:db", (), True)
    assert not Path(kept.path).exists()
    with pytest.raises(BadService, match="no service 'me:db'"):
        world.registry.unpublish("me:db", (), False)


def test_a_service_is_found_in_its_groups_only(world: World) -> None:
    world.registry.publish("web", {}, (GROUP,), False, None)
    world.registry.publish("all", {}, (), False, None)
    assert [service.name for service in world.registry.in_group(GROUP)] == ["all", "web"]
    assert [service.name for service in world.registry.in_group(OTHER)] == ["all"]
    assert world.registry.find("web", OTHER) is None
    before = world.registry.digest()
    world.registry.unpublish("all", (OTHER,), False)
    assert world.registry.in_group(OTHER) == []
    assert world.registry.find("all", GROUP) is not None
    assert world.registry.digest() != before
    world.registry.unpublish("web", (GROUP,), False)
    assert world.names() == ["all"], "published nowhere is not published"


def test_a_service_becomes_permanent_and_ceases_to_be(world: World) -> None:
    world.registry.publish("web", {"port": 1}, (), False, world.me)
    world.registry.set_permanent("me:web", True)
    path = Path(str(world.registry.info("me:web")["file"]))
    assert path.exists()
    world.registry.set_permanent("me:web", True)
    world.registry.set_permanent("me:web", False)
    assert not path.exists()
    assert world.registry.info("me:web")["params"] == {"port": 1}
    assert world.names() == ["me:web"]


def test_the_digest_follows_every_change(world: World) -> None:
    assert world.registry.digest() == b""
    seen = {b""}
    world.registry.publish("web", {}, (), False, world.me)
    seen.add(world.registry.digest())
    world.registry.unpublish("me:web", (), False)
    world.registry.publish("web", {"port": 1}, (), False, world.me)
    seen.add(world.registry.digest())
    assert len(seen) == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_in_the_home_of_another_user_no_link_is_followed(tmp_path: Path) -> None:
    home, target = tmp_path / "home", tmp_path / "target"
    home.mkdir()
    target.mkdir()
    user = User("ana", 12345, 12345, home)
    os.chown(home, 12345, 12345)
    files_module.write_file(home / ".polo", "token", b"t", 0o600, user)
    found = (home / ".polo" / "token").stat()
    assert (found.st_uid, found.st_mode & 0o777) == (12345, 0o600)
    (home / ".config").symlink_to(target)
    with pytest.raises(StorageError):
        files_module.write_file(home / ".config" / "swarm", "x", b"t", 0o600, user)
    assert list(target.iterdir()) == []


def test_groups_are_named_once() -> None:
    assert check_groups([GROUP, GROUP, OTHER]) == (GROUP, OTHER)
    with pytest.raises(BadService, match="at most 8 groups"):
        check_groups([f"224.1.1.{index}" for index in range(9)])
