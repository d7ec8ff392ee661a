"""What KEDA is given to do just what the engine wants, and what is read back of it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
import yaml

from engine.adapters.kubernetes.keda.pulse import Ear, stamp
from engine.adapters.kubernetes.keda.scaled_objects import published, scaled_object
from engine.adapters.kubernetes.owners import autoscalers, published_target
from engine.adapters.kubernetes.settings import KedaConfig, KubernetesConfig, WorkloadConfig
from engine.adapters.kubernetes.workloads import change, read, target
from engine.commands import kubernetes
from engine.config.strict import ConfigError
from engine.model import BootTime, ServiceSpec

API = target(WorkloadConfig(name="api"), "shop")
UTC = dt.datetime(2026, 6, 1, 12, 0, tzinfo=dt.UTC)


def spec(least: int = 2, most: int = 40) -> ServiceSpec:
    return ServiceSpec("api", least, most, 4, 0.1, 1.0, BootTime(2.0, 3.0), 0.0, 0.5, 0.1)


def made(**given: Any) -> dict[str, Any]:
    """A ScaledObject that has been applied, with what is given of it changed."""
    body = scaled_object(spec(), API, KedaConfig())
    body["metadata"] |= {"uid": "u"} | given.pop("metadata", {})
    body["spec"] |= given
    return body


def owners(*bodies: dict[str, Any]) -> list[Any]:
    return autoscalers(bodies, "ScaledObject")


def test_nothing_in_the_object_keeps_the_autoscaler_from_the_wanted_count() -> None:
    body = scaled_object(spec(), API, KedaConfig())["spec"]
    behavior = body["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    for way in ("scaleUp", "scaleDown"):
        assert behavior[way]["tolerance"] == "0"
        assert behavior[way]["stabilizationWindowSeconds"] == 0
        (policy,) = behavior[way]["policies"]
        assert policy == {"type": "Pods", "value": 40, "periodSeconds": 1}  # from any to any count
    assert (body["minReplicaCount"], body["maxReplicaCount"]) == (2, 40)
    (trigger,) = body["triggers"]
    assert (trigger["type"], trigger["metricType"]) == ("external-push", "AverageValue")
    assert trigger["metadata"] == {"scalerAddress": "127.0.0.1:8701", "service": "api"}


@pytest.mark.parametrize(
    ("least", "given", "count"), [(2, 0, 2), (2, 9, 9), (9, 2, 9), (0, 0, 1), (0, 4, 4)]
)
def test_the_fallback_takes_nothing_away_and_is_never_zero(
    least: int, given: int, count: int
) -> None:
    # KEDA takes an error without a fallback, or with one of 0, for a wish to go to 0.
    config = KedaConfig.model_validate({"fallback": {"api": given} if given else {}})
    fallback = scaled_object(spec(least), API, config)["spec"]["fallback"]
    assert fallback == {
        "failureThreshold": 3, "replicas": count, "behavior": "currentReplicasIfHigher"
    }  # fmt: skip


def test_tls_and_an_authentication_go_into_the_trigger() -> None:
    config = KedaConfig.model_validate({
        "address": "scaler.wedtwin.svc:8701", "authentication": "scaler",
        "tls": {"certificate": "c", "key": "k"},
    })  # fmt: skip
    (trigger,) = scaled_object(spec(), API, config)["spec"]["triggers"]
    assert trigger["authenticationRef"] == {"name": "scaler"}
    assert trigger["metadata"] == {
        "scalerAddress": "scaler.wedtwin.svc:8701", "service": "api", "enableTLS": "true"
    }  # fmt: skip


def test_the_wanted_count_stands_in_an_annotation_and_changes_only_on_itself() -> None:
    body = made()
    there = published_target("api", API, owners(body))
    assert (there.kind, there.name, there.most) == ("ScaledObject", "api", "/spec/maxReplicaCount")
    record = read(body, there)
    assert (record.set, record.most) == (None, 40)
    first = change(record, there, "", 5, fence=3)  # what there is is wanted
    assert not any(op["path"].startswith("/spec") for op in first)
    body["metadata"]["annotations"] = first[-1]["value"]
    record = read(body, there)
    assert (record.count, record.set, record.fence, record.decisions) == (5, 5, 3, ())
    assert published(body).wanted == 5
    patch = change(record, there, "d1", 8, fence=3)
    tested = {op["path"]: op["value"] for op in patch if op["op"] == "test"}
    assert tested["/metadata/annotations/wedtwin~1set"] == "5"
    assert {op["path"] for op in patch if op["op"] == "add"} == {
        f"/metadata/annotations/wedtwin~1{name}" for name in ("fence", "set", "decisions")
    }


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "٣", "1e3"])
def test_what_is_no_count_is_not_wanted(text: str) -> None:
    assert published(made(metadata={"annotations": {"wedtwin/set": text}})).wanted is None


@pytest.mark.parametrize(
    ("bodies", "said"),
    [
        ([], "needs one ScaledObject that asks the engine's scaler, and has none"),
        ([made(), made(metadata={"name": "two"})], "and has ScaledObject shop/api and "),
        ([made(triggers=[])], 'with service: "api", and has none'),
        ([made(triggers=[{"type": "cpu"}])], "and has none"),
        ([made(triggers=[{"type": "external", "metadata": {"service": "chat"}}])],
         'ScaledObject shop/api needs one external trigger, with service: "api", and has "chat"'),
    ],
)  # fmt: skip
def test_a_workload_that_keda_does_not_ask_us_about_is_named(
    bodies: list[dict[str, Any]], said: str
) -> None:
    with pytest.raises(ValueError, match=said.replace("(", r"\(")) as refused:
        published_target("api", API, owners(*bodies))
    assert "python -m engine kubernetes scaledobjects" in str(refused.value)


def test_an_engine_is_heard_when_its_lease_moves_by_our_own_clock() -> None:
    ear = Ear()
    ear.hear({"spec": {}}, 100.0, UTC)
    assert ear.heard_s == float("-inf")
    # The first look can only go by the stamp; one from a clock that is ahead is not in the future.
    ear.hear({"spec": {"renewTime": stamp(UTC - dt.timedelta(seconds=40))}}, 100.0, UTC)
    assert ear.heard_s == pytest.approx(60.0)
    ear.hear({"spec": {"renewTime": stamp(UTC - dt.timedelta(seconds=40))}}, 110.0, UTC)
    assert ear.heard_s == pytest.approx(60.0)
    ear.hear({"spec": {"renewTime": stamp(UTC - dt.timedelta(days=1))}}, 120.0, UTC)  # it moved
    assert ear.heard_s == 120.0


@pytest.mark.parametrize(
    ("renewed", "heard_s"),
    [(stamp(UTC + dt.timedelta(hours=1)), 100.0), ("no time", float("-inf")),
     ("2026-06-01T11:59:50", float("-inf"))],
)  # fmt: skip
def test_a_stamp_of_the_future_is_now_and_one_that_is_none_is_never(
    renewed: str, heard_s: float
) -> None:
    ear = Ear()
    ear.hear({"spec": {"renewTime": renewed}}, 100.0, UTC)
    assert ear.heard_s == heard_s


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "kida"}, "mode"),
        ({"keda": {"listen": "8701"}}, '"8701" is not allowed (HOST:PORT)'),
        ({"keda": {"address": "http://scaler:8701"}}, "keda.address"),
        ({"keda": {"listen": "127.0.0.1:70000"}}, "HOST:PORT"),
        ({"keda": {"silent_s": 1}}, "keda.silent_s"),
        ({"keda": {"fallback": {"api": 0}}}, "keda.fallback.api"),
        ({"keda": {"tls": {"certificate": "c"}}}, "keda.tls.key"),
        ({"keda": {"adress": "x:1"}}, "did you mean address?"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        KubernetesConfig.of(options)
    assert said in str(refused.value)


ARGUMENTS = ("platform=staging", "infrastructure.options.namespace=shop")


def test_the_objects_of_all_services_are_printed_without_a_cluster(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = kubernetes.run([
        "scaledobjects", *ARGUMENTS, "infrastructure.options.mode=keda",
        "+infrastructure.options.workloads.database=statefulset/postgres",
        "+infrastructure.options.keda.fallback.api=6",
    ])  # fmt: skip
    printed = capsys.readouterr()
    assert code == 0, printed.err
    objects = {
        one["spec"]["triggers"][0]["metadata"]["service"]: one
        for one in yaml.safe_load_all(printed.out)
    }
    assert set(objects) == {"api", "file-storage", "real-time", "ai-services", "database"}
    assert objects["database"]["spec"]["scaleTargetRef"] == {
        "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "postgres"
    }  # fmt: skip
    assert objects["api"]["spec"]["fallback"]["replicas"] == 6


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["scaledobjects"], "infrastructure.options.mode: scaledobjects is for keda"),
        (["scaler"], "infrastructure.options.mode: scaler is for keda, and this is scale"),
        (["rbac", "--scaler"], "infrastructure.options.mode: --scaler is for keda"),
        (["scaledobjects", "infrastructure.options.mode=keda",
          "+infrastructure.options.keda.fallback.apj=6"],
         'infrastructure.options.keda.fallback.apj: "apj" is not allowed (api, '),
        (["scaler", "infrastructure.options.mode=keda",
          "infrastructure.options.kubeconfig=/nowhere"], "infrastructure.options.kubeconfig: "),
    ],
)  # fmt: skip
def test_what_a_command_cannot_do_is_said_with_the_key(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kubernetes.run([arguments[0], *ARGUMENTS, *arguments[1:]]) == 2
    assert said in capsys.readouterr().err
