"""Settings of the gateway itself: everything in the configuration file that is not an APISIX object.

Owns keys, defaults, units and bounds; docs/config.md tells the same, and a test compares the names. Must not
know what any process does with them. Unknown keys are faults at every level.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from fastgw.errors import Fault, Path
from fastgw.schema.base import Address, DnsServer, Host, IpRange, Positive, Schema, Text, secret, unique, whole

__all__ = [
    "AccessLog",
    "Admin",
    "AdminKey",
    "Audit",
    "CacheZone",
    "ErrorLog",
    "Jwks",
    "Limits",
    "Prometheus",
    "ProxyCache",
    "Router",
    "Settings",
    "SharedMemory",
    "Tls",
    "WrongKeys",
]

Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
PluginSeconds = Annotated[float, Meta(ge=0, le=3600)]
# Shorter ones can be guessed; others than these characters do not pass through a header unchanged.
ApiKey = Annotated[
    str, Meta(min_length=16, max_length=256, pattern=whole(r"^[\x21-\x7E]*$"), title="printable ASCII without spaces"), secret
]
KeyName = Annotated[
    str, Meta(min_length=1, max_length=64, pattern=whole(r"^[a-zA-Z0-9-_.@]+$"), title="letters, digits, '-', '_', '.' or '@'")
]
ZoneName = Annotated[
    str, Meta(min_length=1, max_length=100, pattern=whole(r"^[a-zA-Z0-9_-]+$"), title="letters, digits, '-' or '_'")
]
FileMode = Annotated[str, Meta(pattern=whole(r"^0?[0-7]{3}$"), title="an octal file mode such as 0600")]


class Strict(Schema, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A group of settings."""


class AdminKey(Strict, frozen=True, kw_only=True):
    """One key of the Admin API.

    name: what the audit log calls it
    key: what X-API-KEY must carry
    role: admin: everything; viewer: reads, and sees no secrets
    """

    name: KeyName
    key: ApiKey
    role: Literal["admin", "viewer"]


class WrongKeys(Strict, frozen=True, kw_only=True):
    """How many wrong keys are borne before whoever sends them has to wait.

    count: of one address (of IPv6, one /64) within a window
    total: of all addresses together within a window; beyond, an address has to wait after its first one
    window: how long a window is, and so the longest wait, in seconds
    """

    count: Annotated[int, Meta(ge=1, le=1000)] = 10
    total: Annotated[int, Meta(ge=1, le=100_000)] = 100
    window: Annotated[float, Meta(gt=0, le=3600)] = 10


class Audit(Strict, frozen=True, kw_only=True):
    """What was changed by whom.

    path: the file; audit.log in data_dir when left out
    entries: how many of the newest entries the store keeps for GET /apisix/admin/audit
    """

    path: Text | None = None
    entries: Annotated[int, Meta(ge=100, le=1_000_000)] = 10_000


class Admin(Strict, frozen=True, kw_only=True):
    """The Admin API.

    listen: where it listens
    socket_mode: of a unix socket, who may connect: the file's mode
    key: what X-API-KEY must carry; made at the first start and kept in <data_dir>/admin.key when no key of role admin is given
    viewer_key: a second key that can read but not write, and sees no secrets; none when left out
    keys: further keys, each with a name and a role
    allow: client addresses that may connect
    wrong_keys: how many wrong keys are borne
    audit: what was changed by whom
    body_bytes: the largest request body, in bytes
    """

    listen: Address = "127.0.0.1:9180"
    socket_mode: FileMode = "0600"
    key: ApiKey | None = None
    viewer_key: ApiKey | None = None
    keys: tuple[AdminKey, ...] = ()
    allow: Annotated[tuple[IpRange, ...], unique] = ("127.0.0.0/8", "::1")
    wrong_keys: WrongKeys = WrongKeys()
    audit: Audit = Audit()
    body_bytes: Annotated[int, Meta(ge=1024, le=2**30)] = 1572864

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """A name stands for one key, and a key for one name; `key` is called admin, `viewer_key` viewer."""
        names = {name: member for name, member in (("admin", "key"), ("viewer", "viewer_key")) if member in good}
        keys = {good[member]: member for member in names.values()}
        if len(keys) < len(names):
            yield Fault(Path(("viewer_key",)), "the same key as key; expected another", "rule")
        for index, each in enumerate(good.get("keys", ())):
            name, place = each["name"], f"keys[{index}]"
            if name in names:
                yield Fault(Path(("keys", index, "name")), f"the same name as that of {names[name]}; expected another", "rule")
            elif name in ("admin", "viewer") and name != each["role"]:
                yield Fault(Path(("keys", index, "name")), f"expected another name for a key of role {each['role']}", "rule")
            if each["key"] in keys:
                yield Fault(Path(("keys", index, "key")), f"the same key as {keys[each['key']]}; expected another", "rule")
            names.setdefault(name, place)
            keys.setdefault(each["key"], place)


