"""moto's server in this process, made to behave where it does not do what AWS does.

moto answers the same requests as AWS, and its instances are there at once, in one zone, beyond any
maximum, whatever anybody suspended, and its tasks and what its warm pools hold are not there at
all.  Here instances and tasks boot and drain, fill zones in turn, fail for want of capacity until
there is some, and say so in activities and events; a warm pool fills up to the size that it is
given, is taken from first, and is refused where AWS refuses it; limits are kept; a person is told
apart from nobody.  Besides, any operation can be made to fail, to be slow, or to be carried out
without an answer.

`docs/guides/aws.md` lists what remains unlike AWS.

It is long because each service of AWS that the adapter asks behaves in it.
"""

from __future__ import annotations

import datetime as dt
import itertools
import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
from moto.applicationautoscaling import models as scaling_models
from moto.autoscaling import models, responses
from moto.autoscaling.exceptions import ValidationError
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from moto.ecs import models as ecs_models
from moto.ecs import responses as ecs_responses
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import BaseWSGIServer, make_server

REGION, ACCOUNT = "eu-central-1", "123456789012"
ZONES = ("eu-central-1a", "eu-central-1b", "eu-central-1c")
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}
NO_CAPACITY = (
    "Could not launch On-Demand Instances. InsufficientInstanceCapacity - We currently do not have "
    "sufficient t3.micro capacity in the Availability Zone you requested (eu-central-1a). "
    "Launching EC2 instance failed."
)
NO_PLACE = (
    "(service {name}) was unable to place a task. Reason: Capacity is unavailable at this time. "
    "Please try again later or in a different availability zone."
)
NO_POOL = (
    "You can't add a warm pool to an Auto Scaling group that has a mixed instances policy or a "
    "launch template or launch configuration that requests Spot Instances."
)
SESSION = boto3.Session("a-person", "a-person's", region_name=REGION)
"""One for all tests, since it reads what AWS's services are."""
APPLICATION = DomainDispatcherApplication(create_backend_app)
"""One as well, since it knows the addresses of all of AWS's services."""
LOOK_S = 0.02
"""How soon a server sees that it is to end."""
WRAPPED = {
    responses.AutoScalingResponse: (
        "create_or_update_tags", "describe_auto_scaling_groups", "describe_policies",
        "describe_scaling_activities", "describe_scheduled_actions", "describe_warm_pool",
        "describe_instance_refreshes", "put_warm_pool", "set_desired_capacity",
    ),
    ecs_responses.EC2ContainerServiceResponse: (
        "describe_services", "describe_tasks", "list_tasks", "tag_resource", "update_service",
    ),
}  # fmt: skip


@dataclass
class Fault:
    """What happens to the next `times` calls of an operation."""

    times: int
    code: str = ""
    before_s: float = 0.0
    after_s: float = 0.0


@dataclass
class Task:
    """A task of an ECS service, which moto does not have."""

    arn: str
    zone: str
    status: str = "PENDING"
    since_s: float = field(default_factory=time.monotonic)
    health: str = "UNKNOWN"

    @property
    def leaves(self) -> bool:
        return self.status in ("DEACTIVATING", "STOPPED")


@dataclass
class Warmed:
    """An instance of a warm pool, which moto does not have."""

    id: str
    zone: str
    state: str = "Warmed:Pending"
    since_s: float = field(default_factory=time.monotonic)

    @property
    def leaves(self) -> bool:
        return self.state == "Warmed:Terminating"

    @property
    def is_ready(self) -> bool:
        return self.state != "Warmed:Pending" and not self.leaves


