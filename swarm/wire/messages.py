"""Kinds of messages and the layout of their bodies; docs/WIRE.md has the same tables with examples.

A message is a *frame*: a kind, a stamp (sender, ballot, beat) and a body, a list. Datagrams use kinds
below 40, streams between nodes 40-79 and from 100, sessions of clients 80-99. Kinds are never reused.
"""

from __future__ import annotations

from typing import Final

PROTOCOL_MIN: Final = 1
PROTOCOL_MAX: Final = 1

# Datagrams: gossip

HELLO: Final = 1
"""[rumour: bytes (the sender alive), table_digest: bytes, answer_wanted: bool, protocol_min, protocol_max,
is_direct: bool (sent to one address, not to everybody)]"""
PING: Final = 2
"""[sequence, target: NodeId, table_digest: bytes, rumours: list[bytes]]"""
ACK: Final = 3
"""[sequence, table_digest: bytes, rumours]"""
PING_REQ: Final = 4
"""[sequence, target: NodeId, host: str, port: int, rumours]"""
NACK: Final = 5
"""[sequence, rumours]"""
RUMOURS: Final = 6
"""[rumours]"""
CLIENT_HELLO: Final = 7
"""[] from somebody who holds the secret but is no member; answered by HELLO to the source"""

# Datagrams: election

VOTE_REQUEST: Final = 20
"""[round, ballot_counter, ballot_node, is_pre_vote: bool]; in a strict mesh also [configuration_counter,
configuration_node, version] of the configuration that the candidate knows, and [released_counter,
released_node], a ballot under which nobody leads any more"""
VOTE_REPLY: Final = 21
"""[round, ballot_counter, ballot_node, is_pre_vote, granted: bool]; in a strict mesh also [mark: bytes] of
the voter's ledger"""
BEAT: Final = 22
"""[is_answer_wanted: bool]; its stamp is the beat. In a strict mesh also [configuration_counter,
configuration_node, version, voters: list of [NodeId, mark], empty when the receiver has them]"""
BEAT_REPLY: Final = 23
"""[]; its stamp is the answer. In a strict mesh [beat, mark: bytes, is_installed: bool (the configuration is
on disk), is_leaving: bool]"""
STAND: Final = 24
"""[ballot_counter, ballot_node] from a leader that steps down, to the one who should stand at once"""

# Datagrams: around links that do not work

RELAY_PACKET: Final = 30
"""[target: NodeId, frame: bytes]: pass this datagram of the election on; the frame is its sender's"""
RELAYED_PACKET: Final = 31
"""[frame: bytes]: it was in a RELAY_PACKET"""

# Streams between nodes: gossip

PUSH_PULL: Final = 40
"""[request, is_reply: bool, rumours: list[bytes]]; a request without rumours is a probe, answered by a reply
without any"""

# Streams between nodes: around links that do not work

RELAY: Final = 41
"""[target: NodeId, frame: bytes]: pass this on; the frame is its sender's"""
RELAYED: Final = 42
"""[frame: bytes]: it was given to the sender of this in a RELAY; what answers it may go back the same way"""
RELAY_LOST: Final = 43
"""[target: NodeId]: what was given for it since the last such news may be lost"""

# Streams between nodes: job records (facts; never fenced)

RECORD_STORE: Final = 50
"""[request, job, part: int, parts_total: int (0 while unknown), blob: bytes, sources: list[NodeId]]: keep
this part on disk and confirm; `sources` (missing: the sender) have the objects that it refers to. Of request
0 the sender learns by the offer"""
RECORD_STORED: Final = 51
"""[request, job, part, ok: bool]"""
RECORD_OFFER: Final = 52
"""[list of [job, [part, ...], parts_total: int, is_cancelled, ended, loose: [part, ...] (those in memory
only), completions: int]] a holder's jobs, to a leader"""
RECORD_WANT: Final = 53
"""[list of [job, [part, ...]]]"""
RECORD_GIVE: Final = 54
"""[job, part, parts_total, blob]"""
FACTS: Final = 55
"""[job, list of completions]: see swarm.wire.facts for the layout of a completion"""
JOB_INTENT: Final = 56
"""[job, what: int, value: int]: close after `value` parts, cancel, or ended; grow-only like all facts"""
JOB_FORGET: Final = 57
"""[list of [job, verdict: str]]: ended and expired, keep a tombstone only"""
JOB_ENDED: Final = 58
"""[list of job]: ended; who is no holder of its record may forget its completions"""

