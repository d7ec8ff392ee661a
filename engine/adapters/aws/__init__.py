"""Amazon Web Services as an infrastructure: Auto Scaling groups of EC2, and services of ECS.

There is nothing in these APIs that tests a count and sets it at once.  So what Kubernetes does in
one patch is done here in steps that are safe to be cut off, and what steps cannot give is said
where it matters (`tags`, docs/guides/aws.md).

    settings        which group or ECS service each service is, and how AWS is reached
    client          one call; what goes wrong becomes one sort of error
    tags            what the engine writes beside a count, and what that proves (no I/O)
    target          a thing with a count, and one look at it (no I/O)
    groups          Auto Scaling groups, with their warm pools
    ecs             services of ECS
    writers         who else sets a count, and what somebody has suspended (no I/O)
    command         one decision on its way
    infrastructure  the port
    preflight       what can be said to be wrong before a run begins
    policy          the rights that it needs and no more
"""
