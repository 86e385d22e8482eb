"""The simulated network: who reaches whom, how late, and what gets lost."""

from __future__ import annotations

from sims.network.config import NetworkConfig
from sims.network.network import LOST, Network

__all__ = ["LOST", "Network", "NetworkConfig"]
