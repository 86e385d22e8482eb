"""Checkers: what must never happen, and what must happen in the end, judged from outside the nodes.

They watch what crosses the boundary of a node (`sims.observer`), read frames with a decoder of their own
written against docs/WIRE.md, look at disks, and know the truth of the simulation. They use nothing of the
code they judge.

S1 to S10 and L1 to L7 are the invariants of the design (docs/SIMULATION.md lists them); D1 and D2 are about
detection, E1 to E5 about execution.
"""
