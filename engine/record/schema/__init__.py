"""The run record as a public interface: its keys, its columns, and the limits set on its figures.

This is the only place that knows them.  Both writers (of simulated and of live runs) make these
types, the reports and every command that looks at a record read them, a threshold is checked
against them before a run and judged by them after it, and `docs/reference/record.md` is made
of them.  The number `VERSION` goes up when a key changes its meaning or goes away; a new key, which
older readers ignore, leaves it as it is.

It imports nothing else of the engine, so that whoever reads a record needs no engine for it.
"""
