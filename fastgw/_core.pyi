from asyncio import AbstractEventLoop, Future
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from mmap import mmap
from os import PathLike
from types import FrameType
from typing import Any, Literal, NamedTuple, final

__version__: str

# build
BUILD: Literal["release", "debug", "sanitize", "fuzz"]
COMPILER: str

# heap
def _test_heap_blocks() -> int | None: ...
def _test_heap_stale() -> int: ...

# buf
def _test_buf_int(v: int, before: bytes) -> bytes: ...

# scan

def _test_scan(kind: Literal["text", "visible", "open", "plain"], data: bytes, portable: bool) -> tuple[int, bytes]: ...
def _test_scan_host(data: bytes, portable: bool) -> tuple[bytes, bool]: ...

# field
def _test_field_id(name: bytes) -> tuple[int, bool]: ...

# uri
def _test_uri_split(target: bytes) -> tuple[int, bytes, bytes, bytes | None] | None: ...
def _test_uri_normalise(path: bytes, cap: int = -1) -> tuple[bool, bytes | None]: ...
def _test_host_split(authority: bytes, cap: int = 256) -> tuple[bytes, int] | None: ...

# framing: heads parsed and judged
def header_of_framing(name: str) -> bool: ...
def header_reserved(name: str) -> bool: ...
def _test_head(
    data: bytes,
    pieces: list[int],
    response: bool,
    method: str = "GET",
    max_bytes: int = 32768,
    max_target: int = 8192,
    max_fields: int = 100,
) -> dict[str, Any] | int: ...

# chunked
def _test_chunked(
    data: bytes, pieces: list[int], max_ext: int = 1024, max_trailer: int = 8192
) -> tuple[bytes, int, int, int]: ...

# sha2
def _test_sha2(alg: int, data: bytes, portable: bool = False) -> bytes: ...
def _test_http_date(text: bytes) -> int: ...
def _test_hmac(alg: int, secret: bytes, data: bytes, portable: bool = False) -> bytes: ...
def _test_ct_equal(a: bytes, b: bytes) -> bool: ...
def _test_sha2_accelerated() -> bool: ...

# b64url
def _test_b64url(text: bytes, room: int = -1, portable: bool = False) -> bytes | None: ...
def _bench_b64url(text: bytes, rounds: int) -> float: ...

# json
def _test_json_scan(doc: bytes, names: list[bytes]) -> tuple[str, list[tuple[str, bytes, int | None]]]: ...

# jwt
def _test_jwt_verify(
    token: bytes,
    alg: str,
    secret: bytes,
    now: int,
    leeway: int = 0,
    required: int = 0,
    key_claim: bytes = b"key",
    listed_only: bool = False,
    headers: bool = False,
    max_len: int = 0,
) -> tuple[str, bytes | None]: ...
def _test_jwt_message(reason: str) -> str: ...
def _bench_token_cache(
    snapshot: Snapshot, tokens: list[bytes], entries: int, rounds: int, claim: bytes = b"key"
) -> tuple[float, float]: ...
def _bench_jwt(token: bytes, secret: bytes, rounds: int, headers: bool = False) -> float: ...
def _bench_hmac(data: bytes, secret: bytes, rounds: int) -> float: ...

# secret, random
def _test_secret_digest(text: bytes) -> bytes: ...
def _test_random(size: int, calls: int) -> list[bytes]: ...

# args
def _test_chash(nodes: Iterable[tuple[bytes, int]], keys: Iterable[bytes]) -> list[int]: ...
def _test_args(query: bytes, name: bytes) -> tuple[int, bytes, bytes]: ...

# -- paths -------------------------------------------------------------------------------------------

def normalise_path(path: bytes, pattern: bool = False) -> bytes: ...

# -- shared memory ---------------------------------------------------------------------------------

METRIC_NAMES: tuple[str, ...]

class RegionError(ValueError): ...

class SlotView(NamedTuple):
    pid: int
    kind: int
    state: int
    applied: int
    generation: int

class Sample(NamedTuple):
    slot: int
    time: int
    hits: int
    refused: bool
    identity: bytes
    key: bytes
    fp: int
    cut: bool

class SeriesView(NamedTuple):
    slot: int
    other: bool
    route: str
    matched_uri: str
    matched_host: str
    service: str
    consumer: str
    node: str
    codes: list[tuple[int, int]]
    latency: tuple[list[int], list[int], list[int]]
    request_us: int
    upstream_us: int
    bytes_in: int
    bytes_out: int

GAUGE_NAMES: tuple[str, ...]
SERIES_MS: tuple[int, ...]

