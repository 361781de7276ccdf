"""Request and response heads, judged by regular expressions and lists (RFC 9110, RFC 9112), stricter where the
gateway is. Slow, plain, without state: the whole head or nothing.
"""

from __future__ import annotations

import re

from tests.oracle import uri_target

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
FIELDS = rb"((?:" + TOKEN + rb":[\t -~\x80-\xff]*\r\n)*)\r\n"
REQUEST = re.compile(rb"(?:\r\n)?(" + TOKEN + rb") ([!-~]+) HTTP/1\.([01])\r\n" + FIELDS)
RESPONSE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t -~\x80-\xff]*))?\r\n" + FIELDS)
METHODS = frozenset(
    b"DELETE GET HEAD POST PUT OPTIONS COPY LOCK MKCOL MOVE PROPFIND PROPPATCH SEARCH UNLOCK BIND REBIND UNBIND"
    b" ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PATCH PURGE MKCALENDAR LINK"
    b" UNLINK SOURCE QUERY".split()
)
HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer upgrade"
    b" http2-settings content-length transfer-encoding".split()
)
GATEWAYS = frozenset(b"host expect forwarded x-real-ip x-consumer-username x-credential-identifier x-consumer-custom-id".split())
END_TO_END = frozenset(
    b"authorization cookie content-type user-agent referer server date x-request-id max-forwards x-apisix-upstream-status"
    b" traceparent tracestate".split()
)
FORWARDED = frozenset(b"x-forwarded-for x-forwarded-proto x-forwarded-host x-forwarded-port".split())
KNOWN = HOP_BY_HOP | GATEWAYS | END_TO_END
PREFIXED = re.compile(rb"(x-forwarded-|x-consumer-)[a-z0-9-]+")
NONE, LENGTH, CHUNKED, UNTIL_CLOSE, TUNNEL = range(5)

Fields = list[tuple[bytes, bytes]]


def request(data: bytes) -> dict[str, object] | None:
    """The parts of a request's head as the gateway must see them, or None where it must refuse."""
    match = REQUEST.match(data)
    if match is None:
        return None
    method, target, minor, fields = match[1], match[2], int(match[3]), split_fields(match[4])
    hosts = values(fields, b"host")
    if method not in METHODS or not uri_target.valid_target(method, target):
        return None
    if len(hosts) > 1 or (minor == 1 and not hosts) or not all(map(uri_target.valid_authority, hosts)):
        return None
    if any(value.lower() != b"100-continue" for value in values(fields, b"expect")):
        return None
    hops = values(fields, b"max-forwards")
    if method == b"OPTIONS" and hops and (len(hops) > 1 or not re.fullmatch(rb"[0-9]+", hops[0])):
        return None
    framing = length_and_coding(match[4], fields, minor)
    options = connection_options(fields)
    if framing is None or options is None:
        return None
    length, chunked = framing
    body = CHUNKED if chunked else LENGTH if length > 0 else NONE
    upgrade = upgrades(fields, options, minor)
    if upgrade and not body and (method == b"GET" or values(fields, b"upgrade")[0].lower() != b"websocket"):
        body = TUNNEL
    authority, host, port = asked_of(target, hosts)
    return {
        "len": match.end(), "method": method, "target": target, "authority": authority, "host": host, "port": port,
        "minor": minor, "length": length, "body": body,
        "keep_alive": b"close" not in options and (minor == 1 or b"keep-alive" in options),
        "expect_continue": bool(minor == 1 and body not in (NONE, TUNNEL) and values(fields, b"expect")),
        "upgrade": upgrade,
        "fields": marked(fields, options, HOP_BY_HOP | GATEWAYS), "first": firsts(fields),
    }  # fmt: skip


