"""Health checks of an upstream.

Owns their fields and defaults. Must not know upstreams or how checks run.
"""

from typing import Annotated, Literal

from msgspec import Meta

from fastgw.schema.base import Host, Method, Nested, Port, Positive, text_format, unique

__all__ = [
    "ActiveCheck",
    "ActiveHealthy",
    "ActiveUnhealthy",
    "Checks",
    "PassiveCheck",
    "PassiveHealthy",
    "PassiveUnhealthy",
]

CheckType = Literal["http", "https", "tcp"]
HttpStatus = Annotated[int, Meta(ge=200, le=599)]
Statuses = Annotated[tuple[HttpStatus, ...], Meta(min_length=1), unique]
FieldLine = Annotated[str, text_format("field-line", "a header as 'Name: value'")]
Target = Annotated[str, text_format("request-target", "a path")]
Interval = Annotated[int, Meta(ge=1)]
Threshold = Annotated[int, Meta(ge=1, le=254)]
Counter = Annotated[int, Meta(ge=0, le=254)]


class ActiveHealthy(Nested, frozen=True, kw_only=True):
    """When a node that was down is up again.

    interval: seconds between checks of a node that is up
    http_statuses: statuses that count as success
    successes: how many in a row
    """

    interval: Interval = 1
    http_statuses: Statuses = (200, 302)
    successes: Threshold = 2


class ActiveUnhealthy(Nested, frozen=True, kw_only=True):
    """When a node that was up is down.

    interval: seconds between checks of a node that is down
    http_statuses: statuses that count as failure
    http_failures: how many such answers in a row
    tcp_failures: how many failed connections in a row
    timeouts: how many timeouts in a row
    """

    interval: Interval = 1
    http_statuses: Statuses = (429, 404, 500, 501, 502, 503, 504, 505)
    http_failures: Threshold = 5
    tcp_failures: Threshold = 2
    timeouts: Threshold = 3


class ActiveCheck(Nested, frozen=True, kw_only=True):
    """Checks that the gateway sends by itself.

    type: the protocol of the check
    timeout: seconds for one check
    concurrency: how many nodes are checked at once
    host: the Host header of a check; the node's host when left out
    port: the port checked; the node's when left out
    http_method: the method of a check
    http_path: the path of a check
    http_req_body: the body of a check
    https_verify_certificate: whether the node's certificate is checked
    req_headers: further headers, each "Name: value"
    healthy: when a node is up
    unhealthy: when a node is down
    """

    type: CheckType = "http"
    timeout: Positive = 1
    concurrency: Annotated[int, Meta(ge=1)] = 10
    host: Host | None = None
    port: Port | None = None
    http_method: Method = "GET"
    http_path: Target = "/"
    http_req_body: str = ""
    https_verify_certificate: bool = True
    req_headers: Annotated[tuple[FieldLine, ...], Meta(min_length=1)] | None = None
    healthy: ActiveHealthy = ActiveHealthy()
    unhealthy: ActiveUnhealthy = ActiveUnhealthy()


class PassiveHealthy(Nested, frozen=True, kw_only=True):
    """What in real traffic speaks for a node.

    http_statuses: statuses that count as success
    successes: how many in a row; 0: never
    """

    http_statuses: Statuses = (*range(200, 209), 226, *range(300, 309))
    successes: Counter = 5


class PassiveUnhealthy(Nested, frozen=True, kw_only=True):
    """What in real traffic speaks against a node.

    http_statuses: statuses that count as failure
    http_failures: how many such answers in a row; 0: never
    tcp_failures: how many failed connections in a row; 0: never
    timeouts: how many timeouts in a row; 0: never
    """

    http_statuses: Statuses = (429, 500, 503)
    http_failures: Counter = 5
    tcp_failures: Counter = 2
    timeouts: Counter = 7


class PassiveCheck(Nested, frozen=True, kw_only=True):
    """Conclusions from real traffic.

    type: the protocol watched
    healthy: what speaks for a node
    unhealthy: what speaks against it
    """

    type: CheckType = "http"
    healthy: PassiveHealthy = PassiveHealthy()
    unhealthy: PassiveUnhealthy = PassiveUnhealthy()


class Checks(Nested, frozen=True, kw_only=True):
    """Health checks. Passive ones need active ones, which alone can bring a node back.

    active: checks that the gateway sends
    passive: conclusions from real traffic
    """

    active: ActiveCheck
    passive: PassiveCheck | None = None
