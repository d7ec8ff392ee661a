"""Samples that come in: received by remote write or scraped, turned into figures, and kept.

`wire` and `columns` read what a sender sends, `series` knows which time series it belongs to,
`receiver` takes it in as a whole.  `figures` turns the samples of many series into the few figures
of a service that the engine decides by; `ring` and `segments` keep them.  `sources` has the two
metrics adapters over all this.

Only `wire`, `columns` and what imports them need numba: an engine that asks a Prometheus, or
scrapes by itself, runs without it.
"""
