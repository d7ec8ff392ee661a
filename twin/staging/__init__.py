"""The platform in small, on one machine and out of real parts.

HAProxy in front of worker processes for each service, PostgreSQL and Redis behind them, Prometheus
looking on.  The workers do real work on real connections, but each has the fixed capacity that the
platform file gives an instance, so that scaling them means something on a machine with two cores.
"""
