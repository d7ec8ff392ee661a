"""The twin's data plane: what happens to requests between two events of the simulated world.

`port` says what the world may ask of it, `fluid` answers with amounts instead of single requests,
`requests` follows every single request, `hybrid` runs both side by side.  What is compiled of both
is in `kernels`; `response` has the part that does not depend on congestion and the count of
instances that a load needs.
"""
