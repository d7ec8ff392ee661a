"""Kubernetes as an infrastructure: pods are instances, and a workload's count is what is asked for.

Nothing but HTTP and JSON is used, in a direction that lets each part be read alone:

    settings    which workload each service is, and how the cluster is reached
    access      where the API server is and who asks: a kubeconfig or the pod's own account
    api         one request, one watch; what goes wrong becomes one sort of error
    pods        what a pod counts as (no I/O)
    workloads   reading a workload, and the patch that changes it (no I/O)
    owners      who else writes a workload's count (no I/O)
    reflector   list, watch, list again: objects as they are, and how long ago that was heard
    sightings   all of what there is, with an age
    infrastructure   the port
"""