class Tls(Strict, frozen=True, kw_only=True):
    """TLS towards clients. Certificates are ssl objects.

    listen: where the gateway listens for TLS
    protocols: versions spoken where a certificate does not say
    fallback_sni: the server name of clients that send none; they are refused when left out
    trusted_certificate: a PEM file of those who may sign upstreams' certificates; those that the system trusts when left out
    """

    listen: Annotated[tuple[Address, ...], unique] = ()
    protocols: Annotated[tuple[Literal["TLSv1.2", "TLSv1.3"], ...], Meta(min_length=1), unique] = (
        "TLSv1.2",
        "TLSv1.3",
    )
    fallback_sni: Host | None = None
    trusted_certificate: Text | None = None


class Router(Strict, frozen=True, kw_only=True):
    """How requests find their route. What each means is in docs/routing.md.

    http: as in APISIX, whether hosts or paths decide first, and whether paths have parameters (`:name`)
    delete_uri_tail_slash: whether `/a/` is `/a`
    normalize_uri_like_servlet: whether `/a;x=1/b` is `/a/b`
    match_uri_encoded_slash: whether `%2F` in a path is no slash; it never is one
    """

    http: Literal["radixtree_host_uri", "radixtree_uri", "radixtree_uri_with_parameter"] = "radixtree_host_uri"
    delete_uri_tail_slash: bool = False
    normalize_uri_like_servlet: bool = False
    # To decode it for routing, while upstreams may or may not, would be a way around every route (hardening rule 10).
    match_uri_encoded_slash: Literal[True] = True


class SharedMemory(Strict, frozen=True, kw_only=True):
    """Memory that all processes share.

    counters: how many counts of rate limits it holds; the oldest give way when it is full
    revocations: how many revocations there can be; more are refused
    series: how many rows of metrics by route, consumer and node there are, for all workers
    path: a file to map, so that other programs can draw on the same counts; anonymous when left out
    """

    counters: Annotated[int, Meta(ge=1024, le=2**26)] = 262144
    revocations: Annotated[int, Meta(ge=1, le=2**24)] = 65536
    series: Annotated[int, Meta(ge=16, le=2**20)] = 16384
    path: Text | None = None


class CacheZone(Strict, frozen=True, kw_only=True):
    """A place where proxy-cache keeps answers.

    name: what configurations of the plugin call it
    memory_size: bytes of memory that all workers share; the oldest answers give way when it is full
    disk_size: bytes that its files take at most, by which it is one for cache_strategy disk; no files when left out
    disk_path: the directory of its files; proxy-cache/<name> in data_dir when left out
    """

    name: ZoneName
    memory_size: Annotated[int, Meta(ge=2**20, le=2**34)] = 52428800
    disk_size: Annotated[int, Meta(ge=2**20, le=2**44)] | None = None
    disk_path: Text | None = None

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """A directory is for files."""
        if "disk_path" in present and "disk_size" not in present:
            yield Fault(Path(("disk_path",)), "expected only with disk_size", "rule")


class ProxyCache(Strict, frozen=True, kw_only=True):
    """What the plugin proxy-cache keeps answers in.

    cache_ttl: seconds for which an answer is fresh that does not say, with cache_strategy disk
    zones: where answers are kept
    """

    cache_ttl: Annotated[float, Meta(ge=1, le=31536000)] = 10
    zones: Annotated[tuple[CacheZone, ...], Meta(min_length=1, max_length=64)] = (
        CacheZone(name="disk_cache_one", disk_size=2**30),
        CacheZone(name="memory_cache"),
    )

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """A name stands for one zone."""
        seen = set[str]()
        for index, zone in enumerate(good.get("zones", ())):
            if zone["name"] in seen:
                yield Fault(Path(("zones", index, "name")), "the same name as another zone's; expected another", "rule")
            seen.add(zone["name"])


