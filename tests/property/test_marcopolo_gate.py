"""MarcoPolo's datagrams from anybody: nothing raises, nobody gets more than the bound, neighbours only."""

from __future__ import annotations

import ipaddress
import json

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.compat.marcopolo.gate import (
    ASKER_COUNT_MAX,
    BURST_BYTES,
    BYTES_PER_S,
    QUESTION_BYTES,
    SHARE_OF_ALL,
    Gate,
)
from swarm.compat.marcopolo.local_marco import LocalMarco
from swarm.compat.marcopolo.marco import Marco
from swarm.compat.marcopolo.messages import (
    MARCO,
    OK,
    POLO,
    REQUEST_FOR,
    SERVICES,
    SIZE_MAX,
    Answer,
    Question,
    answer_untrusted,
    pack_params,
    pack_question,
    pack_services,
    question_untrusted,
)
from swarm.compat.marcopolo.settings import MarcoPoloSettings
from swarm.core.errors import DecodeError
from swarm.registry.records import Params

HERE = "10.0.0.7"
NETWORK = ipaddress.IPv4Network("10.0.0.0/24")
QUESTION = pack_question(Question(MARCO))

scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
commands = (
    st.sampled_from(["Marco", "Discover", "Request-For", "Request-for", "Services", "Polo", "OK"]) | values
)
objects = st.fixed_dictionaries(
    {},
    optional={
        "Command": commands,
        "Params": values,
        "Services": values,
        "node": values,
        "group": values,
        "exclude": values,
        "max_nodes": values,
        "timeout": values,
        "retries": values,
        "params": values,
    },
)
datagrams = (
    st.binary(max_size=200) | objects.map(lambda value: json.dumps(value).encode()) | st.just(QUESTION)
)
sources = st.tuples(
    st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.1.1", "127.0.0.1", "8.8.8.8", "nonsense", ""]),
    st.integers(0, 65535),
)


def gate() -> Gate:
    made = Gate()
    made.set_networks([NETWORK])
    return made


@given(datagrams)
def test_any_bytes_are_a_question_or_none(datagram: bytes) -> None:
    try:
        question = question_untrusted(datagram)
    except DecodeError:
        return
    if question is not None:
        assert question_untrusted(pack_question(question)) == question


@given(datagrams)
def test_any_bytes_are_an_answer_or_none(datagram: bytes) -> None:
    try:
        answer = answer_untrusted(datagram)
    except DecodeError:
        return
    assert answer is None or answer.command in (OK, POLO)


@given(st.lists(st.tuples(st.floats(0, 20), datagrams, sources, st.integers(0, SIZE_MAX)), max_size=60))
@settings(deadline=None)
def test_whatever_comes_nobody_is_sent_more_than_the_bound(
    packets: list[tuple[float, bytes, tuple[str, int], int]],
) -> None:
    made = gate()
    now = 0.0
    sent: dict[str, int] = {}
    for pause_s, datagram, source, size in packets:
        now += pause_s
        question = made.question_untrusted(datagram, source, now)
        if question is None:
            continue
        assert source[1] >= 1024
        assert source[0] in ("10.0.0.1", "10.0.0.2", "127.0.0.1")
        if made.may_answer(source, size, now):
            sent[source[0]] = sent.get(source[0], 0) + size
    for amount in sent.values():
        assert amount <= BURST_BYTES + BYTES_PER_S * now
    assert sum(sent.values()) <= SHARE_OF_ALL * (BURST_BYTES + BYTES_PER_S * now)


def test_a_flood_of_questions_gets_few_answers() -> None:
    made = gate()
    answered = 0
    for index in range(10_000):
        now = index / 1000
        if made.question_untrusted(QUESTION, (HERE, 5000), now) is not None:
            answered += made.may_answer((HERE, 5000), 200, now)
    assert 200 * answered <= BURST_BYTES + 10 * BYTES_PER_S
    assert made.counts["too_many"] > 9000


def test_silence_for_one_asker_is_not_silence_for_another() -> None:
    made = gate()
    while made.question_untrusted(QUESTION, ("10.0.0.1", 5000), 1.0) is not None:
        continue
    assert made.question_untrusted(QUESTION, ("10.0.0.2", 5000), 1.0) is not None
    assert made.question_untrusted(QUESTION, ("10.0.0.1", 5000), 2.0) is not None


def test_forged_senders_are_bounded_together_and_forgotten() -> None:
    made = Gate()
    made.set_networks([ipaddress.IPv4Network("10.0.0.0/8")])
    taken = 0
    for index in range(5000):
        host = str(ipaddress.IPv4Address(0x0A000000 + index))
        taken += made.question_untrusted(QUESTION, (host, 5000), 1.0) is not None
    assert taken <= SHARE_OF_ALL * (BURST_BYTES + BYTES_PER_S) / QUESTION_BYTES
    assert len(made._askers) <= ASKER_COUNT_MAX
    assert made.question_untrusted(QUESTION, ("10.9.9.9", 5000), 100.0) is not None


def test_answers_are_not_answered() -> None:
    made = gate()
    for datagram in (pack_params(POLO, {}), pack_params(OK, {}), pack_services(["a"])):
        assert made.question_untrusted(datagram, (HERE, 1337), 1.0) is None
    assert made.counts["no_question"] == 3


# Messages


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ('{"Command":"Marco"}', Question(MARCO)),
        ('{"Command":"Discover","Params":[1]}', Question(MARCO)),
        ('{"Command":"Request-For","Params":"web"}', Question(REQUEST_FOR, "web")),
        ('{"Command":"Request-for","Params":"ana:web"}', Question(REQUEST_FOR, "ana:web")),
        ('{"Command":"Services"}', Question(SERVICES)),
        ('{"Command":"marco"}', None),
        ('{"Command":["Marco"]}', None),
        ("{}", None),
    ],
)
def test_both_spellings_are_understood(text: str, question: Question | None) -> None:
    assert question_untrusted(text.encode()) == question


def test_the_answer_to_services_is_read_under_either_key() -> None:
    assert answer_untrusted(b'{"Command":"OK","Services":["a"]}') == Answer(OK, {}, ("a",))
    assert answer_untrusted(b'{"Command":"OK","Params":["a"]}') == Answer(OK, {}, ("a",))
    both = json.loads(pack_services(["a", "b"]))
    assert both == {"Command": "OK", "Params": ["a", "b"], "Services": ["a", "b"]}


@given(st.lists(st.text(min_size=1, max_size=60), max_size=300), st.text(max_size=5000))
@settings(deadline=None)
def test_answers_fit_into_a_datagram(names: list[str], text: str) -> None:
    packed = pack_services(names)
    assert len(packed) <= SIZE_MAX
    told = json.loads(packed)["Services"]
    if len(told) < len(names):
        assert len(packed) > SIZE_MAX // 4
    params: Params = {"a": text}
    assert len(pack_params(OK, params)) <= SIZE_MAX


@given(datagrams)
@settings(deadline=None)
def test_any_bytes_at_the_local_port_get_a_list_or_a_reason(datagram: bytes) -> None:
    class Nobody(LocalMarco):  # type: ignore[misc] # asks nobody
        async def _ask(self, service: str, wanted: object) -> list[object]:
            return []

    try:
        asks_network = json.loads(datagram).get("Command") == "Services"
    except (ValueError, AttributeError, RecursionError):
        asks_network = False
    if asks_network:
        return
    settings_of = MarcoPoloSettings()
    answer = trio.run(Nobody(Marco(settings_of), settings_of.groups).answer_untrusted, datagram)
    assert isinstance(answer, list) or (isinstance(answer, dict) and answer["Error"])