# Streams between nodes: orders (fenced by the ballot of their stamp) and reports

INVENTORY: Final = 60
"""[request, running: list of [job, task, attempt], objects: list of [job, task, output, digest]] the answer
to REPORT_WANTED, behind RECORD_OFFER and FACTS"""
ASSIGN: Final = 61
"""[list of assignments]: see swarm.wire.orders"""
CANCEL_ATTEMPTS: Final = 62
"""[list of [job, task, attempt]]"""
RELEASE_OBJECTS: Final = 63
"""[list of [job, task, output]]"""
RETRACT: Final = 64
"""[list of [job, task, attempt]]: give back what has not started"""
RETRACTED: Final = 65
"""[list of [job, task, attempt]]: the ones given back"""
COMPLETIONS: Final = 66
"""[list of [job, completion]]: attempts that ended"""
REFUSED: Final = 67
"""[fence_counter, fence_node]: your order was below my fence"""
TASK_OUTPUT: Final = 68
"""[list of [job, task, attempt, stream: 1|2, offset, data: bytes]]"""
OBJECT_LOST: Final = 69
"""[list of [job, task, output, holder: NodeId]]: I could not get this object from that holder"""
OBJECT_COPIED: Final = 70
"""[list of [job, task, output]]: I hold a copy of this object now"""
WATCH: Final = 71
"""[job, is_on: bool]: send me JOB_UPDATE for this job"""
JOB_UPDATE: Final = 72
"""[job, state: str, parts: int, counts: [total, done, failed, running], completions, reason: str, is_whole:
bool, attempts: int]"""
ASK: Final = 73
"""[request, op: str, args: map]: a query on behalf of a client of the sender"""
ANSWER: Final = 74
"""[request, ok: bool, value]"""
WATCHED_OUTPUT: Final = 75
"""TASK_OUTPUT of a watched job, to the watcher: [job, list of [task, attempt, stream, offset, data]]"""

JOB_RELEASE: Final = 76
"""[job, list of task]: CLIENT_RELEASE on its way to the leader"""
REPORT_WANTED: Final = 77
"""[request] an order: offer your records and facts to me and send your INVENTORY"""

OBJECT_GIVE: Final = 78
"""[list of [job, task, output, size, encoding, data]] an order: keep these, for an ASSIGN that follows"""

RELAYING: Final = (RELAY, RELAYED, RELAY_LOST)

REPORTS_LOST: Final = 79
"""[]: what was reported since the last INVENTORY may be lost, so ask for another; from who goes through a
relay now because another way failed"""

# Who takes which kinds: orders are fenced, the rest is facts and news

REPORTS_TO_LEADER: Final = (
    INVENTORY,
    RETRACTED,
    COMPLETIONS,
    TASK_OUTPUT,
    OBJECT_LOST,
    OBJECT_COPIED,
    WATCH,
    ASK,
    JOB_RELEASE,
    REPORTS_LOST,
)
NEWS_FROM_LEADER: Final = (JOB_UPDATE, ANSWER, WATCHED_OUTPUT)

# Streams between nodes: spare copies (facts; never fenced)