class Limits(Strict, frozen=True, kw_only=True):
    """Bounds on what clients may send and hold, and on the time of Python plugins. Times are in seconds, sizes in bytes.

    head_bytes: the largest request head; more is answered 431
    headers: the most header fields; more is answered 431
    target_bytes: the longest request target; more is answered 414
    body_bytes: the largest request body; more is answered 413
    gathered_bytes: bytes that a worker holds of all bodies that plugins or conditions must see whole; more is answered 503
    idle_timeout: how long a connection may wait for its next request
    head_timeout: how long a request head may take in all
    body_timeout: how long nothing may come of a request body
    send_timeout: how long a client may take nothing of an answer
    min_rate: bytes per second that a client sends of a body or takes of an answer, on average over these timeouts; 0: any
    drain_timeout: how long requests in flight may take after the gateway is told to stop
    connections: how many connections a worker holds
    connections_per_address: how many connections one address (of IPv6, one /64) holds, over all workers; 0: any number
    plugin_time: how long a method of a Python plugin may hold up its worker before it is cut off; 0: any time
    plugin_wait: how long an async method of a Python plugin may hold up its request before it is cancelled; 0: any time
    """

    head_bytes: Annotated[int, Meta(ge=1024, le=2**20)] = 32768
    headers: Annotated[int, Meta(ge=8, le=128)] = 100
    target_bytes: Annotated[int, Meta(ge=256, le=2**20)] = 8192
    body_bytes: Annotated[int, Meta(ge=0, le=2**53 - 1)] = 67108864
    gathered_bytes: Annotated[int, Meta(ge=2**20, le=2**53 - 1)] = 268435456
    idle_timeout: Positive = 60
    head_timeout: Positive = 10
    body_timeout: Positive = 60
    send_timeout: Positive = 60
    min_rate: Annotated[int, Meta(ge=0, le=2**20)] = 240
    drain_timeout: Positive = 30
    connections: Count = 65536
    connections_per_address: Annotated[int, Meta(ge=0, le=65535)] = 8192
    plugin_time: PluginSeconds = 0.1
    plugin_wait: PluginSeconds = 30


class Jwks(Strict, frozen=True, kw_only=True):
    """How key sets of issuers are fetched (`jwks_uri` of jwt-auth). Times are in seconds.

    timeout: how long a fetch may take in all
    min_age: how long a set is kept at least, whatever its issuer says
    max_age: how long at most
    default_age: how long where its issuer says nothing
    """

    timeout: Annotated[float, Meta(ge=0.1, le=300)] = 10
    min_age: Annotated[float, Meta(ge=1, le=86400)] = 60
    max_age: Annotated[float, Meta(ge=1, le=86400)] = 86400
    default_age: Annotated[float, Meta(ge=1, le=86400)] = 300

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """The least is no more than the most."""
        least, most = good.get("min_age", 60), good.get("max_age", 86400)
        if least > most:
            yield Fault(Path(("max_age",)), f"expected at least min_age, {least:g}", "rule")


class AccessLog(Strict, frozen=True, kw_only=True):
    """One line per request.

    enabled: whether lines are written
    path: the file; "-" is standard output
    format: json: one object per line; or a text with variables ($remote_addr) that each line is made of
    escape: how values stand in such a text: default, as nginx has it, or json
    """

    enabled: bool = True
    path: Text = "-"
    format: Annotated[str, Meta(min_length=1, max_length=8192)] = "json"
    escape: Literal["default", "json"] = "default"

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """A text has a variable, or every line would be the same, and stays on its line."""
        text = good.get("format", "json")
        if text != "json" and "$" not in text:
            yield Fault(Path(("format",)), 'expected "json", or a text with variables', "rule")
        elif any(ord(each) < 32 or ord(each) == 127 for each in text):
            yield Fault(Path(("format",)), "expected a text without control characters", "rule")


