"""How a simulated network behaves, as plain values that a scenario file can hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sims.network.latency import (
    ConstantLatency,
    JitterLatency,
    Latency,
    LogNormalLatency,
    NormalLatency,
    ParetoLatency,
    TraceLatency,
    pi_wifi,
    pi_wifi_power_save,
)
from swarm.core.errors import ConfigError

LATENCY_MODELS: Final = (
    "jitter",
    "constant",
    "normal",
    "lognormal",
    "pareto",
    "trace",
    "resampled",
    "pi-wifi",
    "pi-wifi-power-save",
)
TOPOLOGIES: Final = ("", "lan", "wifi", "campus", "wide", "home")


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """How the network behaves.

    Attributes:
        model: of the one-way latency, one of `LATENCY_MODELS`.
        latency_s: least latency (jitter, pareto), constant, mean (normal) or median (lognormal), seconds > 0;
            half a millisecond is a wired LAN.
        jitter_s: mean of the random part (jitter: at most thrice the mean), or the deviation (normal), >= 0.
        latency_shape: sigma of lognormal, 0 to 20, or the exponent of pareto, >= 0.1.
        latency_max_s: the greatest latency of pareto, >= latency_s.
        latencies_s: what was measured, for trace (in order) and resampled (drawn).
        loss: share of datagrams lost, 0 <= loss < 1. Streams do not lose, they are late.
        loss_burst_count: mean number of datagrams lost in a row on one way: 1 for independent loss, else
            above 1 and >= loss / (1 - loss).
        duplicate: share of datagrams that arrive twice, 0 <= duplicate < 1.
        reorder: share of datagrams that take `reorder_s` longer, 0 <= reorder < 1.
        reorder_s: how much longer, >= 0.
        corrupt: share of datagrams that arrive damaged, 0 <= corrupt < 1.
        bandwidth_bytes_s: what each host sends and receives at most, > 0; for objects shared fairly.
        limits_packets: whether datagrams and messages queue for that rate too, where they leave and where
            they arrive; a hello leaves once for all who hear it.
        queue_s: datagrams that would wait longer at an interface are lost, > 0; messages wait.
        connect_timeout_s: how long a stream into nowhere is tried, > 0; nodes try for 5 s.
        nat_timeout_s: how long an address translator remembers who was spoken to, > 0.
        topology: "" for one wired network, or one of `TOPOLOGIES`, see `sims.network.presets`.
    """

    model: str = "jitter"
    latency_s: float = 0.0005
    jitter_s: float = 0.0005
    latency_shape: float = 1.0
    latency_max_s: float = 3.0
    latencies_s: tuple[float, ...] = ()
    loss: float = 0.0
    loss_burst_count: float = 1.0
    duplicate: float = 0.0
    reorder: float = 0.0
    reorder_s: float = 0.01
    corrupt: float = 0.0
    bandwidth_bytes_s: float = 12.5e6
    limits_packets: bool = False
    queue_s: float = 0.2
    connect_timeout_s: float = 5.0
    nat_timeout_s: float = 60.0
    topology: str = ""

    def __post_init__(self) -> None:
        _check_share("loss", self.loss)
        _check_share("duplicate", self.duplicate)
        _check_share("reorder", self.reorder)
        _check_share("corrupt", self.corrupt)
        _check_above("bandwidth_bytes_s", self.bandwidth_bytes_s)
        _check_above("queue_s", self.queue_s)
        _check_above("connect_timeout_s", self.connect_timeout_s)
        _check_above("nat_timeout_s", self.nat_timeout_s)
        if not self.loss_burst_count >= 1:
            raise ConfigError(f"loss_burst_count is {self.loss_burst_count}, it must be at least 1")
        if not self.reorder_s >= 0:
            raise ConfigError(f"reorder_s is {self.reorder_s}, it must be at least 0")
        if self.model not in LATENCY_MODELS:
            raise ConfigError(f"model is {self.model!r}, it must be one of {', '.join(LATENCY_MODELS)}")
        if self.topology not in TOPOLOGIES:
            raise ConfigError(f"topology is {self.topology!r}, it must be one of {', '.join(TOPOLOGIES[1:])}")
        least = self.loss / (1 - self.loss)
        if 1 < self.loss_burst_count < least * (1 - 1e-9):
            raise ConfigError(
                f"loss_burst_count is {self.loss_burst_count}, but with a loss of {self.loss} bursts are "
                f"longer; it must be at least {least:.6g}, or 1 for independent loss"
            )
        self.latency()

    def latency(self) -> Latency:
        """Return a new model of the latency.

        Raises:
            ConfigError: the values do not fit the model.
        """
        if not self.latency_s > 0:
            raise ConfigError(f"latency_s is {self.latency_s}, it must be above 0")
        if not self.jitter_s >= 0:
            raise ConfigError(f"jitter_s is {self.jitter_s}, it must be at least 0")
        if self.model == "constant":
            return ConstantLatency(self.latency_s)
        if self.model == "normal":
            return NormalLatency(self.latency_s, self.jitter_s, min(self.latency_s, 1e-5))
        if self.model == "lognormal":
            return LogNormalLatency(self.latency_s, self.latency_shape)
        if self.model == "pareto":
            return ParetoLatency(self.latency_s, self.latency_shape, self.latency_max_s)
        if self.model in ("trace", "resampled"):
            return TraceLatency(list(self.latencies_s), self.model == "trace")
        if self.model == "pi-wifi":
            return pi_wifi()
        if self.model == "pi-wifi-power-save":
            return pi_wifi_power_save()
        return JitterLatency(self.latency_s, self.jitter_s)


def _check_share(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ConfigError(f"{name} is {value}, it must be a share in [0, 1)")


def _check_above(name: str, value: float) -> None:
    if not value > 0:
        raise ConfigError(f"{name} is {value}, it must be above 0")
