"""api-breaker: leave an upstream alone for a while that keeps failing at one place.

Owns the configuration. Must not know how failures are counted (native/breaker), or what a request's upstream said
(native/api_breaker).
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Final

from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault, Path
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.schema.base import HeaderName, Nested, unique

__all__ = ["ApiBreaker", "Conf", "Healthy", "ResponseHeader", "Unhealthy"]

_MOST: Final = 32767  # native/breaker.pxi: what a cell can count to
_LONGEST: Final = 100_000_000  # seconds, three years: the same
_TEXT: Final = "text/plain; charset=utf-8"

Statuses = Annotated[tuple[Annotated[int, Meta(ge=200, le=499)], ...], Meta(min_length=1), unique]
Faults = Annotated[tuple[Annotated[int, Meta(ge=500, le=599)], ...], Meta(min_length=1), unique]


class ResponseHeader(Nested, frozen=True, kw_only=True):
    """A header of the answer while the breaker is open.

    key: its name
    value: its value; $variables are filled in, but for that of `Content-Type`
    """

    key: HeaderName
    value: Annotated[str, Meta(min_length=1)]


class Unhealthy(Nested, frozen=True, kw_only=True):
    """What a failure is.

    http_statuses: statuses of the upstream that are failures
    failures: how many open the breaker, and how many more open it for twice as long
    """

    http_statuses: Faults = (500,)
    failures: Annotated[int, Meta(ge=1, le=_MOST)] = 3


class Healthy(Nested, frozen=True, kw_only=True):
    """What a success is.

    http_statuses: statuses of the upstream that are successes
    successes: how many since the last failure make all failures forgotten
    """

    http_statuses: Statuses = (200,)
    successes: Annotated[int, Meta(ge=1, le=_MOST)] = 3


class Conf(PluginConf, frozen=True, kw_only=True):
    """api-breaker: what is a failure, and what is answered while the breaker is open.

    break_response_code: the status of an answer in the upstream's place
    break_response_body: its body; `text/plain` unless a header says otherwise
    break_response_headers: its headers; sent only with a body
    max_breaker_sec: seconds for which the breaker is open at most
    unhealthy: what a failure is
    healthy: what a success is
    """

    break_response_code: Annotated[int, Meta(ge=200, le=599)]
    break_response_body: str | None = None
    break_response_headers: tuple[ResponseHeader, ...] = ()
    max_breaker_sec: Annotated[int, Meta(ge=3, le=_LONGEST)] = 300
    unhealthy: Unhealthy = Unhealthy()
    healthy: Healthy = Healthy()

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """Headers that an answer of the gateway can have."""
        for index, header in enumerate(good.get("break_response_headers", ())):
            at = Path(("break_response_headers", index))
            if _core.header_of_framing(header["key"]):
                yield Fault(at.to("key"), "expected a header that the gateway does not set itself")
            if any(ord(letter) < 32 or ord(letter) == 127 for letter in header["value"]):
                yield Fault(at.to("value"), "expected no control characters")
            elif header["key"].lower() == "content-type" and "$" in header["value"]:
                yield Fault(at.to("value"), "expected a type without variables")


class ApiBreaker(Plugin):
    """Answers in an upstream's place while it is likely to fail."""

    name = "api-breaker"
    version = 0.1
    # Is the upstream well enough, in `access` and `log`.
    priority = 1005
    phases = ("access", "log")
    conf = Conf

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """A native step that looks, and one that counts. What is counted belongs to host and path, to no object."""
        types = [header.value for header in conf.break_response_headers if header.key.lower() == "content-type"]
        return [
            _core.ApiBreakerStep(
                phase,
                status=conf.break_response_code,
                body=None if conf.break_response_body is None else conf.break_response_body.encode(),
                type=types[-1] if types else _TEXT,
                headers=[
                    (header.key, _core.Template(header.value, "var_combination"))
                    for header in conf.break_response_headers
                    if header.key.lower() != "content-type"
                ],
                unhealthy=conf.unhealthy.http_statuses,
                healthy=conf.healthy.http_statuses,
                failures=conf.unhealthy.failures,
                successes=conf.healthy.successes,
                max_s=conf.max_breaker_sec,
            )
            for phase in self.phases
        ]