class Prometheus(Strict, frozen=True, kw_only=True):
    """Metrics in the form that Prometheus reads.

    enabled: whether there is a listener for them; the Admin API has them in any case
    listen: where it listens; it asks for no key. Where another program has the default address, the gateway starts without
    path: the path that answers
    prefix: what the names begin with that are APISIX's
    """

    enabled: bool = True
    listen: Address = "127.0.0.1:9091"
    path: Annotated[str, Meta(max_length=256, pattern=whole(r"^/[\x21-\x22\x24-\x3E\x40-\x7E]*$"), title="a path")] = (
        "/apisix/prometheus/metrics"
    )
    prefix: Annotated[
        str, Meta(max_length=64, pattern=whole(r"^[a-zA-Z_:][a-zA-Z0-9_:]*$"), title="the beginning of a metric's name")
    ] = "apisix_"


class ErrorLog(Strict, frozen=True, kw_only=True):
    """What the gateway says about itself.

    path: the file; "-" is standard error
    level: the least grave line that is written
    format: text: a line for people, with key=value; json: one object per line
    """

    path: Text = "-"
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Settings(Strict, frozen=True, kw_only=True):
    """Settings of the gateway.

    listen: where it listens for clients: host:port or unix:/path; there may be none where tls.listen has one
    workers: how many processes serve; auto: one per CPU that it may use
    admin: the Admin API
    data_dir: where it keeps what it writes; relative to the working directory
    echo: where the built-in test upstream listens; none when left out
    control: where the Control API listens; it asks for no key; nowhere when left out
    status: where the Status API listens, for probes; nowhere when left out
    tls: TLS towards clients
    router: how requests find their route
    shared_memory: memory that all processes share
    proxy_cache: what the plugin proxy-cache keeps answers in
    limits: bounds on what clients may send and hold
    jwks: how key sets of issuers are fetched
    access_log: one line per request
    error_log: what the gateway says about itself
    prometheus: metrics in the form that Prometheus reads
    trusted_addresses: peers whose X-Forwarded headers are believed
    request_ids_from: whose word for the id of a request is kept (request-id): anyone's, or only that of trusted_addresses
    server_tokens: whether answers of the data plane carry the Server header
    show_upstream_status_in_response_header: whether every answer says what the upstream answered, not only 5xx do
    token_cache: how many verified tokens each worker remembers; 0: none
    plugins_dir: where plugins of one's own are, each a file; relative to the working directory; none when left out
    dns_resolver: DNS servers, each an IP address with or without a port; those of the system when left out
    dns_resolver_valid: seconds for which an answer of DNS holds, whatever it says itself
    """

    listen: Annotated[tuple[Address, ...], unique] = ("127.0.0.1:9080",)
    # 256 process slots in shared memory hold the admin process and, in a binary upgrade, workers twice.
    workers: Annotated[int, Meta(ge=1, le=120)] | Literal["auto"] = "auto"
    admin: Admin = Admin()
    data_dir: Text = "fastgw-data"
    echo: Address | None = None
    control: Address | None = None
    status: Address | None = None
    tls: Tls = Tls()
    router: Router = Router()
    shared_memory: SharedMemory = SharedMemory()
    proxy_cache: ProxyCache = ProxyCache()
    limits: Limits = Limits()
    jwks: Jwks = Jwks()
    access_log: AccessLog = AccessLog()
    error_log: ErrorLog = ErrorLog()
    prometheus: Prometheus = Prometheus()
    trusted_addresses: Annotated[tuple[IpRange, ...], unique] = ()
    request_ids_from: Literal["anyone", "trusted"] = "anyone"
    server_tokens: bool = True
    show_upstream_status_in_response_header: bool = False
    # About 2 KiB each in every worker, taken as they are needed.
    token_cache: Annotated[int, Meta(ge=0, le=2**20)] = 4096
    plugins_dir: Text | None = None
    dns_resolver: Annotated[tuple[DnsServer, ...], unique] = ()
    dns_resolver_valid: Annotated[float, Meta(ge=1, le=86400)] | None = None

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """It listens somewhere."""
        if "listen" in good and not good["listen"] and not good.get("tls", {}).get("listen"):
            yield Fault(Path(("listen",)), "expected at least 1 item, found 0")
