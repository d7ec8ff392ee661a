"""The twin's data plane: what happens to requests between two events of the simulated world.

`port` says what the world may ask of it, `fluid` answers with amounts instead of single requests,
`kernels` holds the compiled model and its sources, `requests` follows every single request with the
event loop of `request_kernels`, `hybrid` runs both side by side, `response` the part that does not
depend on congestion and the count of instances that a load needs.
"""
