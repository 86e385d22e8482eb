"""Settings from options, environment and swarm.toml: who wins, and what each wrong value says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from swarm.core.errors import ConfigError
from swarm.daemon import host
from swarm.daemon.config_file import (
    NAME_SIZE_MAX,
    Settings,
    daemon_environment,
    keep_options,
    load_settings,
    parse_address,
    parse_size,
)
from swarm.daemon.options import DaemonOptions, Descriptors, parse_arguments


def load(
    path: Path,
    options: DaemonOptions | None = None,
    environment: dict[str, str] | None = None,
    toml: str | None = None,
) -> Settings:
    file = path / "swarm.toml"
    if toml is not None:
        file.write_text(toml, encoding="utf-8")
    return load_settings(options or DaemonOptions(), environment or {}, file, path / "store")


def test_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings.port is None
    assert settings.listen == ""
    assert settings.peers == ()
    assert settings.use_multicast
    assert settings.cores == host.core_count() > 0
    assert settings.memory_bytes == host.memory_bytes() > 0
    assert settings.store_bytes_max > 0
    assert settings.tags == ()
    assert not settings.record
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", settings.name)


TOML = """
name = "from-file"
port = 7200
peer = ["a.example:1", "b.example"]
no-multicast = true
cores = 1.5
memory = "2G"
disk = 1048576
tag = ["gpu=no", "arm"]
record = true
"""


def test_the_file_is_read(tmp_path: Path) -> None:
    settings = load(tmp_path, toml=TOML)
    assert settings.name == "from-file"
    assert settings.port == 7200
    assert settings.peers == (("a.example", 1), ("b.example", 7117))
    assert not settings.use_multicast
    assert settings.cores == 1.5
    assert settings.memory_bytes == 2 * 1024**3
    assert settings.store_bytes_max == 1048576
    assert settings.tags == ("arm", "gpu=no")
    assert settings.record


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    environment = {
        "SWARM_NAME": "from-env",
        "SWARM_PEER": "c.example:2, [fe80::1%eth0]:3",
        "SWARM_NO_MULTICAST": "0",
        "SWARM_CORES": "3",
        "SWARM_OTHER": "of no interest",
        "SWARM_TAG": "",
    }
    settings = load(tmp_path, environment=environment, toml=TOML)
    assert settings.name == "from-env"
    assert settings.peers == (("c.example", 2), ("fe80::1%eth0", 3))
    assert settings.use_multicast
    assert settings.cores == 3.0
    assert settings.port == 7200
    assert settings.tags == ("arm", "gpu=no")


def test_a_preset_comes_from_all_sources_and_is_kept(tmp_path: Path) -> None:
    assert load(tmp_path).preset == "lan"
    assert load(tmp_path, toml="preset = 'wan'").preset == "wan"
    assert load(tmp_path, environment={"SWARM_PRESET": "phone"}).preset == "phone"
    assert load(tmp_path, DaemonOptions(preset="local"), {"SWARM_PRESET": "phone"}).preset == "local"
    kept = tmp_path / "options.json"
    keep_options(kept, DaemonOptions(preset="phone"))
    (tmp_path / "swarm.toml").unlink()
    again = load_settings(DaemonOptions(), {}, tmp_path / "swarm.toml", tmp_path / "store", kept)
    assert again.preset == "phone"
    with pytest.raises(ConfigError, match="SWARM_PRESET is 'moon'"):
        load(tmp_path, environment={"SWARM_PRESET": "moon"})


def test_options_win_over_all(tmp_path: Path) -> None:
    options = DaemonOptions(
        name="from-option",
        port=0,
        peer=("d:4",),
        cores="0.5",
        tag=("x=y",),
        interface=("eth7",),
        listen="::1",
    )
    settings = load(tmp_path, options, {"SWARM_NAME": "from-env", "SWARM_PORT": "9"}, TOML)
    assert (settings.name, settings.port, settings.cores) == ("from-option", 0, 0.5)
    assert (settings.peers, settings.tags) == ((("d", 4),), ("x=y",))
    assert (settings.interfaces, settings.listen) == (("eth7",), "::1")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (DaemonOptions(name="two words"), "--name is 'two words'; a name has letters"),
        (DaemonOptions(name="-x"), "--name"),
        (DaemonOptions(name="x" * (NAME_SIZE_MAX + 1)), "at most 63"),
        (DaemonOptions(port=70000), "--port is '70000'; a port is a number from 1 to 65535"),
        (DaemonOptions(peer=("a:b",)), "--peer is 'a:b': 'b' is no port"),
        (DaemonOptions(peer=("http://a",)), "--peer is 'http://a'"),
        (DaemonOptions(peer=tuple([f"h{number}" for number in range(65)])), "--peer names 65 addresses"),
        (DaemonOptions(preset="moon"), "--preset is 'moon'; there are lan, local, wan, phone"),
        (DaemonOptions(cores="many"), "--cores is 'many'; write how many cores"),
        (DaemonOptions(cores="0"), "--cores is '0'"),
        (DaemonOptions(memory="lots"), "--memory is 'lots', which is no size; write for example 500M"),
        (DaemonOptions(disk="0"), "--disk is '0'"),
        (DaemonOptions(tag=("a b",)), "--tag has 'a b'; a tag is key=value"),
        (DaemonOptions(tag=("a=\udcff",)), "--tag has 'a=\\udcff'; a tag is key=value"),
        (DaemonOptions(memory="9" * 400), "--memory is '999"),
        (DaemonOptions(disk="99999999999999T"), "--disk is '99999999999999T', which is no size"),
        (DaemonOptions(tag=tuple([f"t{number}" for number in range(17)])), "--tag has 17 tags"),
    ],
)
def test_wrong_options_name_value_and_cure(tmp_path: Path, options: DaemonOptions, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, options)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("colour = 1", "sets 'colour', which is unknown; known are name, port"),
        ("name = ", "is no TOML"),
        ("name = ['a']", "must be one value, not ['a']"),
        ("peer = 3", "must be a list of texts, not 3"),
        ("no-multicast = 'yes'", "must be true or false, not 'yes'"),
        ("preset = 'moon'", "is 'moon'; there are lan, local, wan, phone"),
        ("preset = 5", "is '5'; there are"),
        ("port = true", "must be one value, not True"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, toml: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, toml=toml)
    assert said in str(caught.value)
    assert str(tmp_path / "swarm.toml") in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "swarm.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(ConfigError, match="cannot read"):
        load(tmp_path)


def test_a_wrong_switch_in_the_environment(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="SWARM_RECORD is 'maybe'; write 1 or 0"):
        load(tmp_path, environment={"SWARM_RECORD": "maybe"})


@pytest.mark.parametrize(
    ("text", "size"),
    [("4096", 4096), ("100M", 100 * 1024**2), ("1.5G", 3 * 512 * 1024**2), ("2 KiB", 2048), ("1tb", 1024**4)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text, "here") == size


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("host", ("host", 7117)),
        ("host:1", ("host", 1)),
        ("::1", ("::1", 7117)),
        ("[::1]", ("::1", 7117)),
        ("[::1]:65535", ("::1", 65535)),
        (" 10.0.0.1:2 ", ("10.0.0.1", 2)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text, "here") == address


@pytest.mark.parametrize("text", ["", ":1", "a b", "a:0", "a:65536", "[::1", "[::1]x", "a/b"])
def test_wrong_addresses(text: str) -> None:
    with pytest.raises(ConfigError, match="here is"):
        parse_address(text, "here")


def test_options_survive_the_command_line(tmp_path: Path) -> None:
    options = DaemonOptions(
        home=tmp_path,
        name="-n",
        port=1,
        listen="l",
        peer=("a", "-b"),
        interface=("i",),
        no_multicast=True,
        cores="1",
        memory="2",
        disk="3",
        tag=("t=1", "u"),
        new=True,
        ready_file=tmp_path / "ready",
        foreground=True,
        log_json=True,
        record=True,
        temporary=True,
    )
    descriptors = ["--mesh-fd=3", "--status-fd=4", "--lifeline-fd=5"]
    read = parse_arguments([*options.to_arguments(), *descriptors])
    assert read == (options, Descriptors(mesh=3, status=4, lifeline=5))
    bare = DaemonOptions(home=tmp_path)
    assert parse_arguments(bare.to_arguments()) == (bare, Descriptors())


def test_the_invitation_is_no_argument(tmp_path: Path) -> None:
    arguments = DaemonOptions(home=tmp_path, invitation="swarm1:secret").to_arguments()
    assert "secret" not in " ".join(arguments)


def test_wrong_arguments_end_with_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_arguments(["--colour"])
    assert caught.value.code == 2
    assert "--colour" in capsys.readouterr().err


def test_executors_do_not_see_the_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWARM_MESH", "swarm1:secret")
    environment = daemon_environment(tmp_path)
    assert "SWARM_MESH" not in environment
    assert environment["SWARM_HOME"] == str(tmp_path)


def test_facts_of_this_host() -> None:
    facts = host.facts(["a=b"])
    assert facts["tags"] == ["a=b"]
    assert isinstance(facts["host"], bytes)
    assert len(facts["host"]) == host.HOST_DIGEST_SIZE
    assert host.host_digest() == facts["host"]
    assert isinstance(facts["speed"], float)
    assert 0.001 < facts["speed"] < 100
    assert 8 <= host.fitness(0) <= 152
    assert host.fitness(16 * 1024**3) > host.fitness(1024**3)
    assert host.host_name()


def test_options_hold_until_others_are_given(tmp_path: Path) -> None:
    kept = tmp_path / "options.json"

    def next_start(options: DaemonOptions, toml: str = "") -> Settings:
        (tmp_path / "swarm.toml").write_text(toml)
        settings = load_settings(options, {}, tmp_path / "swarm.toml", tmp_path / "store", kept)
        keep_options(kept, options)
        return settings

    first = DaemonOptions(name="pi", listen="127.0.0.1", cores="1", tag=("a=b",), port=7200, record=True)
    before = next_start(first)
    again = next_start(DaemonOptions())
    assert (again.name, again.listen, again.cores, again.port) == ("pi", "127.0.0.1", 1.0, 7200)
    assert (again.tags, again.record, before.record) == (("a=b",), False, True)
    changed = next_start(DaemonOptions(cores="2", listen=""))
    assert (changed.name, changed.cores, changed.listen) == ("pi", 2.0, "")
    assert next_start(DaemonOptions(), "cores = 3").cores == 3.0
    assert next_start(DaemonOptions()).cores == 2.0
    assert kept.stat().st_mode & 0o777 == 0o600
    kept.write_text("{half")
    assert next_start(DaemonOptions()).port is None


# MarcoPolo


def test_marcopolo_is_off_until_somebody_switches_it_on(tmp_path: Path) -> None:
    assert load(tmp_path).marcopolo is None
    assert load(tmp_path, toml='[marcopolo]\ngroups = ["239.1.2.3"]').marcopolo is None
    by_option = load(tmp_path, DaemonOptions(marcopolo=True))
    assert by_option.marcopolo is not None
    assert by_option.marcopolo.groups == ("239.1.2.3",), "the option switches on, the table says how"
    assert load(tmp_path, environment={"SWARM_MARCOPOLO": "1"}).marcopolo is not None
    by_file = load(tmp_path, toml='[marcopolo]\nenabled = true\nroles = ["polo"]').marcopolo
    assert by_file is not None
    assert by_file.roles == ("polo",)
    assert load(tmp_path, toml="marcopolo = true").marcopolo is not None


def test_a_wrong_table_of_marcopolo_is_said_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[marcopolo\] in .*swarm.toml: .*'10.0.0.1' is not within"):
        load(tmp_path, toml='[marcopolo]\ngroups = ["10.0.0.1"]')


def test_the_folder_of_services(tmp_path: Path) -> None:
    assert load(tmp_path).services == Path("/etc/swarm/services")
    assert load(tmp_path, DaemonOptions(services="/srv/s")).services == Path("/srv/s")
