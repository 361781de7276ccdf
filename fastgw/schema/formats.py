"""Checks of single texts that a regular expression cannot express, by name of format.

Owns the syntax of addresses, ranges and header names. Must not know where they are used. A check answers
None for a lawful text, else what would be right.
"""

import ipaddress
import re
from collections.abc import Callable
from typing import NamedTuple

from fastgw.schema.regex import flaw

__all__ = ["FORMATS", "Endpoint", "Wrong", "parse_address", "parse_node"]

_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_DIGITS = re.compile(r"[0-9.]+")
_RANGE = re.compile(r"[0-9A-Fa-f:.]+(?:/[0-9]{1,3})?")  # no netmasks, no scope ids
_PORT = re.compile(r"[0-9]{1,5}")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_FIELD_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*)")
_PATH = re.compile(r"[!-~]+")
_UNIX_PATH_MAX = 107  # bytes: sun_path of Linux without its closing zero


class Endpoint(NamedTuple):
    """Where to listen or connect: a host and port, or the path of a unix socket."""

    host: str
    port: int
    path: str = ""


def parse_address(text: str) -> Endpoint:
    """`127.0.0.1:9080`, `[::1]:9080`, `localhost:9080` or `unix:/path`. Port 0: the system picks one."""
    if text.startswith("unix:"):
        return Endpoint("", 0, _unix_path(text))
    host, colon, port = text.rpartition(":")
    if not colon or not _PORT.fullmatch(port) or int(port) > 65535:
        raise ValueError("'host:port' with a port from 0 to 65535, or 'unix:/path'")
    return Endpoint(_bare_host(host), int(port))


def _unix_path(text: str) -> str:
    path = text[len("unix:") :]
    if not path.startswith("/") or "\0" in path or len(path.encode(errors="replace")) > _UNIX_PATH_MAX:
        raise ValueError(f"'unix:' and an absolute path of at most {_UNIX_PATH_MAX} bytes")
    return path


def parse_node(text: str) -> tuple[str, int | None]:
    """Host and port of a member of an upstream's `nodes`: `host`, `host:port`, `[::1]`, `[::1]:80`, or `unix:/path` as a host."""
    if text.startswith("unix:/"):
        return f"unix:{_unix_path(text)}", None
    if text.count(":") > 1 and not text.startswith("["):
        raise ValueError("an IPv6 address in '[' and ']'")
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        return _bare_host(text), None
    if not _PORT.fullmatch(port) or not 1 <= int(port) <= 65535:
        raise ValueError("a port from 1 to 65535")
    return _bare_host(host), int(port)


def _bare_host(host: str) -> str:
    """The host without the brackets of an IPv6 address."""
    if host.startswith("[") and host.endswith("]"):
        try:
            return str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            raise ValueError("an IPv6 address between '[' and ']'") from None
    if not _HOST_NAME.fullmatch(host) or (_DIGITS.fullmatch(host) and not _is_ipv4(host)):
        raise ValueError("a host name or an IP address")
    return host


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


class Wrong(NamedTuple):
    """What would be right, in our words and, where they are known, the reason in APISIX's."""

    right: str
    apisix: str = ""


def _address(text: str) -> Wrong | None:
    try:
        parse_address(text)
    except ValueError as error:
        return Wrong(str(error))
    return None


def _node(text: str) -> Wrong | None:
    try:
        parse_node(text)
    except ValueError as error:
        if text.count(":") > 1 and not text.startswith("["):
            reason = "invalid configuration: IPv6 address must be enclosed with '[' and ']'"
        else:
            reason = f"invalid port {text.rpartition(':')[2]}" if ":" in text else ""
        return Wrong(str(error), reason)
    return None


def _node_host(text: str) -> Wrong | None:
    wrong = _node(text)
    if wrong is None and parse_node(text)[1] is not None:
        return Wrong("a host without port, which is a member of its own")
    return wrong


def _dns_server(text: str) -> Wrong | None:
    try:
        ipaddress.ip_address(parse_node(text)[0])
    except ValueError:
        return Wrong("an IP address, with or without a port")
    return None


def _ip_range(text: str) -> Wrong | None:
    try:
        if _RANGE.fullmatch(text) and ipaddress.ip_network(text, strict=False):
            return None
    except ValueError:
        pass
    return Wrong("an IPv4 or IPv6 address, or a CIDR range of them")


def _regex(text: str) -> Wrong | None:
    wrong = flaw(text)
    return None if wrong is None else Wrong(wrong.removeprefix("expected "))


def _header_name(text: str) -> Wrong | None:
    return None if _TOKEN.fullmatch(text) else Wrong("a name of letters, digits and !#$%&'*+-.^_`|~")


def _field_line(text: str) -> Wrong | None:
    found = _FIELD_LINE.fullmatch(text)
    if found is None:
        return Wrong("'Name: value' in one line")
    return Wrong("none that frames a body") if found[1].lower() in ("content-length", "transfer-encoding") else None


def _request_target(text: str) -> Wrong | None:
    return None if _PATH.fullmatch(text) else Wrong("a path, without spaces or other than ASCII")


FORMATS: dict[str, Callable[[str], Wrong | None]] = {
    "address": _address,
    "dns-server": _dns_server,
    "field-line": _field_line,
    "header-name": _header_name,
    "ip-range": _ip_range,
    "node": _node,
    "node-host": _node_host,
    "re2": _regex,
    "request-target": _request_target,
}