@final
class Region:
    fd: int
    size: int
    @staticmethod
    def create(
        counters: int = 262144,
        path: str | PathLike[str] | None = None,
        slots: int = 256,
        revocations: int = 65536,
        series: int = 16384,
    ) -> Region: ...
    @staticmethod
    def attach(where: str | PathLike[str] | int) -> Region: ...
    @staticmethod
    def open(
        path: str | PathLike[str], counters: int = 262144, slots: int = 256, revocations: int = 65536, series: int = 16384
    ) -> Region: ...
    @property
    def slot_count(self) -> int: ...
    @property
    def cell_count(self) -> int: ...
    @property
    def revocations(self) -> int: ...
    def fileno(self) -> int:
        """Of the memory or its file; stays the region's own."""

    def publish(self, revision: int) -> None: ...
    def target(self) -> int: ...
    def slot(self, i: int) -> SlotView: ...
    def set_slot(self, i: int, pid: int, kind: int, state: int) -> None: ...
    def set_state(self, i: int, state: int) -> None: ...
    def set_applied(self, i: int, revision: int) -> None: ...
    def lagging(self, revision: int) -> list[tuple[int, int]]: ...
    def count(self, slot: int, name: str, n: int) -> None: ...
    def counters(self, i: int) -> dict[str, int]: ...
    def samples(self, since: int = 0) -> list[Sample]: ...
    def gauges(self, i: int) -> dict[str, int]: ...
    def series(self) -> list[SeriesView]: ...
    @property
    def series_rows(self) -> tuple[int, int]: ...
    def refusals(self) -> dict[str, int]: ...
    def live_cells(self, now_ms: int) -> int: ...
    def metrics(self) -> dict[str, Any]: ...
    def plugins(self) -> dict[str, dict[str, Any]]: ...

def bucket_bound(i: int) -> int: ...

REV_KINDS: tuple[str, ...]

class RevocationsFullError(ValueError): ...

@final
class Revocations:
    def __init__(self, region: Region) -> None: ...
    @property
    def capacity(self) -> int: ...
    @property
    def held(self) -> int: ...
    def revoked(self, kind: str, subject: bytes, issued: int | None = None, now: int = 0) -> bool: ...
    def lock(self) -> int: ...
    def unlock(self, revision: int | None) -> None: ...
    def put(
        self, id: bytes, kind: str, subject: bytes, before: int | None = None, expires: int | None = None, now: int = 0
    ) -> None: ...
    def drop(self, id: bytes) -> None: ...
    def keep(self, ids: Iterable[bytes]) -> None: ...

def _test_marks(table: Revocations) -> list[int]: ...
def _bench_revoked(
    region: Region, tokens: list[tuple[bytes, bytes]], credential: Credential, rounds: int
) -> tuple[float, float]: ...

class Decision(NamedTuple):
    allowed: bool
    limit: int
    remaining: int
    reset: float
    retry_after: float

@final
class Table:
    region: Region
    def __init__(self, region: Region) -> None: ...
    @staticmethod
    def create(path: str | PathLike[str] | None = None, slots: int = 262144) -> Table: ...
    @staticmethod
    def attach(where: str | PathLike[str] | int) -> Table: ...
    @staticmethod
    def open(path: str | PathLike[str], slots: int = 262144) -> Table: ...
    @property
    def slots(self) -> int: ...
    @property
    def evictions(self) -> int: ...

@final
class Limiter:
    def __init__(
        self,
        table: Table | Region,
        identity: str | bytes,
        *,
        count: int,
        window: float,
        algorithm: Literal["fixed", "sliding", "token-bucket"] = "fixed",
        burst: int | None = None,
    ) -> None: ...
    def hit(self, key: str | bytes, cost: int = 1, *, now_ns: int | None = None) -> Decision: ...
    def peek(self, key: str | bytes, *, now_ns: int | None = None) -> Decision: ...
    def reset(self, key: str | bytes, *, now_ns: int | None = None) -> bool: ...

def shift_clock(seconds: int) -> None: ...
def _test_once(table: Table, key: bytes, now_ns: int, span_ns: int) -> int: ...
def _test_cells(table: Table) -> list[tuple[int, int, int, int]]: ...
def _test_siphash(key: bytes, first: bytes, last: bytes) -> bytes: ...

@final
class _TestBreaker:
    def __init__(self, region: Region, *, failures: int, successes: int, max_s: int) -> None: ...
    def open(self, key: bytes, now_ms: int) -> bool: ...
    def failed(self, key: bytes, now_ms: int) -> None: ...
    def succeeded(self, key: bytes, now_ms: int) -> None: ...
    def state(self, key: bytes, now_ms: int) -> tuple[int, int] | None: ...

@final
class _TestHolder:
    def __init__(self, region: Region, slot: int) -> None: ...
    def take(self, key: bytes, most: int) -> int: ...
    def give(self, which: int = -1) -> None: ...

def _test_held(region: Region) -> dict[int, int]: ...
def _test_words(region: Region) -> list[tuple[int, int, int]]: ...
def _bench_breaker(breaker: _TestBreaker, key: bytes, now_ms: int, rounds: int) -> float: ...
def _bench_hold(holder: _TestHolder, key: bytes, rounds: int) -> float: ...
def _bench_limit(limiter: Limiter, key: bytes, rounds: int, distinct: int = 1, first: int = 0) -> float: ...

# -- the configuration, compiled -------------------------------------------------------------------

PHASES: tuple[str, ...]
CREDENTIAL_KINDS: tuple[str, ...]

def tls_load() -> str: ...

@final
class TlsListener:
    def __init__(self, fallback: bytes = b"") -> None: ...

