"""The errors of swarm.

::

    SwarmError
    ├ ConfigError (ValueError)
    ├ ProtocolError
    │ ├ LocalProtocolError
    │ └ RemoteProtocolError
    │   └ DecodeError
    ├ GraphError (ValueError)
    ├ SerializationError (TypeError)
    ├ TransportError
    │ ├ ConnectFailed
    │ └ ConnectionLost
    ├ StorageError
    └ TaskError
      ├ TaskFailed
      ├ TaskTimedOut
      ├ TaskCancelled
      └ AttemptsExhausted

Bugs are `AssertionError`. This module is not compiled, so that exceptions keep their tracebacks cheap
to subclass for users.
"""

from __future__ import annotations


class SwarmError(Exception):
    """Base of everything swarm raises on purpose."""


class ConfigError(SwarmError, ValueError):
    """A setting is wrong or contradicts another; nothing was changed or started."""


class ProtocolError(SwarmError):
    """Somebody broke a protocol of the mesh."""


class LocalProtocolError(ProtocolError):
    """The caller asked for something illegal in the present state; nothing changed."""


class RemoteProtocolError(ProtocolError):
    """A peer sent something that breaks the protocol; it was counted and dropped, nothing changed."""


class DecodeError(RemoteProtocolError):
    """Bytes of a peer could not be decoded; never leaves a core."""


class GraphError(SwarmError, ValueError):
    """A task graph is unusable (cycle, unknown dependency, too large); nothing was submitted."""


class SerializationError(SwarmError, TypeError):
    """A callable, an argument or a result cannot travel between processes; nothing was sent."""


class TransportError(SwarmError):
    """The network failed us."""


class ConnectFailed(TransportError):
    """No connection could be made; nothing was sent."""


class ConnectionLost(TransportError):
    """A connection ended; what was in flight may or may not have arrived."""


class StorageError(SwarmError):
    """The journal or the object store cannot keep or give bytes."""


class TaskError(SwarmError):
    """A task did not produce its result."""


class TaskFailed(TaskError):
    """The task's own code failed; carries the remote traceback.

    Attributes:
        task: the task's name.
        node: name of the node that ran it.
        remote_traceback: the traceback as text, as printed where the task ran.
    """

    def __init__(self, message: str, task: str = "", node: str = "", remote_traceback: str = "") -> None:
        super().__init__(message)
        self.task = task
        self.node = node
        self.remote_traceback = remote_traceback

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}\n\n{self.remote_traceback.rstrip()}" if self.remote_traceback else message


class TaskTimedOut(TaskFailed):
    """The task ran longer than its `timeout_s`; the attempt was killed."""


class TaskCancelled(TaskError):
    """The task was cancelled, or needed one that was."""


class AttemptsExhausted(TaskFailed):
    """The task killed so many executors that it is not tried again."""
