"""Several engines as one: which parts a platform has, and who has which under what epoch.

All in here is pure: values in, values out, no clock and no I/O.  The live shell drives it over
PostgreSQL (`engine.adapters.store.shard_leases`), and the twin over worlds in which everything
goes wrong (`twin.leases`); so what is shown there is what runs.
"""
