"""Every decoder of swarm: the table by which all of them are fuzzed. A new decoder gets a row."""

from __future__ import annotations

from tests.fuzz.door_targets import DOOR_TARGETS
from tests.fuzz.file_targets import FILE_TARGETS
from tests.fuzz.key_targets import KEY_TARGETS
from tests.fuzz.service_targets import SERVICE_TARGETS
from tests.fuzz.target import Target
from tests.fuzz.wire_targets import WIRE_TARGETS

TARGETS: dict[str, Target] = {
    target.name: target
    for target in [*WIRE_TARGETS, *DOOR_TARGETS, *FILE_TARGETS, *KEY_TARGETS, *SERVICE_TARGETS]
}
