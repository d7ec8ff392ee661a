"""Real HTTP load with the same behaviour as the simulated one.

The twin computes requests from a table of rates per person, phase and service; the users here
draw their requests from that very table.  So a load test and a simulation of the same weddings
can be compared, and there is one place to correct when real weddings turn out different.
"""