RECORD_SPARE: Final = 100
"""[job, keepers: list[NodeId]] from the leader: there are more copies than needed, yours is one too many; ask
these keepers, and give it up when enough of them have confirmed theirs"""
RECORD_CHECK: Final = 101
"""[job, digest: bytes (see swarm.scheduler.giving_up)]: have you all of this on your disk, and will you keep
it?"""
RECORD_CHECKED: Final = 102
"""[job, ok: bool]"""

# Streams between nodes: more orders

OBJECT_WANTED: Final = 103
"""[list of [job, input]] an order: fetch these results, named as inputs of assignments are, and say so
(OBJECT_COPIED)"""

QUARANTINED: Final = 104
"""[reason: str] an order: say that this is why you run nothing; "" when you may again"""

SPARING: Final = (RECORD_SPARE, RECORD_CHECK, RECORD_CHECKED)

ORDERS: Final = (
    ASSIGN,
    OBJECT_GIVE,
    CANCEL_ATTEMPTS,
    RELEASE_OBJECTS,
    RETRACT,
    REPORT_WANTED,
    OBJECT_WANTED,
    QUARANTINED,
)

# Sessions of clients

CLIENT_SUBMIT: Final = 80
"""[request, job, part, blob, parts_total: int (0 while more may follow)]"""
CLIENT_ACCEPTED: Final = 81
"""[request, job, part, holders: list[str]]: kept by these nodes; nothing acknowledged is lost"""
CLIENT_REFUSED: Final = 82
"""[request, code: int (exit code of the command line), message: str]"""
CLIENT_WATCH: Final = 83
"""[request, job, with_output: bool]"""
CLIENT_UPDATE: Final = 84
"""[job, state, parts, counts, completions, reason, is_whole, attempts] as JOB_UPDATE"""
CLIENT_OUTPUT: Final = 85
"""[job, list of [task, attempt, stream, offset, data]]"""
CLIENT_CALL: Final = 86
"""[request, op: str, args: map]"""
CLIENT_REPLY: Final = 87
"""[request, ok: bool, value]; when not ok the value is {"code": int, "message": str}"""
CLIENT_UNWATCH: Final = 88
"""[job]"""
CLIENT_RELEASE: Final = 89
"""[job, list of task]: the client no longer wants these results"""
CLIENT_WELCOME: Final = 90
"""[node: NodeId, name, leader: NodeId, peers: list of [NodeId, name, host, port]] first frame of a session,
and again when members change"""

# Job intents (JOB_INTENT.what)

INTENT_CLOSE: Final = 1
INTENT_CANCEL: Final = 2
INTENT_END: Final = 3
"""the job has ended; the value is 1 for done, 2 for failed, 3 for cancelled"""

# Task kinds

KIND_DATA: Final = 0
"""no run at all: the client brought the bytes; payload [digest, size, encoding, data or nil]"""
KIND_PYTHON: Final = 1
"""a pickled callable; payload: pickled (args, kwargs) with inputs as persistent ids"""
KIND_PROGRAM: Final = 2
"""payload: map argv, stdin, inputs, outputs, stdout, env (see docs/WIRE.md)"""
KIND_SCRIPT: Final = 3
"""a Python script that may itself be a client of the mesh; payload: map name, source, args, env"""

# Encodings of objects

ENCODING_RAW: Final = 0
ENCODING_PICKLE: Final = 1

# What went wrong with an attempt

ERROR_TASK: Final = 0
"""the task's own code failed"""
ERROR_TIMEOUT: Final = 1
ERROR_EXECUTOR_DIED: Final = 2
ERROR_RESULT: Final = 3
"""the result cannot be pickled, or has another number of outputs than declared"""
ERROR_DEPENDENCY: Final = 4
"""never run: something it needs failed or was cancelled"""
ERROR_FUNCTION: Final = 5
"""the function or its arguments cannot be loaded where it ran"""
ERROR_NODE: Final = 6
"""the node could not do its part (its disk is full, an object has gone): the task runs elsewhere"""

INLINE_SIZE_MAX: Final = 65536
"""bytes of an object that still ride inside messages"""
