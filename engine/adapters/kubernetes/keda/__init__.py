"""KEDA between the engine and the pods: the engine says how many, KEDA and its HPA set it.

    contract        the five calls of KEDA's external scaler, as messages
    scaled_objects  the ScaledObject that a service needs, and what one there says
    pulse           that the engine is there, in a Lease: written by it, read by the scalers
    published       what the engine wants, as it stands in the cluster
    answers         what a scaler says to a call, or why it refuses (no I/O)
    server          the scaler: the calls over gRPC

The count that is wanted stands on the ScaledObject, under the rules of any other that the engine
writes, so it outlives the engine, and a scaler has nothing of its own that could be lost: as many
as one likes answer the same.
"""