@final
class TlsServer:
    def __init__(
        self,
        pairs: Sequence[tuple[bytes, bytes]],
        *,
        protocols: Sequence[str] = ("TLSv1.2", "TLSv1.3"),
        ca: bytes | None = None,
        depth: int = 1,
        authority: int = 0,
        skip: Expression | None = None,
    ) -> None: ...

@final
class TlsTrust:
    def __init__(self, path: str | None = None) -> None: ...

@final
class TlsClient:
    verify: bool
    def __init__(self, trust: TlsTrust | None = None, cert: bytes | None = None, key: bytes | None = None) -> None: ...

class Step: ...

@final
class Steps:
    def __init__(self, steps: Sequence[tuple[int, int, Step]], plugins: Sequence[int] = ()) -> None: ...

@final
class Pool:
    address: str
    def __init__(self, address: str, tls: TlsClient | None = None) -> None: ...
    def spread(self, pools: Iterable[Pool]) -> None: ...
    def resolve(self, ip: str, port: int) -> None: ...
    def resolve_unix(self, path: str) -> None: ...
    @property
    def idle(self) -> int: ...
    @property
    def open(self) -> int: ...

class NodeHealth(NamedTuple):
    state: str
    counters: tuple[int, int, int, int]
    @property
    def well(self) -> bool: ...

HEALTH_STATES: tuple[str, ...]
HEALTH_REPORTS: tuple[str, ...]

@final
class Health:
    def __init__(self, region: Region) -> None: ...
    def who(self, owner: str, node: str, address: str) -> int: ...
    def begin(self) -> None: ...
    def add(self, who: int) -> bool: ...
    def drop(self, who: int) -> None: ...
    def known(self) -> list[int]: ...
    def look(self, who: int) -> NodeHealth | None: ...
    def report(self, who: int, report: str, limit: int) -> NodeHealth | None: ...

def _test_health(word: int, report: str, limit: int) -> int: ...

_Passive = tuple[Iterable[int], int, Iterable[int], int, int, int]

@final
class Checks:
    def __init__(self, health: Health, owner: str, passive: _Passive | None = None) -> None: ...

@final
class Upstream:
    def __init__(
        self,
        nodes: Sequence[tuple[Pool, int, int, bytes]],
        pass_host: str = "pass",
        host: bytes = b"",
        retries: int | None = None,
        connect: float = 60,
        send: float = 60,
        read: float = 60,
        keepalive_size: int = 320,
        keepalive_idle: float = 60,
        keepalive_requests: int = 1000,
        balance: str = "roundrobin",
        key: Template | None = None,
        slow_start: float = 0,
        retry_timeout: float = 0,
        budget: tuple[float, float] | None = None,
        service: object = None,
        checks: Checks | None = None,
    ) -> None: ...

@final
class Consumer:
    name: bytes
    def __init__(
        self,
        name: bytes,
        steps: Steps,
        group: bytes = b"",
        labels: Iterable[tuple[str, str]] = (),
        texts: Iterable[tuple[str, str]] = (),
    ) -> None: ...

@final
class SecretKey:
    algorithm: str
    def __init__(
        self, algorithm: str, secret: bytes = b"", verifier: Callable[[bytes, bytes], bool] | None = None, *, quick: bool = False
    ) -> None: ...

@final
class KeyRing:
    def __init__(self, keys: Sequence[tuple[bytes, SecretKey, int | None, int | None]], ask: int = 0) -> None: ...
    def __len__(self) -> int: ...

@final
class SharedSecret:
    def __init__(self, text: bytes) -> None: ...
    @property
    def index(self) -> bytes: ...

@final
class PasswordHash:
    def __init__(self, verify: Callable[[bytes], bool]) -> None: ...

@final
class SigningSecret:
    def __init__(self, secret: bytes) -> None: ...

class TokenError(ValueError):
    reason: str
    def __init__(self, reason: str) -> None: ...

class MalformedTokenError(TokenError): ...
class UnknownKeyError(TokenError): ...
class SignatureError(TokenError): ...
class ClaimError(TokenError): ...
class ExpiredTokenError(ClaimError): ...
class RevokedTokenError(TokenError): ...

class TokenVerifier:
    def __init__(
        self,
        keys: Mapping[str, SecretKey] | Mapping[None, SecretKey],
        *,
        claim: str | None = None,
        required: Collection[str] = (),
        leeway: int = 0,
        rules: JwtClaims | None = None,
        max_bytes: int = 8192,
        region: Region | None = None,
    ) -> None: ...
    def verify(self, token: str | bytes, now: int | None = None) -> dict[str, Any]: ...

@final
class Credential:
    consumer: Consumer
    key: bytes
    ring: KeyRing | None
    def __init__(
        self,
        consumer: Consumer,
        key: bytes,
        id: bytes = b"",
        custom_id: bytes = b"",
        secret: SecretKey | None = None,
        leeway: int = 0,
        proof: SharedSecret | None = None,
        ring: KeyRing | None = None,
        signing: SigningSecret | None = None,
        password: PasswordHash | None = None,
    ) -> None: ...

