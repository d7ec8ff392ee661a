"""The compiled arithmetic of the twin's queues: records of arrays in, the same arrays moved on.

`services` says how the arrays that describe the services are laid out, `erlang`, `survival` and
`staffing` are the queueing theory that both resolutions use, `fluid` moves amounts and `requests`
single requests.  `compiling` has the ways to compile them.
"""