class AwsWorld:
    """One account, until `close`."""

    def __init__(self, boot_s: float = 0.3, drain_s: float = 0.2, warm_boot_s: float = 0.1) -> None:
        self.boot_s, self.drain_s, self.warm_boot_s = boot_s, drain_s, warm_boot_s
        self.room: int | None = None
        """Instances or tasks of one group or service that there is capacity for; None: any."""
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.calls: Counter[str] = Counter()
        self.refreshes: dict[str, list[dict[str, Any]]] = {}
        self.pools: dict[str, list[Warmed]] = defaultdict(list)
        self._clients: dict[str, Any] = {}
        self.tasks: dict[str, list[Task]] = defaultdict(list)
        self._activities: list[dict[str, Any]] = []
        self._born: dict[str, tuple[float, float]] = {}
        self._leaving: dict[str, float] = {}
        self._short: set[str] = set()
        """Groups and services (arn) for which there was not capacity enough."""
        self._short_pools: set[str] = set()
        """Groups whose warm pools there was not capacity enough for."""
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._undo: list[Callable[[], None]] = []
        self._patch_groups()
        self._patch_services()
        for kind, operations in WRAPPED.items():
            for operation in operations:
                self._replace(kind, operation, self._watched(operation, getattr(kind, operation)))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()
        self._server: BaseWSGIServer | None = None
        self._serving: threading.Thread | None = None
        self.port = 0
        self.start()

    # --- the server

    def start(self) -> None:
        """Answer (again), at the same address as before."""
        self._server = make_server(
            "127.0.0.1", self.port, APPLICATION, threaded=True, request_handler=MotoRequestHandler
        )
        self.port = self._server.port
        serve = self._server.serve_forever
        self._serving = threading.Thread(target=serve, args=(LOOK_S,), daemon=True)
        self._serving.start()

    def stop(self) -> None:
        """Take no connection any more; what there is goes on."""
        if self._server is not None and self._serving is not None:
            self._server.shutdown()
            self._serving.join()
            self._server = self._serving = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, service: str) -> Any:
        """boto3, as a person has it."""
        if service not in self._clients:
            self._clients[service] = SESSION.client(service, endpoint_url=self.url)
        return self._clients[service]

    def close(self) -> None:
        """End it, and leave moto as it was."""
        self.stop()
        self._stop.set()
        self._thread.join()
        for undo in reversed(self._undo):
            undo()
        for backends in (
            models.autoscaling_backends, ecs_models.ecs_backends,
            scaling_models.applicationautoscaling_backends, models.ec2_backends,
        ):  # fmt: skip
            backends.reset()

    def fail(self, operation: str, code: str, times: int = 1) -> None:
        """Let the next calls be refused with an error of AWS's."""
        self.faults[operation].append(Fault(times, code))

    def slow(self, operation: str, before_s: float = 0.0, after_s: float = 0.0) -> None:
        """Let the next call wait before it is carried out, or before it is answered."""
        self.faults[operation].append(Fault(1, "", before_s, after_s))

    # --- what there is

    def group(
        self,
        name: str,
        desired: int,
        least: int = 0,
        most: int = 40,
        *,
        zones: int = 3,
        spot: bool = False,
        **more: Any,
    ) -> None:
        """An Auto Scaling group, all of whose instances are ready."""
        groups = self.client("autoscaling")
        groups.create_launch_configuration(
            LaunchConfigurationName=name, ImageId="ami-12c6146b", InstanceType="t3.micro",
            **({"SpotPrice": "0.01"} if spot else {}),
        )  # fmt: skip
        boot_s, self.boot_s = self.boot_s, 0.0
        groups.create_auto_scaling_group(
            AutoScalingGroupName=name, MinSize=least, MaxSize=most, DesiredCapacity=desired,
            LaunchConfigurationName=name, AvailabilityZones=list(ZONES[:zones]), **more,
        )  # fmt: skip
        self.boot_s = boot_s

    def mixed_group(self, name: str, desired: int, *, on_demand: int) -> None:
        """One with a mixed instances policy, of so many per cent on demand and the rest spot."""
        template = f"{name}-template"
        self.client("ec2").create_launch_template(
            LaunchTemplateName=template,
            LaunchTemplateData={"ImageId": "ami-12c6146b", "InstanceType": "t3.micro"},
        )
        self.client("autoscaling").create_auto_scaling_group(
            AutoScalingGroupName=name, MinSize=0, MaxSize=40, DesiredCapacity=desired,
            AvailabilityZones=list(ZONES),
            MixedInstancesPolicy={
                "LaunchTemplate": {
                    "LaunchTemplateSpecification": {
                        "LaunchTemplateName": template, "Version": "$Latest"
                    }
                },
                "InstancesDistribution": {"OnDemandPercentageAboveBaseCapacity": on_demand},
            },
        )  # fmt: skip

    def pool(self, name: str, size: int, **more: Any) -> None:
        """A warm pool of a group as somebody makes one, all of whose instances are warm."""
        self.client("autoscaling").put_warm_pool(
            **{"AutoScalingGroupName": name, "MinSize": size, "MaxGroupPreparedCapacity": size,
               **more}
        )  # fmt: skip
        with self._lock:
            group = self.of_group(name)
            self._fill(group, time.monotonic())
            for one in self.pools[name]:
                one.state = f"Warmed:{group.warm_pool.pool_state}"

    def warm(self, name: str) -> int:
        """How many a group's warm pool has ready."""
        with self._lock:
            return sum(one.is_ready for one in self.pools[name])

    def service(self, cluster: str, name: str, desired: int, **more: Any) -> None:
        """A service of ECS, all of whose tasks run."""
        ecs = self.client("ecs")
        ecs.create_cluster(clusterName=cluster)
        ecs.register_task_definition(
            family=name, containerDefinitions=[{"name": "it", "image": "it", "memory": 64}]
        )
        ecs.create_service(
            cluster=cluster, serviceName=name, desiredCount=desired, taskDefinition=name, **more
        )
        with self._lock:
            service = self.ecs_service(cluster, name)
            self._reconcile(service)
            for task in self.tasks[service.arn]:
                task.status = "RUNNING"

    def of_group(self, name: str) -> Any:
        """moto's own object."""
        return models.autoscaling_backends[ACCOUNT][REGION].autoscaling_groups[name]

    def ecs_service(self, cluster: str, name: str) -> Any:
        """moto's own object."""
        return ecs_models.ecs_backends[ACCOUNT][REGION].services[f"{cluster}:{name}"]

    def desired(self, name: str) -> int:
        """What is asked of a group, or of a service as CLUSTER/NAME."""
        if "/" in name:
            return int(self.ecs_service(*name.split("/")).desired_count)
        return int(self.of_group(name).desired_capacity)

    def ready(self, name: str) -> int:
        """How many serve."""
        with self._lock:
            if "/" in name:
                arn = self.ecs_service(*name.split("/")).arn
                return sum(task.status == "RUNNING" for task in self.tasks[arn])
            return sum(
                one.lifecycle_state == "InService" for one in self.of_group(name).instance_states
            )

    def tags(self, name: str) -> dict[str, str]:
        """The tags of a group, or of a service as CLUSTER/NAME."""
        if "/" in name:
            arn = self.ecs_service(*name.split("/")).arn
            answer = self.client("ecs").list_tags_for_resource(resourceArn=arn)
            return {tag["key"]: tag["value"] for tag in answer["tags"]}
        return {tag["Key"]: tag["Value"] for tag in self.of_group(name).tags}

    # --- groups

    def _patch_groups(self) -> None:
        group = models.FakeAutoScalingGroup
        launch = self._moto_launches = group.set_desired_capacity
        world = self

        def alive(of: Any) -> list[Any]:
            return [
                one for one in of.instance_states if one.lifecycle_state in ("InService", "Pending")
            ]

        def set_desired(of: Any, wanted: int | None) -> None:
            with world._lock:
                count = of.min_size if wanted is None else wanted
                for bound, word in ((of.max_size, "above max"), (of.min_size, "below min")):
                    if (count > bound) if word == "above max" else (count < bound):
                        raise ValidationError(
                            f"New SetDesiredCapacity value {count} is {word} value {bound} for the "
                            "AutoScalingGroup."
                        )
                before, there = alive(of), getattr(of, "desired_capacity", None)
                if len(before) > count:
                    # The youngest that boots first, then whoever was there first.
                    world._leave(
                        sorted(
                            before,
                            key=lambda one: (
                                one.lifecycle_state != "Pending",
                                world._born[one.instance_id][0],
                            ),
                        )[: len(before) - count]
                    )
                else:
                    world._launch(of, count, before, launch)
                of.desired_capacity = count
                if there is not None and there != count:
                    world._activity(
                        of.name, "Successful", "The desired capacity was set",
                        f"At {_stamp()} a user request explicitly set group desired capacity "
                        f"changing the desired capacity from {there} to {count}.",
                    )  # fmt: skip

        def activities(response: Any) -> ActionResult:
            name = response._get_param("AutoScalingGroupName")
            own = [one for one in world._activities if one["AutoScalingGroupName"] == name]
            return ActionResult({"Activities": own[::-1][:100]})

        def refreshes(response: Any) -> ActionResult:
            name = response._get_param("AutoScalingGroupName")
            return ActionResult({"InstanceRefreshes": world.refreshes.get(name, [])})

        def warm_pool(response: Any) -> ActionResult:
            name = response._get_param("AutoScalingGroupName")
            with world._lock:
                instances = [
                    {"InstanceId": one.id, "AvailabilityZone": one.zone,
                     "LifecycleState": one.state, "HealthStatus": "Healthy"}
                    for one in world.pools[name]
                ]  # fmt: skip
            pool = response.autoscaling_backend.describe_warm_pool(group_name=name)
            return ActionResult({"WarmPoolConfiguration": pool, "Instances": instances})

        def put_pool(of: Any, **given: Any) -> None:
            policy = (of.mixed_instances_policy or {}).get("InstancesDistribution") or {}
            share = policy.get("OnDemandPercentageAboveBaseCapacity")
            config = of.launch_config
            if (share is not None and int(share) < 100) or (config and config.spot_price):
                raise ValidationError(NO_POOL)
            with world._lock:
                put(of, **given)

        put = group.put_warm_pool
        self._replace(group, "put_warm_pool", put_pool)
        self._replace(group, "active_instances", alive)
        self._replace(group, "set_desired_capacity", set_desired)
        response = responses.AutoScalingResponse
        self._replace(response, "describe_scaling_activities", activities)
        self._replace(response, "describe_instance_refreshes", refreshes)
        self._replace(response, "describe_warm_pool", warm_pool)

    def _launch(self, of: Any, count: int, before: list[Any], launch: Callable[..., None]) -> None:
        room = count if self.room is None else min(count, max(self.room, len(before)))
        if "Launch" in (getattr(of, "_suspended_processes", None) or ()):
            room = len(before)
        elif room < count:
            self._activity(
                of.name, "Failed", "Launching a new EC2 instance", "", message=NO_CAPACITY
            )
            self._short.add(of.name)
        launch(of, room)
        warm = [one for one in self.pools[of.name] if one.is_ready]
        for n, one in enumerate(of.instance_states):
            if one.instance_id in self._born:
                continue
            boot_s, source = self.boot_s, ""
            if warm:
                boot_s, source = self.warm_boot_s, " from warm pool"
                self.pools[of.name].remove(warm.pop(0))
            self._born[one.instance_id] = (time.monotonic(), boot_s)
            one.availability_zone = of.availability_zones[n % len(of.availability_zones)]
            if boot_s:
                one.lifecycle_state = "Pending"
            self._activity(
                of.name, "Successful", f"Launching a new EC2 instance{source}: {one.instance_id}"
            )

    def _fill(self, group: Any, now_s: float) -> None:
        """Bring a warm pool to the size that its configuration comes to."""
        pool, config = self.pools[group.name], group.warm_pool
        for one in list(pool):
            if one.state == "Warmed:Pending" and now_s - one.since_s >= self.boot_s:
                one.state = f"Warmed:{config.pool_state}" if config else one.state
            elif one.leaves and now_s - one.since_s >= self.drain_s:
                pool.remove(one)
        size = _pool_size(group)
        there = [one for one in pool if not one.leaves]
        for one in there[size:]:
            one.state, one.since_s = "Warmed:Terminating", now_s
        room = size
        if self.room is not None:
            room = max(min(size, self.room - len(group.active_instances())), len(there))
        if room < size:
            if group.name not in self._short_pools:
                self._activity(
                    group.name, "Failed", "Launching a new EC2 instance into warm pool",
                    message=NO_CAPACITY,
                )  # fmt: skip
                self._short_pools.add(group.name)
        else:
            self._short_pools.discard(group.name)
        for _ in range(room - len(there)):
            n = next(self._numbers)
            zone = group.availability_zones[n % len(group.availability_zones)]
            pool.append(Warmed(f"i-warm{n}", zone))
            self._activity(
                group.name, "Successful", f"Launching a new EC2 instance into warm pool: i-warm{n}"
            )

    def _leave(self, instances: list[Any]) -> None:
        for one in instances:
            one.lifecycle_state = "Terminating"
            self._leaving[one.instance_id] = time.monotonic()

    def _activity(
        self, group: str, status: str, description: str, cause: str = "", *, message: str = ""
    ) -> None:
        now = dt.datetime.now(dt.UTC)
        self._activities.append(
            {
                "ActivityId": f"activity-{next(self._numbers)}", "AutoScalingGroupName": group,
                "StatusCode": status, "Description": description, "Cause": cause or "it was asked",
                "StartTime": now, "EndTime": now, "StatusMessage": message, "Progress": 100,
            }
        )  # fmt: skip

    # --- services

    def _patch_services(self) -> None:
        world, backend = self, ecs_models.EC2ContainerServiceBackend
        response = ecs_responses.EC2ContainerServiceResponse

        def update(of: Any, given: dict[str, Any]) -> Any:
            with world._lock:
                service = of._get_service(given.get("cluster"), given["service"])
                if given.get("desired_count") is not None:
                    service.desired_count = given["desired_count"]
                world._reconcile(service)
                return service

        def list_tasks(asked: Any) -> ActionResult:
            with world._lock:
                service = asked.ecs_backend._get_service(
                    asked._get_param("cluster"), asked._get_param("serviceName")
                )
                leaving = asked._get_param("desiredStatus") == "STOPPED"
                own = [t.arn for t in world.tasks[service.arn] if t.leaves == leaving]
                return ActionResult({"taskArns": own})

        def describe_tasks(asked: Any) -> ActionResult:
            wanted = set(asked._get_param("tasks", []))
            with world._lock:
                own = [t for tasks in world.tasks.values() for t in tasks if t.arn in wanted]
                return ActionResult({"failures": [], "tasks": [
                    {"taskArn": t.arn, "availabilityZone": t.zone, "lastStatus": t.status,
                     "desiredStatus": "STOPPED" if t.leaves else "RUNNING",
                     "healthStatus": t.health}
                    for t in own
                ]})  # fmt: skip

        self._replace(backend, "update_service", update)
        self._replace(response, "list_tasks", list_tasks)
        self._replace(response, "describe_tasks", describe_tasks)

    def _reconcile(self, service: Any) -> None:
        tasks = self.tasks[service.arn]
        alive = [task for task in tasks if not task.leaves]
        for task in alive[service.desired_count :]:
            task.status, task.since_s = "DEACTIVATING", time.monotonic()
        room = service.desired_count
        if self.room is not None and self.room < room:
            room = max(self.room, len(alive))
            if len(alive) < service.desired_count:
                self._say(service, NO_PLACE.format(name=service.name))
                self._short.add(service.arn)
        for _ in range(room - len(alive)):
            n = next(self._numbers)
            arn = f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/{service.cluster_name}/{n:032x}"
            tasks.append(Task(arn, ZONES[len(tasks) % len(ZONES)]))
        self._count(service)

    def _count(self, service: Any) -> None:
        states = Counter(task.status for task in self.tasks[service.arn])
        service.running_count, service.pending_count = states["RUNNING"], states["PENDING"]
        for deployment in service.deployments:
            deployment["runningCount"], deployment["pendingCount"] = (
                states["RUNNING"], states["PENDING"],
            )  # fmt: skip

    def _say(self, service: Any, message: str) -> None:
        if service.events and service.events[0]["message"] == message:
            return
        service.events.insert(
            0,
            {
                "id": f"event-{next(self._numbers)}",
                "createdAt": dt.datetime.now(dt.UTC),
                "message": message,
            },
        )

    # --- time, faults, patches

    def _live(self) -> None:
        while not self._stop.wait(0.05):
            with self._lock:
                now_s = time.monotonic()
                # Copies: the server's threads add to all of these meanwhile.
                for account in list(models.autoscaling_backends.values()):
                    for backend in list(account.values()):
                        for group in list(backend.autoscaling_groups.values()):
                            self._age(group, now_s)
                            self._try_again(group)
                            self._fill(group, now_s)
                for account in list(ecs_models.ecs_backends.values()):
                    for backend in list(account.values()):
                        for service in list(backend.services.values()):
                            self._age_tasks(service, now_s)
                            if service.arn in self._short and self.room is None:
                                self._short.remove(service.arn)
                                self._reconcile(service)

    def _try_again(self, group: Any) -> None:
        """Launch what there was no capacity for, once there is: AWS does so each few minutes."""
        if group.name in self._short and self.room is None:
            self._short.remove(group.name)
            count, before = group.desired_capacity, group.active_instances()
            if len(before) < count:
                self._launch(group, count, before, self._moto_launches)
                group.desired_capacity = count

    def _age(self, group: Any, now_s: float) -> None:
        for one in list(group.instance_states):
            born_s, boot_s = self._born.get(one.instance_id, (now_s, 0.0))
            if one.lifecycle_state == "Pending" and now_s - born_s >= boot_s:
                one.lifecycle_state = "InService"
            elif (
                one.lifecycle_state == "Terminating"
                and "Terminate" not in (group._suspended_processes or ())
                and now_s - self._leaving[one.instance_id] >= self.drain_s
            ):
                group.instance_states.remove(one)

    def _age_tasks(self, service: Any, now_s: float) -> None:
        for task in self.tasks[service.arn]:
            if task.status == "PENDING" and now_s - task.since_s >= self.boot_s:
                task.status = "RUNNING"
            elif task.status == "DEACTIVATING" and now_s - task.since_s >= self.drain_s:
                task.status = "STOPPED"
        self._count(service)

    def _watched(self, operation: str, real: Callable[[Any], Any]) -> Callable[[Any], Any]:
        world = self

        def call(response: Any) -> Any:
            with world._lock:
                world.calls[operation] += 1
                faults = world.faults[operation]
                fault = faults[0] if faults else None
                if fault is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        faults.pop(0)
            if fault is None:
                return real(response)
            world._stop.wait(fault.before_s)
            if fault.code:
                # moto takes the service from the module of the error's class.
                of = {"__module__": type(response).__module__}
                raise type("OfTheTest", (ServiceException,), of)(fault.code, "the test wants it")
            answer = real(response)
            world._stop.wait(fault.after_s)
            return answer

        return call

    def _replace(self, owner: Any, name: str, made: Any) -> None:
        before = owner.__dict__.get(name)
        setattr(owner, name, made)
        self._undo.append(
            (lambda: delattr(owner, name)) if before is None else
            (lambda: setattr(owner, name, before))
        )  # fmt: skip


@contextmanager
def aws_world(**given: float) -> Iterator[AwsWorld]:
    """A world, and an environment in which the usual chain has credentials for it."""
    before = dict(os.environ)
    os.environ.update(KEYS)
    world = AwsWorld(**given)
    try:
        yield world
    finally:
        world.close()
        os.environ.clear()
        os.environ.update(before)


def _pool_size(group: Any) -> int:
    """What a warm pool's configuration comes to, as `PutWarmPool` is documented."""
    config = group.warm_pool
    if config is None:
        return 0
    least = int(config.min_size)
    given = config.max_group_prepared_capacity
    prepared = group.max_size if given is None or int(given) < 0 else int(given)
    if given is not None and int(given) == least:
        return least
    return int(max(least, prepared - group.desired_capacity))


def _stamp() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
