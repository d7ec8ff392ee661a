"""The hunt for scaling failures: random worlds, the real engine in each, invariants in every cycle.

`worlds` makes worlds as plain data, `invariants` says what must hold in each, `examine` runs one,
`shrink` makes a failing one small, `campaign` does all of it on many and counts what was covered.
"""
