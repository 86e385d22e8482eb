"""Targets: files, and texts of people."""

from __future__ import annotations

import gzip
from collections.abc import Callable

from swarm.client import reach
from swarm.client.graphs import read_graph
from swarm.core.effects import Persist
from swarm.core.errors import (
    ConfigError,
    DecodeError,
    GraphError,
    StorageError,
)
from swarm.core.ids import object_path
from swarm.daemon.config_file import load_settings, parse_address, parse_size
from swarm.daemon.home import read_json_file
from swarm.daemon.kept_objects import KeptObjects
from swarm.daemon.options import DaemonOptions
from swarm.daemon.recorder import Recorder, read_recording
from swarm.daemon.storage import Journal
from swarm.doctor.probing import health_untrusted
from swarm.exec.functions import AttemptFailed
from swarm.exec.programs import _map_of, _ProgramOrder
from swarm.wire.codec import pack, unpack_untrusted
from tests.fuzz.mutation import JSON, MSGPACK
from tests.fuzz.target import Act, Target, Traffic, folder, plain
from tests.unit.scheduler_builder import JOB

_SETTINGS = [
    b'name = "me"\ncores = 2\npeers = ["10.0.0.1:7117"]\n',
    b'[marcopolo]\nenabled = true\ngroups = ["224.0.0.112"]\n',
]
_TEXTS = [b"1.5G", b"10.0.0.1:7117", b"[fe80::1%eth0]:7117", b"::1", b"host"]


def _journal() -> Act:
    """Open a damaged journal: it is rescued, and can be written and read again."""
    path = folder("journal") / "journal.db"

    def act(data: bytes) -> None:
        for other in path.parent.iterdir():
            other.unlink()
        path.write_bytes(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
        journal = Journal(path)
        try:
            journal.open()
            journal.commit([Persist("t", b"key", b"value", True)], durable=False)
            again = Journal(path)
            assert ("t", b"key", b"value") in again.open().rows
            again.close()
        finally:
            journal.close()

    return act


def _journals(traffic: Traffic) -> list[bytes]:
    path = folder("made") / "journal.db"
    for other in path.parent.iterdir():
        other.unlink()
    journal = Journal(path)
    journal.open()
    connection = journal._connection
    assert connection is not None
    connection.execute("PRAGMA page_size=512")
    journal.commit(
        [Persist("node", b"key%d" % number, b"value" * 4, True) for number in range(8)], durable=False
    )
    connection.execute("PRAGMA journal_mode=DELETE")
    connection.execute("VACUUM")
    journal.close()
    return [path.read_bytes()]


def _recording(data: bytes) -> None:
    path = folder("recording") / "recording"
    path.write_bytes(data)
    read_recording(path)


def _recordings(traffic: Traffic) -> list[bytes]:
    path = folder("recording") / "made"
    recorder = Recorder(path, ["seed", [["t", b"k", b"v"]], {"name": "me"}])
    recorder.close()
    frame = pack(["receive_packet", [b"payload", ["10.0.0.1", 7117]], 1.5])
    return [path.read_bytes(), path.read_bytes() + len(frame).to_bytes(4, "little") + frame]


def _kept_objects(data: bytes) -> None:
    fields = unpack_untrusted(data)
    store = folder("kept")
    (store / object_path((JOB, 0, 0))).write_bytes(b"data")
    kept = KeptObjects(store, lambda write: None)
    if isinstance(fields, list) and len(fields) == 2 and all(isinstance(item, bytes) for item in fields):
        kept.restore([("store", fields[0], fields[1])])


def _settings(data: bytes) -> None:
    path = folder("settings") / "swarm.toml"
    path.write_bytes(data)
    load_settings(DaemonOptions(), {}, path, folder("settings"), path)


def _json_file(data: bytes) -> None:
    path = folder("settings") / "file.json"
    path.write_bytes(data)
    read_json_file(path)


def _graph(suffix: str) -> Callable[[bytes], None]:
    def act(data: bytes) -> None:
        path = folder("graph") / f"graph{suffix}"
        path.write_bytes(data)
        read_graph(path)

    return act


def _graphs(traffic: Traffic) -> list[bytes]:
    tasks = (
        b'{"tasks": [{"id": "a", "argv": ["true"], "outputs": {"o": "f"}},'
        b' {"id": "b", "argv": ["cat", {"task": "a"}]}]}'
    )
    links = (
        b'{"directed": true, "nodes": [{"id": "a", "argv": ["true"]}, {"id": "b", "python": "m:f"}],'
        b' "links": [{"source": "a", "target": "b"}]}'
    )
    return [tasks, links]


def _texts(data: bytes) -> None:
    """Give one text to each of the small parsers of people's words."""
    text = data.decode("utf-8", "surrogateescape")
    for parse in (
        lambda: parse_size(text, "memory"),
        lambda: parse_address(text, "peer"),
        lambda: reach.parse_address(text),
    ):
        try:
            parse()
        except ConfigError:
            continue


def _program(data: bytes) -> None:
    _ProgramOrder(_map_of(data), 2)


def _programs(traffic: Traffic) -> list[bytes]:
    full = {
        "argv": ["cat", 0],
        "inputs": {"a": 0},
        "outputs": {"o": 0},
        "stdin": 0,
        "stdout": 1,
        "env": {"A": "b"},
    }
    return [pack(full), pack({"argv": ["true"]})]


FILE_TARGETS = [
    Target("journal-file", _journal, _journals),
    Target("recording", plain(_recording), _recordings, errors=(StorageError,)),
    Target(
        "kept-objects",
        plain(_kept_objects),
        lambda _: [pack([object_path((JOB, 0, 0)).encode() + b"\x00", pack([bytes(16), 4, 0])])],
        MSGPACK,
        (DecodeError,),
    ),
    Target("settings-file", plain(_settings), lambda _: _SETTINGS, errors=(ConfigError,)),
    Target("json-file", plain(_json_file), lambda _: [b'{"port": 7117}'], JSON),
    Target("graph-json", plain(_graph(".json")), _graphs, JSON, (ConfigError, GraphError)),
    Target(
        "graph-gzip",
        plain(_graph(".json.gz")),
        lambda traffic: [gzip.compress(graph, mtime=0) for graph in _graphs(traffic)],
        errors=(ConfigError, GraphError),
    ),
    Target(
        "graph-toml",
        plain(_graph(".toml")),
        lambda _: [b'[[tasks]]\nid = "a"\nargv = ["true"]\n'],
        errors=(ConfigError, GraphError),
    ),
    Target("texts", plain(_texts), lambda _: _TEXTS),
    Target("program", plain(_program), _programs, MSGPACK, (AttemptFailed,)),
    Target(
        "health", plain(health_untrusted), lambda _: [b'{"name": "pi", "time": 1.5}'], JSON, (DecodeError,)
    ),
]