@final
class Plan:
    def __init__(
        self,
        id: bytes,
        steps: Steps,
        upstream: Upstream | None = None,
        methods: Sequence[str] = (),
        priority: int = 0,
        connect: float = 0,
        send: float = 0,
        read: float = 0,
        remote_addrs: Sequence[str] = (),
        order: int = 0,
        service: bytes = b"",
        condition: Expression | None = None,
        pattern: Pattern | None = None,
        upgrades: bool = False,
        name: bytes = b"",
        service_name: bytes = b"",
        matched_uri: bytes = b"",
        matched_host: bytes = b"",
    ) -> None: ...
    pattern: Pattern | None

@final
class Pattern:
    text: bytes
    prefix: bytes
    head: bytes
    tail: bytes
    open: bool
    words: bytes
    def __init__(self, text: bytes, params: bool = False) -> None: ...
    @property
    def wild(self) -> bool: ...

def _test_pattern(pattern: Pattern, path: bytes) -> dict[bytes, bytes] | None: ...

@final
class Snapshot:
    def __init__(
        self,
        routes: Sequence[tuple[Plan, bytes, bytes]],
        credentials: Mapping[str, Sequence[Credential]],
        globals: Steps,
        revision: int = 0,
        path_first: bool = False,
        paths: Iterable[str] = (),
    ) -> None: ...
    @property
    def revision(self) -> int: ...
    @property
    def inflight(self) -> int: ...

@final
class Edit:
    def __init__(self, base: Snapshot | None = None, path_first: bool = False, paths: Iterable[str] = ()) -> None: ...
    def put_route(self, plan: Plan, host: bytes, pattern: bytes) -> None: ...
    def drop_route(self, plan: Plan, host: bytes, pattern: bytes) -> None: ...
    def put_credential(self, kind: str, credential: Credential) -> None: ...
    def drop_credential(self, kind: str, key: bytes) -> None: ...
    def put_server_name(self, name: bytes, server: TlsServer) -> None: ...
    def drop_server_name(self, name: bytes) -> None: ...
    def set_globals(self, steps: Steps) -> None: ...
    def finish(self, revision: int = 0) -> Snapshot: ...

def _test_route(
    snapshot: Snapshot, host: bytes, path: bytes, method: str = "GET", address: str = "192.0.2.1", port: int = 0
) -> bytes | None: ...
def _test_credential(snapshot: Snapshot, kind: str, key: bytes) -> bytes | None: ...
def _test_replaced(snapshot: Snapshot) -> int: ...
def _bench_route(snapshot: Snapshot, host: bytes, paths: list[bytes], rounds: int) -> float: ...

@final
class Template:
    def __init__(self, text: str, kind: Literal["var", "var_combination", "rewrite", "constant"] = "var") -> None: ...
    @property
    def varies(self) -> bool: ...

def read_posted_by(reader: Callable[[str, bytes, bytes], bytes | list[bytes] | None]) -> None: ...
def posted_count() -> int: ...

@final
class PostedStep(Step):
    def __init__(self, phase: str = "access", expression: Expression | None = None) -> None: ...

def variable_known(name: str, early: bool = False) -> bool: ...
def variable_names(early: bool = False) -> tuple[str, ...]: ...

@final
class Expression:
    def __init__(self, group: object) -> None: ...

def _test_number(text: bytes) -> float | None: ...

# -- what `_meta` adds to steps ---------------------------------------------------------------------

@final
class FilteredStep(Step):
    def __init__(self, expression: Expression, inner: Step) -> None: ...

@final
class ErrorBodyStep(Step):
    inner: Step
    def __init__(self, body: bytes, type: str, inner: Step) -> None: ...

# -- native plugins --------------------------------------------------------------------------------

@final
class StripStep(Step):
    def __init__(self, names: Collection[str]) -> None: ...

@final
class JwtClaims:
    def __init__(
        self,
        *,
        issuers: Sequence[str] | None = None,
        audiences: Sequence[str] | None = None,
        max_age: int = 0,
        headers: Sequence[tuple[Sequence[str], str]] = (),
    ) -> None: ...

@final
class JwtAuthStep(Step):
    def __init__(
        self,
        *,
        header: str = "authorization",
        query: str = "jwt",
        cookie: str = "jwt",
        key_claim: str = "key",
        claims: Sequence[str] | None = None,
        hide_credentials: bool = False,
        realm: str = "jwt",
        anonymous: Credential | None = None,
        fallback: bool = False,
        rules: JwtClaims | None = None,
        store: bool = False,
    ) -> None: ...

@final
class KeyAuthStep(Step):
    def __init__(
        self,
        *,
        header: str = "apikey",
        query: str = "apikey",
        hide_credentials: bool = False,
        realm: str = "key",
        anonymous: Credential | None = None,
        fallback: bool = False,
    ) -> None: ...

@final
class MultiAuthStep(Step):
    def __init__(self, members: Sequence[Step]) -> None: ...

