"""An append-only log of what people and the engine did, whose proof anybody can check.

A row is canonical JSON (RFC 8785), the rows are the leaves of a Merkle tree (RFC 6962), and its
root is signed from time to time (C2SP checkpoints).  What was changed, dropped, moved or cut off
after a checkpoint no longer fits it; what was rolled back together with its checkpoints no longer
fits a copy of a checkpoint that a witness holds.
"""
