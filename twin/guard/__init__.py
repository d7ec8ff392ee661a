"""Whether the engine scales worse than it did: short worlds, a baseline, and planted regressions.

A guard that nothing sets off guards nothing.  So it has negative controls: regressions that are
planted on purpose, and clean repeats that must not set it off.
"""