@final
class HmacAuthStep(Step):
    def __init__(
        self,
        *,
        algorithms: Sequence[str] = ("hmac-sha1", "hmac-sha256", "hmac-sha512"),
        clock_skew: int = 300,
        signed_headers: Sequence[str] = ("date",),
        digest: bool = False,
        max_body: int = 67108864,
        once: bool = False,
        hide_credentials: bool = False,
        realm: str = "hmac",
        anonymous: Credential | None = None,
        fallback: bool = False,
    ) -> None: ...

@final
class BasicAuthStep(Step):
    def __init__(
        self,
        *,
        hide_credentials: bool = False,
        realm: str = "basic",
        anonymous: Credential | None = None,
        fallback: bool = False,
    ) -> None: ...

@final
class Regex:
    def __init__(
        self,
        search: Callable[[bytes], Any],
        groups: int,
        parts: Sequence[tuple[bytes, tuple[bytes, int] | None]] | None = None,
        whole: bool = False,
    ) -> None: ...

def _test_regex(regex: Regex, text: bytes) -> list[tuple[int, int]] | None: ...

@final
class Composed:
    start: bytes
    text: bytes | None
    absolute: bool
    def __init__(self, text: str, groups: int = -1, raw: bool = False, url: bool = False, field: bool = False) -> None: ...

@final
class ProxyRewriteStep(Step):
    def __init__(
        self,
        uri: Composed | None = None,
        pairs: Iterable[tuple[Regex, Composed]] = (),
        *,
        raw: bool = False,
        method: str = "",
        host: bytes = b"",
        fields: Sequence[tuple[str, str, str]] = (),
    ) -> None: ...

@final
class RedirectStep(Step):
    def __init__(
        self,
        uri: Composed | None = None,
        pair: tuple[Regex, Composed] | None = None,
        *,
        status: int = 302,
        append: bool = False,
        port: int = 0,
    ) -> None: ...

@final
class RealIpStep(Step):
    def __init__(self, source: str, trusted: Sequence[str] | None = None, *, recursive: bool = False) -> None: ...

def _test_address(text: bytes) -> tuple[str, int] | None: ...

@final
class ClientControlStep(Step):
    def __init__(self, most: int) -> None: ...

@final
class ConsumerLabelsStep(Step):
    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None: ...

@final
class TrafficSplitStep(Step):
    def __init__(self, rules: Iterable[tuple[Iterable[Expression], Iterable[tuple[Upstream | None, int]]]]) -> None: ...

@final
class IpRestrictionStep(Step):
    def __init__(self, networks: Sequence[str], *, admits: bool, body: bytes, status: int = 403) -> None: ...

def header_block(pairs: Iterable[tuple[str, str]]) -> bytes: ...

@final
class Origins:
    def __init__(self, names: Sequence[str], search: Callable[[bytes], object] | None = None) -> None: ...

@final
class PreflightStep(Step):
    def __init__(self) -> None: ...

@final
class CorsStep(Step):
    def __init__(
        self,
        origins: Origins,
        headers: Iterable[tuple[str, str]],
        *,
        others: Origins | None = None,
        timing: Origins | None = None,
        echo_headers: bool = False,
    ) -> None: ...

@final
class AnswerHeaders:
    def __init__(self, ops: Iterable[tuple[Literal["add", "set", "cut"], str, Template | None]]) -> None: ...

@final
class CollectStep(Step):
    def __init__(self, make: Callable[[bytes, str], bytes], most: int) -> None: ...

@final
class ResponseRewriteStep(Step):
    def __init__(
        self,
        headers: AnswerHeaders,
        *,
        status: int = 0,
        body: bytes | None = None,
        search: Callable[[bytes, str], bytes] | None = None,
        reads_br: bool = False,
        streams: bool = False,
    ) -> None: ...

@final
class FaultDelayStep(Step):
    def __init__(self, seconds: float, percentage: int = 100, condition: Expression | None = None) -> None: ...

@final
class FaultAbortStep(Step):
    def __init__(
        self,
        status: int,
        headers: AnswerHeaders,
        body: Template | None = None,
        percentage: int = 100,
        condition: Expression | None = None,
    ) -> None: ...

@final
class EncodeStep(Step):
    def __init__(
        self,
        coding: Literal["br", "gzip"],
        make: Callable[[], Callable[[bytes, int], bytes]],
        *,
        types: Sequence[str] | None,
        min_length: int,
        minor: int,
        vary: bool,
        piece: int = 16384,
    ) -> None: ...

def _test_weight(parameters: bytes) -> int: ...
def _ip_ranges(networks: Sequence[str]) -> list[tuple[bytes, bytes]]: ...

@final
class ConsumerRestrictionStep(Step):
    def __init__(
        self,
        by: str,
        *,
        whitelist: Sequence[str] | None = None,
        blacklist: Sequence[str] = (),
        methods: Sequence[tuple[str, Sequence[str]]] = (),
        status: int = 403,
        body: bytes,
    ) -> None: ...

@final
class UaRestrictionStep(Step):
    def __init__(self, search: Callable[[bytes], object], *, admits: bool, bypass_missing: bool, body: bytes) -> None: ...

@final
class RefererRestrictionStep(Step):
    def __init__(self, hosts: Sequence[str], *, admits: bool, bypass_missing: bool, body: bytes) -> None: ...

