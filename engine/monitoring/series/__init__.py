"""What is unusual in a plain series, whatever it measures: causal, bounded, all rows at once.

A class here is called with the number of its rows and has `begin` (the memory) and `look`, which
takes a memory and one value of each row (NaN: none came) and returns the next memory and how
unusual each value is.  Nothing of the future is used, and no range that somebody would have to know
beforehand.  The detectors `tails` and `departures` watch the services' figures with them, and
`python -m twin benchmark` runs the same code on the labelled series of others.
"""