def response(data: bytes, method: str) -> dict[str, object] | None:
    """The parts of an answer's head, or None where it must be refused."""
    match = RESPONSE.match(data)
    if match is None:
        return None
    minor, status, reason, fields = int(match[1]), int(match[2]), match[3] or b"", split_fields(match[4])
    framing = length_and_coding(match[4], fields, minor)
    options = connection_options(fields)
    if framing is None or options is None:
        return None
    upgrade = status == 101 and upgrades(fields, options, minor)
    if status == 101 and not upgrade:
        return None
    length, chunked = framing
    keeps = b"close" not in options and (minor == 1 or b"keep-alive" in options)
    if status == 204 and (chunked or length > 0):
        keeps = False  # a body that there must not be may follow (hardening rule 20)
    if status < 200 or status == 204:
        body, length = NONE, -1
    elif status == 304 or method == "HEAD":
        body = NONE
    elif chunked:
        body = CHUNKED
    else:
        body = UNTIL_CLOSE if length < 0 else LENGTH if length else NONE
    return {
        "len": match.end(), "target": reason, "minor": minor, "status": status, "length": length,
        "body": body, "keep_alive": keeps and body != UNTIL_CLOSE, "upgrade": upgrade,
        "fields": marked(fields, options, HOP_BY_HOP | {b"x-apisix-upstream-status"}), "first": firsts(fields),
    }  # fmt: skip


def asked_of(target: bytes, hosts: list[bytes]) -> tuple[bytes, bytes, int]:
    """Authority, host and port: an absolute-form's go before the field's (RFC 9112 section 3.2.2)."""
    parts = uri_target.split(target)
    authority = (parts and parts[1]) or b"".join(hosts)
    return authority, *(uri_target.host(authority) or (b"", 0))


def split_fields(lines: bytes) -> Fields:
    pairs = (line.split(b":", 1) for line in lines.split(b"\r\n")[:-1])
    return [(name, value.strip(b" \t")) for name, value in pairs]


def values(fields: Fields, name: bytes) -> list[bytes]:
    return [value for found, value in fields if found.lower() == name]


def length_and_coding(lines: bytes, fields: Fields, minor: int) -> tuple[int, bool] | None:
    """Content-Length or -1, and whether the body is chunked."""
    lengths, codings = values(fields, b"content-length"), values(fields, b"transfer-encoding")
    if len(lengths) + len(codings) > 1 or (codings and minor == 0):
        return None
    if re.search(rb"(?im)^(content-length|transfer-encoding):[^\r\n]*\t", lines):
        return None
    if lengths and (not re.fullmatch(rb"[0-9]+", lengths[0]) or int(lengths[0]) >= 2**63):
        return None
    if codings and codings[0].lower() != b"chunked":
        return None
    return int(lengths[0]) if lengths else -1, bool(codings)


def connection_options(fields: Fields) -> list[bytes] | None:
    joined = b",".join(values(fields, b"connection"))
    options = [option.strip(b" \t").lower() for option in joined.split(b",")]
    options = [option for option in options if option]
    return options if len(options) <= 32 else None


def upgrades(fields: Fields, options: list[bytes], minor: int) -> bool:
    asked = values(fields, b"upgrade")
    if b"upgrade" not in options or len(asked) != 1 or minor == 0 or values(fields, b"http2-settings"):
        return False
    protocol = re.fullmatch(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)(/[!#$%&'*+\-.^_`|~0-9A-Za-z]+)?", asked[0])
    return protocol is not None and protocol[1].lower() not in (b"h2", b"h2c", b"http", b"tls")


def marked(fields: Fields, options: list[bytes], dropped: frozenset[bytes]) -> list[tuple[bytes, bytes, bool]]:
    """Each field with whether it must stop at the gateway."""
    return [(name, value, stops(name, options, dropped)) for name, value in fields]


def firsts(fields: Fields) -> list[int]:
    """Where each known name stands for the first time; those of X-Forwarded- and of X-Consumer- that nobody knows count as
    one each."""
    found: dict[bytes, int] = {}
    for i, (name, _) in enumerate(fields):
        lower = name.lower()
        if lower in KNOWN or lower in FORWARDED:
            found.setdefault(lower, i)
        elif prefixed := PREFIXED.fullmatch(lower):
            found.setdefault(prefixed[1], i)
    return sorted(found.values())


def stops(name: bytes, options: list[bytes], dropped: frozenset[bytes]) -> bool:
    lower = name.lower()
    folded = re.sub(rb"[^a-z0-9]", b"-", lower)
    known = folded in KNOWN or PREFIXED.fullmatch(folded) is not None
    if known and folded != lower:
        return True
    if known:
        return lower in dropped or (lower not in KNOWN and b"host" in dropped)
    return lower in options and lower not in (b"close", b"keep-alive", b"upgrade")
