"""``python -m swarm.daemon``: the process of one node."""

from __future__ import annotations

import sys

from swarm.daemon.daemon import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
