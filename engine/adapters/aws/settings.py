"""The options of `infrastructure=aws`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from engine.adapters.aws.target import AwsTarget, TargetKind
from engine.config.strict import Strict
from engine.security.addresses import address_of, complaint

SPELLINGS = "asg/NAME or ecs/CLUSTER/SERVICE"


def _endpoint(url: str | None) -> str | None:
    """Whatever is asked gets a session's token: over TLS, or on this machine."""
    if url is None:
        return None
    if why := complaint(url):
        raise ValueError(why)
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_here(parts.hostname or "")):
        raise ValueError(f'"{url}" is not allowed (https://…, or http:// on this machine)')
    if parts.username or parts.query or parts.fragment or parts.path.strip("/"):
        raise ValueError("it is to be a scheme, a host and a port, and no more")
    return url.rstrip("/")


def _is_here(host: str) -> bool:
    try:
        return address_of(host).is_loopback
    except ValueError:
        return host == "localhost"


class AwsConfig(Strict):
    """How AWS is reached, and what is what there."""

    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")] | None = None
    """Null: what the environment or the profile says."""
    profile: Annotated[str, Field(min_length=1)] | None = None
    """Of ~/.aws/config; null: what $AWS_PROFILE says, or the default one."""
    endpoint: Annotated[str | None, AfterValidator(_endpoint)] = None
    """Who is asked in the place of AWS, for all of its services; null: AWS."""
    workloads: Mapping[str, Annotated[AwsTarget, BeforeValidator(lambda v: _spelled_out(v))]] = (
        Field(default_factory=dict)
    )
    """By service; one that is not here is the Auto Scaling group of its name."""
    zones: bool = True
    """Whether the tasks of an ECS service are listed, for their zones and to see which leave."""
    timeout_s: Annotated[float, Field(gt=0.0, le=30.0)] = 2.0
    """For one request."""
    look_s: Annotated[float, Field(gt=0.0, le=60.0)] = 3.5
    """For a look at everything, with what is asked again."""
    command_s: Annotated[float, Field(gt=0.0, le=60.0)] = 8.0
    """For one command, with what is asked and done again."""
    writers_s: Annotated[float, Field(ge=1.0, le=3600.0)] = 60.0
    """How often it is looked who else scales, besides before each command."""

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> AwsConfig:
        """The options, checked; raises ConfigError naming the key."""
        from engine.config.strict import validated

        return validated(cls, options, "infrastructure.options")


def _spelled_out(given: object) -> object:
    """`asg/NAME` or `ecs/CLUSTER/SERVICE` as the target that is meant."""
    kind, _, rest = given.partition("/") if isinstance(given, str) else ("", "", "")
    if kind == "asg" and rest:
        return AwsTarget(TargetKind.GROUP, rest)
    match [kind, *rest.split("/")]:
        case ["ecs", cluster, name] if cluster and name:
            return AwsTarget(TargetKind.ECS, name, cluster)
    raise ValueError(f'"{given}" is not allowed ({SPELLINGS})')
