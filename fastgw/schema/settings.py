"""Settings of the gateway itself: everything in the configuration file that is not an APISIX object.

Owns keys, defaults, units and bounds; docs/config.md tells the same, and a test compares the names. Must not
know what any process does with them. Unknown keys are faults at every level.
"""

from typing import Annotated, Literal

from msgspec import Meta

from fastgw.schema.base import Address, IpRange, Positive, Schema, Secret, Text, unique

__all__ = ["AccessLog", "Admin", "ErrorLog", "Limits", "Settings", "SharedMemory", "Tls"]

Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class Strict(Schema, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A group of settings."""


class Admin(Strict, frozen=True, kw_only=True):
    """The Admin API.

    listen: where it listens
    key: what X-API-KEY must carry; made at the first start and kept in <data_dir>/admin.key when left out
    viewer_key: a second key that can read but not write, and sees no secrets; none when left out
    allow: client addresses that may connect
    body_bytes: the largest request body, in bytes
    """

    listen: Address = "127.0.0.1:9180"
    key: Secret | None = None
    viewer_key: Secret | None = None
    allow: Annotated[tuple[IpRange, ...], unique] = ("127.0.0.0/8", "::1")
    body_bytes: Annotated[int, Meta(ge=1024, le=2**30)] = 1572864


class Tls(Strict, frozen=True, kw_only=True):
    """TLS towards clients. Certificates are ssl objects.

    listen: where the gateway listens for TLS
    protocols: versions spoken where a certificate does not say
    """

    listen: Annotated[tuple[Address, ...], unique] = ()
    protocols: Annotated[tuple[Literal["TLSv1.1", "TLSv1.2", "TLSv1.3"], ...], Meta(min_length=1), unique] = (
        "TLSv1.2",
        "TLSv1.3",
    )


class SharedMemory(Strict, frozen=True, kw_only=True):
    """Memory that all processes share.

    counters: how many counts of rate limits it holds; the oldest give way when it is full
    path: a file to map, so that other programs can draw on the same counts; anonymous when left out
    """

    counters: Annotated[int, Meta(ge=1024, le=2**26)] = 262144
    path: Text | None = None


class Limits(Strict, frozen=True, kw_only=True):
    """Bounds on what clients may send and hold. Times are in seconds, sizes in bytes.

    head_bytes: the largest request head; more is answered 431
    headers: the most header fields; more is answered 431
    target_bytes: the longest request target; more is answered 414
    body_bytes: the largest request body; more is answered 413
    idle_timeout: how long a connection may wait for its next request
    head_timeout: how long a request head may take in all
    body_timeout: how long nothing may come of a request body
    send_timeout: how long a client may take nothing of an answer
    drain_timeout: how long requests in flight may take after the gateway is told to stop
    connections: how many connections a worker holds
    """

    head_bytes: Annotated[int, Meta(ge=1024, le=2**20)] = 32768
    headers: Annotated[int, Meta(ge=8, le=128)] = 100
    target_bytes: Annotated[int, Meta(ge=256, le=2**20)] = 8192
    body_bytes: Annotated[int, Meta(ge=0, le=2**53 - 1)] = 67108864
    idle_timeout: Positive = 60
    head_timeout: Positive = 10
    body_timeout: Positive = 60
    send_timeout: Positive = 60
    drain_timeout: Positive = 30
    connections: Count = 65536


class AccessLog(Strict, frozen=True, kw_only=True):
    """One line per request.

    enabled: whether lines are written
    path: the file; "-" is standard output
    format: json: one object per line
    """

    enabled: bool = True
    path: Text = "-"
    format: Literal["json"] = "json"


class ErrorLog(Strict, frozen=True, kw_only=True):
    """What the gateway says about itself.

    path: the file; "-" is standard error
    level: the least grave line that is written
    """

    path: Text = "-"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Settings(Strict, frozen=True, kw_only=True):
    """Settings of the gateway.

    listen: where it listens for clients: host:port or unix:/path
    workers: how many processes serve; auto: one per CPU that it may use
    admin: the Admin API
    data_dir: where it keeps what it writes; relative to the working directory
    echo: where the built-in test upstream listens; none when left out
    control: where the Control API listens; it asks for no key; nowhere when left out
    status: where the Status API listens, for probes; nowhere when left out
    tls: TLS towards clients
    shared_memory: memory that all processes share
    limits: bounds on what clients may send and hold
    access_log: one line per request
    error_log: what the gateway says about itself
    trusted_addresses: peers whose X-Forwarded headers are believed
    server_tokens: whether answers of the data plane carry the Server header
    token_cache: how many verified tokens each worker remembers; 0: none
    """

    listen: Annotated[tuple[Address, ...], Meta(min_length=1), unique] = ("127.0.0.1:9080",)
    # 256 process slots in shared memory hold the admin process and, in a binary upgrade, workers twice.
    workers: Annotated[int, Meta(ge=1, le=120)] | Literal["auto"] = "auto"
    admin: Admin = Admin()
    data_dir: Text = "fastgw-data"
    echo: Address | None = None
    control: Address | None = None
    status: Address | None = None
    tls: Tls = Tls()
    shared_memory: SharedMemory = SharedMemory()
    limits: Limits = Limits()
    access_log: AccessLog = AccessLog()
    error_log: ErrorLog = ErrorLog()
    trusted_addresses: Annotated[tuple[IpRange, ...], unique] = ()
    server_tokens: bool = True
    # About 2 KiB each in every worker, taken as they are needed.
    token_cache: Annotated[int, Meta(ge=0, le=2**20)] = 4096