@final
class UriBlockerStep(Step):
    def __init__(self, search: Callable[[bytes], object], *, status: int = 403, body: bytes) -> None: ...

@final
class AclStep(Step):
    def __init__(
        self,
        *,
        deny: Iterable[tuple[str, str]] = (),
        allow: Iterable[tuple[str, str]] | None = None,
        status: int = 403,
        body: bytes,
        external: PythonStep,
    ) -> None: ...

@final
class RequestIdStep(Step):
    def __init__(
        self,
        phase: Literal["rewrite", "header_filter"],
        *,
        header_name: str = "X-Request-Id",
        algorithm: str = "uuid",
        length: int = 0,
        chars: bytes = b"",
    ) -> None: ...

class LimitedStep(Step):
    identity: bytes

class RemoteStore:
    away: bool
    name: bytes
    def send(self, batch: RemoteBatch) -> Future[None]: ...
    @property
    def nodes(self) -> int: ...
    def share(self, rank: int, nodes: int) -> None: ...
    def recall(self) -> None: ...
    @property
    def node(self) -> bytes: ...
    def minded(self) -> int: ...
    def mind(self, everything: bool = False) -> RemoteBatch | None: ...

@final
class RemoteBatch:
    def __len__(self) -> int: ...
    def questions(self) -> list[tuple[int, bytes, bytes]]: ...
    def tell(self, indices: Sequence[int], answers: Sequence[object]) -> None: ...

@final
class LimitCountStep(LimitedStep):
    def __init__(
        self,
        identity: bytes,
        key: Template,
        *,
        count: int | Template,
        window: float | Template,
        algorithm: str = "fixed",
        burst: int | None = None,
        rule: tuple[int, int] | None = None,
        rejected_code: int = 503,
        rejected_body: bytes = b"",
        pass_on_failure: bool = False,
        shadow: bool = False,
        quota_headers: bool = True,
        header_names: tuple[str, str, str] = ...,
        store: RemoteStore | None = None,
        sync: float = 0,
        policy: str | None = None,
    ) -> None: ...

@final
class LimitReqStep(LimitedStep):
    def __init__(
        self,
        identity: bytes,
        key: Template,
        *,
        count: int,
        window: float,
        burst: int,
        parts: int = 1,
        nodelay: bool = False,
        rejected_code: int = 503,
        rejected_body: bytes = b"",
        pass_on_failure: bool = False,
        shadow: bool = False,
        store: RemoteStore | None = None,
    ) -> None: ...

@final
class LimitConnStep(LimitedStep):
    def __init__(
        self,
        identity: bytes,
        key: Template,
        *,
        conn: Template,
        burst: Template,
        delay: float,
        learns: bool = True,
        is_rule: bool = False,
        rejected_code: int = 503,
        rejected_body: bytes = b"",
        pass_on_failure: bool = False,
        shadow: bool = False,
        store: RemoteStore | None = None,
        ttl: float = 3600,
    ) -> None: ...

@final
class ApiBreakerStep(Step):
    def __init__(
        self,
        phase: str,
        *,
        status: int,
        body: bytes | None = None,
        type: str = "text/plain; charset=utf-8",
        headers: Sequence[tuple[str, Template]] = (),
        unhealthy: Sequence[int] = (500,),
        healthy: Sequence[int] = (200,),
        failures: int = 3,
        successes: int = 3,
        max_s: int = 300,
    ) -> None: ...

class Standing(NamedTuple):
    algorithm: str
    limit: int | None
    consumed: int | None
    remaining: int | None
    reset: float | None
    retry_after: float | None

def limit_standing(step: LimitedStep, region: Region, key: bytes, *, now_ns: int | None = None) -> Standing | None: ...
def limit_forget(step: LimitedStep, region: Region, key: bytes, *, now_ns: int | None = None) -> bool: ...

@final
class WorkflowReturnStep(Step):
    def __init__(self, status: int) -> None: ...

@final
class WorkflowStep(Step):
    def __init__(self, rules: Sequence[tuple[Expression | None, int | None, Sequence[Step]]]) -> None: ...

# -- Python plugins --------------------------------------------------------------------------------

class PluginError(Exception): ...
class PluginTimeout(BaseException): ...

@final
class Reply:
    status: int
    body: Any
    headers: list[tuple[str, str]]
    def __init__(
        self,
        status: int,
        body: Any = b"",
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        *,
        content_type: str = "application/octet-stream",
        reason: str = "",
    ) -> None: ...

