"""What is booked, from wherever it is kept: a CSV or ICS file, PostgreSQL, JSON over HTTP.

Four sources, one border.  A source lists rows; `rows` makes events of them, with only the columns
that the configuration names and a pseudonym in place of the id; `known` compares a listing with
what was known, and refuses one that cannot be true; `feed` turns what is known into the outlook,
keeps the last good one, and says how old it is.
"""
