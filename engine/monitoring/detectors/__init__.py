"""The detectors: each finds by itself what is unusual; a file each, found by `module:callable`.

One is called with the specs of the services and, as keywords, its options, and returns a
`engine.monitoring.picture.Detector`.
"""
