"""What the schema knows, because APISIX has it, and this release does not serve yet.

Owns that list: whoever builds one of these takes its line away. An object that asks for it is refused where it is written,
because a condition, a check or a protocol that was silently ignored would be a hole. Must not know how anything is served.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from fastgw.errors import ROOT, Fault, Path

__all__ = ["unserved"]

MOST_NODES: Final = 1024  # native/plan.pxd: NODES_MAX
BALANCED: Final = ("roundrobin", "chash", "least_conn", "ewma")
# Of those that APISIX hashes on: one is always "_" there, the other of another protocol.
UNKNOWN_VARIABLES: Final = ("server_name", "mqtt_client_id")
_LATER: Final = "not available in this release"


def unserved(kind: str, value: Mapping[str, Any], path: Path = ROOT) -> Iterator[Fault]:
    """Faults of a sound object of this kind that asks for more than is served."""
    if kind == "ssls" and "TLSv1.1" in (value.get("ssl_protocols") or ()):
        yield _fault(path.to("ssl_protocols"), "TLSv1.1 is")  # RFC 8996: it must not be spoken
    if kind == "upstreams":
        yield from _upstream(value, path)
    elif isinstance(value.get("upstream"), dict):
        yield from _upstream(value["upstream"], path.to("upstream"))


def _upstream(value: Mapping[str, Any], path: Path) -> Iterator[Fault]:
    if value.get("type", "roundrobin") not in BALANCED:
        yield _fault(path.to("type"), f"balancing other than {', '.join(BALANCED)} is")
    if value.get("type") == "chash" and value.get("hash_on", "vars") == "vars" and value.get("key") in UNKNOWN_VARIABLES:
        yield _fault(path.to("key"), f"to hash on {value['key']} is")
    if value.get("scheme", "http") not in ("http", "https"):
        yield _fault(path.to("scheme"), "schemes other than http and https are")
    if value.get("discovery_type", "dns") != "dns":
        yield _fault(path.to("discovery_type"), "service discovery other than dns is")
    nodes = value.get("nodes")
    if nodes is not None and len(nodes) > MOST_NODES:
        yield _fault(path.to("nodes"), f"an upstream of more than {MOST_NODES} nodes is")


def _fault(path: Path, what: str) -> Fault:
    return Fault(path, f"{what} {_LATER}", "unsupported")