@final
class Request:
    ctx: dict[str, Any]
    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def query(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def remote_addr(self) -> str: ...
    @property
    def route_id(self) -> str | None: ...
    @property
    def consumer_name(self) -> str | None: ...
    @property
    def jwt_claims(self) -> dict[str, Any] | None: ...
    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> list[tuple[str, str]]: ...
    def nominated(self) -> list[str]: ...
    def header(self, name: str) -> str | None: ...
    def fields(self, name: str) -> list[tuple[str, str]]: ...
    def text(self, template: Template) -> str: ...
    def forwarded(self) -> list[tuple[str, str]]: ...
    @property
    def uri(self) -> str: ...
    def arg(self, name: str) -> str | None: ...
    def body(self, limit: int) -> Awaitable[bytes | None]: ...
    def set_header(self, name: str, value: str) -> None: ...
    def add_header(self, name: str, value: str) -> None: ...
    def remove_header(self, name: str) -> None: ...
    def set_response_header(self, name: str, value: str) -> None: ...
    def add_response_header(self, name: str, value: str) -> None: ...

@final
class _test_Overrun:  # noqa: N801
    def __init__(self, seconds: float, signum: int) -> None: ...
    def begin(self, first: bool = False) -> None: ...
    def end(self) -> None: ...
    def told(self) -> bool: ...
    def asleep(self) -> bool: ...
    def close(self) -> None: ...

class PythonStep(Step):
    name: str
    call: Callable[..., Any]
    def __init__(self, name: str, phase: str, call: Callable[..., Any], conf: Any, *, keeps_time: bool = False) -> None: ...

def replace_body(request: Request, body: bytes) -> None: ...
def ledger_account(request: Request) -> dict[str, Any]: ...
def ledger_target(request: Request) -> str: ...
def ledger_url(text: str) -> str: ...
def ledger_answer(request: Request) -> list[tuple[str, str]]: ...
def ledger_query(request: Request, query: bytes) -> None: ...
def ledger_field(request: Request, name: str, values: Sequence[str] | None) -> None: ...

@final
class Tally:
    def __init__(self, request: Request) -> None: ...
    def add(self, name: str, n: int = 1) -> None: ...

@final
class CacheZone:
    def __init__(self, memory: mmap | bytearray, secret: bytes) -> None: ...
    @property
    def most(self) -> int: ...
    def get(self, key: bytes) -> tuple[bytes, bytes] | None: ...
    def put(self, key: bytes, head: bytes, body: bytes) -> bool: ...
    def drop(self, key: bytes) -> bool: ...
    def turn(self, key: bytes) -> int: ...
    def move_on(self, key: bytes) -> None: ...
    def disk(self, change: int = 0) -> int: ...

@final
class CacheStep(Step):
    def __init__(
        self,
        zone: CacheZone,
        key: Sequence[Template],
        bypass: Sequence[Template],
        owner: bytes,
        *,
        isolated: bool = True,
        obeys: bool = False,
    ) -> None: ...
    def resource(self, request: Request) -> bytes: ...
    def early(self, request: Request) -> bool: ...
    def variant(self, request: Request, resource: bytes, known: bytes, extra: bytes = b"") -> bytes: ...

@final
class CacheAnswerStep(Step):
    inner: Step
    def __init__(self, inner: Step) -> None: ...

def stored_reply(status: int, lines: bytes, body: bytes) -> Reply: ...
def answer_fields(request: Request) -> tuple[bool, list[tuple[str, str]]] | None: ...
def hide_answer_field(request: Request, name: bytes) -> None: ...
def copy_body(request: Request, most: int, done: Callable[[bytes | None], object]) -> bool: ...
def copy_answer(request: Request, most: int, done: Callable[[bytes | None], object]) -> None: ...
def copy_head(request: Request, authority: bytes, target: bytes) -> bytes | None: ...
def _test_copies_held() -> int: ...
def cache_has_room(size: int) -> bool: ...
def _test_unsent(most: int | None = None) -> int: ...

# -- the access log ---------------------------------------------------------------------------------

@final
class LogFormat:
    def __init__(self, text: str, json: bool = False) -> None: ...

def log_variable_fault(name: str) -> str: ...
def trace_context_lawful(parent: bytes, state: bytes = b"") -> tuple[bool, bool]: ...

# -- the reactor -----------------------------------------------------------------------------------

@final
class Reactor:
    def __init__(
        self,
        *,
        loop: AbstractEventLoop | None,
        region: Region,
        slot: int,
        limits: Mapping[str, float] | None = None,
        trusted: Sequence[str] = (),
        server_tokens: bool = True,
        show_upstream_status: bool = False,
        token_cache: int = 0,
        verify_threads: int = 0,
        on_error: Callable[[str, str, BaseException], None] | None = None,
    ) -> None: ...
    def fileno(self) -> int: ...
    def drain(self) -> None: ...
    def tick(self) -> None: ...
    def keep_time(self) -> None: ...
    def call_on(self, fd: int) -> None: ...
    def guard(self, seconds: float, signum: int) -> None: ...
    def overrun(self, signum: int, frame: FrameType | None) -> None: ...
    def ask_by(self, fd: int) -> None: ...
    def listen(self, fd: int, tls: TlsListener | None = None) -> None: ...
    def stop_listening(self) -> None: ...
    def close_idle(self) -> None: ...
    def install(self, snapshot: Snapshot) -> None: ...
    def access_log(self, fd: int) -> None: ...
    def log_as(self, format: LogFormat | None) -> None: ...
    def trust_ids(self, trusted_only: bool) -> None: ...
    def set_limits(self, limits: Mapping[str, float]) -> None: ...
    def set_trusted(self, networks: Sequence[str]) -> None: ...
    def set_server_tokens(self, on: bool) -> None: ...
    def requests(self) -> int: ...
    def active(self) -> int: ...
    def unaccepted(self) -> tuple[int, str, int, int]: ...
    def close(self) -> None: ...

@final
class Wire:
    def __init__(
        self,
        snapshot: Snapshot | None = None,
        *,
        limits: Mapping[str, float] | None = None,
        trusted: Sequence[str] = (),
        region: Region | None = None,
        loop: AbstractEventLoop | None = None,
        token_cache: int = 0,
        verify_threads: int = 0,
        on_error: Callable[[str, str, BaseException], None] | None = None,
        splice_least: int = 32768,
        revoked: Region | None = None,
        show_upstream_status: bool = False,
        slot: int = 0,
        strict: bool = False,
    ) -> None: ...
    def install(self, snapshot: Snapshot) -> None: ...
    def access_log(self, fd: int) -> None: ...
    def log_as(self, format: LogFormat | None) -> None: ...
    def trust_ids(self, trusted_only: bool) -> None: ...
    def stop_listening(self) -> None: ...
    def close_idle(self) -> None: ...
    @property
    def now(self) -> int: ...
    wall: int
    def open(self, address: str = "192.0.2.1", trusted: bool = False, tls: TlsListener | None = None) -> int: ...
    def push(self, i: int, data: bytes) -> None: ...
    def together(self, arrivals: Sequence[tuple[int, bytes]]) -> None: ...
    def pull(self, i: int) -> bytes: ...
    def run(self, i: int, request: bytes, answer: bytes, rounds: int) -> bytes: ...
    def end(self, i: int) -> None: ...
    def reset(self, i: int) -> None: ...
    def breaks(self, i: int) -> None: ...
    def room(self, i: int, n: int) -> None: ...
    def connected(self, i: int) -> None: ...
    def connecting(self, how: Literal["at once", "later", "refused"]) -> None: ...
    def lines(self) -> list[tuple[int, str, bool]]: ...
    def is_connecting(self, i: int) -> bool: ...
    def is_open(self, i: int) -> bool: ...
    def finished(self, i: int) -> bool: ...
    def advance(self, seconds: float) -> None: ...
    def verified(self, seconds: float) -> int: ...
    def held(self) -> int: ...
    def _bench_step(self, i: int, step: Step, rounds: int) -> float: ...
    @property
    def active(self) -> int: ...
    @property
    def gathered(self) -> int: ...

# -- a request explained ---------------------------------------------------------------------------

class Seen(NamedTuple):
    source: Any
    phase: str
    reached: bool
    limited: bool
    status: int
    reason: str
    text: bytes
    rule: int | None

@final
class Watch:
    def take(self) -> list[Seen]: ...

@final
class WatchedStep(Step):
    source: Any
    def __init__(self, watch: Watch, inner: Step, source: Any) -> None: ...

# -- requests of other servers ---------------------------------------------------------------------

class Caller(NamedTuple):
    username: str
    credential: str | None
    group: str | None
    custom_id: str | None

@final
class Visit:
    future: Future[None] | None
    @property
    def waiting(self) -> bool: ...
    @property
    def open(self) -> bool: ...
    @property
    def status(self) -> int: ...
    @property
    def caller(self) -> Caller | None: ...
    @property
    def claims(self) -> bytes | None: ...
    @property
    def headers(self) -> list[tuple[bytes, bytes]] | None: ...
    @property
    def forward(self) -> list[tuple[bytes, bytes]] | None: ...
    @property
    def query(self) -> bytes | None: ...
    @property
    def body(self) -> bytes: ...
    @property
    def reason(self) -> str: ...
    def answered(self, status: int) -> list[tuple[bytes, bytes]]: ...
    def end(self, size: int = 0) -> None: ...

@final
class Gate:
    def __init__(
        self,
        snapshot: Snapshot,
        region: Region,
        *,
        loop: AbstractEventLoop | None = None,
        limits: Mapping[str, float] | None = None,
        trusted: Sequence[str] = (),
        token_cache: int = 0,
        on_error: Callable[[str, str, BaseException], None] | None = None,
    ) -> None: ...
    def install(self, snapshot: Snapshot) -> None: ...
    def fileno(self) -> int: ...
    def drain(self) -> None: ...
    def tick(self) -> None: ...
    def close(self) -> None: ...
    @property
    def requests(self) -> int: ...
    def ask(self, scope: Mapping[str, Any]) -> Visit: ...

_C_API: object

# -- what benches see ------------------------------------------------------------------------------

def _bench_head(
    data: bytes, rounds: int, response: bool = False, what: Literal["parsed", "judged", "framing"] = "judged"
) -> float: ...
def _bench_chunked(data: bytes, rounds: int) -> float: ...
def _bench_json(doc: bytes, names: list[bytes], rounds: int) -> float: ...
def _bench_map(keys: list[bytes], key: bytes, rounds: int) -> float: ...
def _bench_exchange(
    wire: Wire, line: int, room: Literal["uri", "route", "serialise", "accesslog", "metrics"], rounds: int
) -> float: ...
