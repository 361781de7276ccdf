"""What a route takes from its service where it does not say so itself.

Owns: which hosts and paths it serves, whether connections may be upgraded, which object says where its requests go. Must not
know: plugins, how either is compiled.
"""

from fastgw.parts import Key
from fastgw.schema.route import Route
from fastgw.schema.service import Service

__all__ = ["places_of", "upgrades_of", "upstream_source"]


def places_of(route: Route, service: Service | None) -> list[tuple[str, str]]:
    """The hosts (empty: any) and paths of which a route takes requests."""
    hosts = route.hosts or ((route.host,) if route.host else None) or (service and service.hosts) or ("",)
    uris = route.uris or (route.uri,)
    return [(host, uri) for host in hosts for uri in uris if uri]


def upgrades_of(route: Route, service: Service | None) -> bool:
    """Whether another protocol may follow on a client's connection."""
    return bool(route.enable_websocket if route.enable_websocket is not None else service and service.enable_websocket)


def upstream_source(id_: str, route: Route, service: Service | None) -> Key | None:
    """The object that says where a route's requests go: the route before the service, a link before a description."""
    if route.upstream_id is not None:
        return "upstreams", str(route.upstream_id)
    if route.upstream is not None:
        return "routes", id_
    if service is not None and service.upstream_id is not None:
        return "upstreams", str(service.upstream_id)
    if service is not None and service.upstream is not None:
        return "services", str(route.service_id)
    return None
