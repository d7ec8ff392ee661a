"""Small wrong changes to the decision code, each of which some test should notice.

A line that a test runs is not yet a line that a test checks.  Here each place of the code is
spoiled in turn (a `<` becomes a `<=`, a minimum a maximum, a statement disappears), and the unit
and property tests that reach it are run: a *mutant* that no test notices shows what is not checked.

`mutants` says what can be spoiled, `surgery` runs the tests on a mutant in a fraction of a second,
and `survivors` keeps the page with the mutants that may live.  Why this is ours and not a library:
docs/decisions/0009-our-own-mutants.md.
"""
