"""The manifests fit together: what runs has few rights, is probed, and reaches what it needs."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.testing import patience
from tests.deploy.material import (
    DEPLOY,
    KUBERNETES,
    PORT,
    called,
    container_of,
    documents,
    manifests,
    objects,
    workloads,
)

KUSTOMIZATIONS = sorted(
    [*KUBERNETES.rglob("kustomization.yaml"), DEPLOY / "redis/kustomization.yaml"]
)
OVERLAYS = ("base", "overlays/demo", "overlays/gpu")


def stages() -> dict[str, dict[str, Any]]:
    """The workloads that run moonwatch, by name."""
    names = {one.place.split(": ")[1] for one in called() if one.place.startswith("kubernetes")}
    return {name: one for name, one in workloads().items() if name in names}


def selected(selector: dict[str, Any]) -> set[str]:
    """The workloads whose pods a selector takes."""
    labels = {
        name: one["spec"]["template"]["metadata"]["labels"] for name, one in workloads().items()
    }
    wanted = selector.get("matchLabels", {}).items()
    among = {one["key"]: one.get("values") for one in selector.get("matchExpressions", ())}
    return {
        name
        for name, has in labels.items()
        if wanted <= has.items()
        and all(key in has and (some is None or has[key] in some) for key, some in among.items())
    }


@pytest.mark.parametrize("file", KUSTOMIZATIONS, ids=lambda file: file.parent.name)
def test_a_kustomization_names_files_that_are_there(file: Path) -> None:
    """And every file beside it is named, examples aside."""
    (found,) = documents(file)
    named = [*found.get("resources", ()), *found.get("components", ())]
    for generator in found.get("configMapGenerator", ()):
        named += generator["files"]
    for path in named:
        assert (file.parent / path).exists(), path
    beside = {one.name for one in file.parent.glob("*.yaml")} - {"kustomization.yaml"}
    assert {name for name in beside if "example" not in name} <= set(named)


@pytest.mark.parametrize("name", workloads())
def test_a_workload_has_no_more_rights_than_it_needs(name: str) -> None:
    """What the `restricted` level of Kubernetes asks for, and a file system that is read-only."""
    pod = workloads()[name]["spec"]["template"]["spec"]
    container = container_of(workloads()[name])
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]
    assert container.keys() >= {"livenessProbe", "readinessProbe"}


@pytest.mark.parametrize("name", workloads())
def test_a_workload_mounts_what_it_has(name: str) -> None:
    """Every mount has its volume, and every volume is mounted; labels match their selector."""
    spec = workloads()[name]["spec"]
    container = container_of(workloads()[name])
    volumes = {one["name"] for one in spec["template"]["spec"].get("volumes", ())}
    volumes |= {one["metadata"]["name"] for one in spec.get("volumeClaimTemplates", ())}
    assert {one["name"] for one in container.get("volumeMounts", ())} == volumes
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize("name", stages())
def test_a_stage_is_probed_where_it_answers(name: str) -> None:
    """Alive and ready are different questions; Prometheus asks on the same port."""
    stage = stages()[name]
    container = container_of(stage)
    assert container["ports"] == [{"name": "http", "containerPort": PORT}]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    notes = stage["spec"]["template"]["metadata"]["annotations"]
    assert notes["prometheus.io/port"] == str(PORT)


@pytest.mark.parametrize("name", ["sampler", "processor", "delivery"])
def test_what_has_leases_is_replaced_without_a_gap(name: str) -> None:
    """The new one is there before the old one ends: whoever only stands by is ready."""
    spec = stages()[name]["spec"]
    rolling = {"maxUnavailable": 0, "maxSurge": 1}
    assert spec["replicas"] == 2
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": rolling}


def test_secrets_come_by_file() -> None:
    """None stands in the environment of a stage, and the example holds every key that is read."""
    for name, stage in stages().items():
        for variable in container_of(stage).get("env", ()):
            assert "valueFrom" not in variable, name
    ((_, example),) = objects("Secret")
    read = (KUBERNETES / "base/moonwatch.yaml").read_text()
    keys = {key for key in example["stringData"] if f"/run/secrets/moonwatch/{key}" in read}
    assert keys == example["stringData"].keys()
    (demo,) = documents(KUBERNETES / "overlays/demo/kustomization.yaml")
    made = {one["name"]: one["literals"] for one in demo["secretGenerator"]}
    assert {literal.split("=")[0] for literal in made["moonwatch"]} == keys


def test_every_selector_takes_something() -> None:
    """Budgets, network policies, services and the autoscaler."""
    for kind in ("PodDisruptionBudget", "NetworkPolicy"):
        for _, one in objects(kind):
            selector = one["spec"].get("selector", one["spec"].get("podSelector"))
            assert selected(selector), one["metadata"]["name"]
    for _, service in objects("Service"):
        assert selected({"matchLabels": service["spec"]["selector"]})
    for _, scaled in objects("ScaledObject"):
        assert scaled["spec"]["scaleTargetRef"]["name"] in workloads()
        assert scaled["metadata"]["name"] == scaled["spec"]["scaleTargetRef"]["name"]


def test_nothing_talks_but_what_is_named() -> None:
    """One policy closes the namespace; every pod has its own that opens what it needs."""
    policies = {one["metadata"]["name"]: one["spec"] for _, one in objects("NetworkPolicy")}
    assert policies["nothing"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    opened = set().union(
        *(selected(spec["podSelector"]) for name, spec in policies.items() if name != "nothing")
    )
    assert opened == workloads().keys()
    assert selected(policies["stages"]["podSelector"]) == stages().keys()
    ports = {port["port"] for rule in policies["stages"]["egress"] for port in rule["ports"]}
    assert ports == {53, 6379}
    assert selected(policies["to-store"]["podSelector"]) == {"processor", "delivery"}
    assert policies["stages"]["ingress"][0]["ports"] == [{"port": PORT, "protocol": "TCP"}]


def test_a_budget_lets_nodes_be_drained() -> None:
    """Whatever may be many has one, and what is one has none."""
    budgets = {one["metadata"]["name"] for _, one in objects("PodDisruptionBudget")}
    assert budgets == {"sampler", "worker", "processor", "delivery", "worker-gpu"}


def test_the_autoscaler_can_lose_its_eyes() -> None:
    """Workers stay when Prometheus is away, and what it asks for is a metric's value."""
    for _, scaled in objects("ScaledObject"):
        spec = scaled["spec"]
        low, high = spec["minReplicaCount"], spec["maxReplicaCount"]
        assert 1 <= low <= spec["fallback"]["replicas"] <= high
        (trigger,) = spec["triggers"]
        assert trigger["metadata"].keys() == {"serverAddress", "query", "threshold"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kustomize_builds_what_kubernetes_takes(overlay: str) -> None:
    """Every object by the schema of its kind; KEDA's, which is no part of Kubernetes, is not."""
    validate = pytest.importorskip(
        "kubernetes_validate", reason="no kubernetes-validate: pip install kubernetes-validate"
    )
    seen = 0
    for built in _built(overlay):
        assert built["kind"] == "Namespace" or built["metadata"]["namespace"] == "moonwatch"
        if built["kind"] != "ScaledObject":
            validate.validate(built, "1.31", strict=True)
            seen += 1
    assert seen > 10


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_built_refers_to_what_is_built(overlay: str) -> None:
    """The file of every stage is the generated one, by the name that changes with its content."""
    built = list(_built(overlay))
    maps = {one["metadata"]["name"] for one in built if one["kind"] == "ConfigMap"}
    claims = {one["metadata"]["name"] for one in built if one["kind"] == "PersistentVolumeClaim"}
    for one in built:
        if one["kind"] not in ("Deployment", "StatefulSet"):
            continue
        for volume in one["spec"]["template"]["spec"].get("volumes", ()):
            if "configMap" in volume:
                assert volume["configMap"]["name"] in maps
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims
        assert ":" in container_of(one)["image"]


def test_all_kinds_are_known_here() -> None:
    """A new kind of object needs a look at the tests above."""
    kinds = {document["kind"] for _, document in manifests()}
    assert kinds == {
        "Deployment",
        "Namespace",
        "NetworkPolicy",
        "PersistentVolumeClaim",
        "PodDisruptionBudget",
        "ScaledObject",
        "Secret",
        "Service",
        "ServiceAccount",
        "StatefulSet",
    }


def _built(overlay: str) -> Iterator[dict[str, Any]]:
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("no kubectl on PATH, whose `kubectl kustomize` needs no cluster")
    done = subprocess.run(
        [program, "kustomize", str(KUBERNETES / overlay)],
        capture_output=True,
        text=True,
        timeout=patience(50),
    )
    assert done.returncode == 0, done.stderr
    return iter(yaml.safe_load_all(done.stdout))
