"""What NetworkPolicies let through between pods of one namespace, read as Kubernetes defines it.

https://kubernetes.io/docs/concepts/services-networking/network-policies/#the-two-sorts-of-pod-isolation
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

Object = dict[str, Any]


def reaches(policies: Iterable[Object], source: dict[str, str], target: dict[str, str], port: int) -> bool:
    """Whether a pod with the labels ``source`` can open a TCP connection to one with the labels ``target``.

    Both must allow it, the one its way out and the other its way in. A pod that no policy selects in a direction is
    open in it; else what any of them allows is allowed.
    """
    found = list(policies)
    return _open(found, "Egress", source, target, port) and _open(found, "Ingress", target, source, port)


def _open(policies: list[Object], direction: str, own: dict[str, str], other: dict[str, str], port: int) -> bool:
    specs = [each["spec"] for each in policies if direction in _directions(each["spec"])]
    isolating = [spec for spec in specs if _selects(spec["podSelector"], own)]
    peers, rules_of = ("to", "egress") if direction == "Egress" else ("from", "ingress")
    return not isolating or any(
        (peers not in rule or any(_is_peer(peer, other) for peer in rule[peers]))
        and ("ports" not in rule or any(port in found for found in _ports(rule["ports"])))
        for spec in isolating
        for rule in spec.get(rules_of, [])
    )


def _directions(spec: Object) -> list[str]:
    default = ["Ingress", "Egress"] if "egress" in spec else ["Ingress"]
    return list(spec.get("policyTypes", default))


def _is_peer(peer: Object, labels: dict[str, str]) -> bool:
    """Blocks of addresses are those of other machines: what they say of pods' addresses no cluster has in common."""
    return set(peer) == {"podSelector"} and _selects(peer["podSelector"], labels)


def _ports(ports: list[Object]) -> Iterator[range]:
    for port in ports:
        if port.get("protocol", "TCP") == "TCP":
            first = port.get("port", 1)
            yield range(first, port.get("endPort", first if "port" in port else 65535) + 1)


def _selects(selector: Object, labels: dict[str, str]) -> bool:
    unread = set(selector) - {"matchLabels", "matchExpressions"}
    assert not unread, unread
    for each in selector.get("matchExpressions", []):
        assert each["operator"] == "Exists", "no policy of ours has another"
        if each["key"] not in labels:
            return False
    return bool(selector.get("matchLabels", {}).items() <= labels.items())
