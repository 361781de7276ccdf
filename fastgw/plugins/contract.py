"""The plugin contract: what a plugin declares, and how its configuration looks.

Owns the shape of a plugin, the members every configuration may carry (`_meta`), and the order of a plugin's
life: check and decode when a configuration is written, `provision` once per snapshot, phases per request,
`cleanup` when the snapshot goes. Must not know any one plugin. A new phase must be added to PHASES here and
to the chain that runs them.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, NamedTuple, Protocol

import msgspec

from fastgw import _core
from fastgw.errors import Fault, Path
from fastgw.schema.base import Schema
from fastgw.schema.expression import expression_faults
from fastgw.schema.rules import unsupported

if TYPE_CHECKING:
    from fastgw.plugins.redis_fields import RedisSettings
    from fastgw.schema.upstream import Upstream

__all__ = ["PHASES", "Env", "Key", "Meta", "Plugin", "PluginConf"]

PHASES: Final = ("rewrite", "access", "before_proxy", "header_filter", "body_filter", "log")
"""In the order in which a request meets them."""


class Meta(Schema, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is common to every plugin, as `_meta` in its configuration.

    disable: the plugin does not run; its configuration may then even be wrong
    filter: an expression over the request; where it is false the plugin does not run
    priority: its place among the plugins of this object, instead of its own; higher runs first
    error_response: the body sent when the plugin ends a request with an error
    pre_function: not supported
    """

    disable: bool = False
    filter: list[Any] | None = None
    priority: int | None = None
    error_response: str | dict[str, Any] | None = None
    pre_function: Any = None

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """The filter must parse; Lua is refused."""
        if "filter" in good:
            yield from (fault.under(Path(("filter",))) for fault in expression_faults(good["filter"]))
        yield from unsupported(present, pre_function="Lua source cannot run in this gateway; write a plugin")


class PluginConf(Schema, frozen=True, kw_only=True):
    """Base of every plugin configuration. Unknown members pass, as in APISIX.

    _meta: what is common to every plugin
    """

    meta: Meta = msgspec.field(default=Meta(), name="_meta")


class Env(Protocol):
    """What `provision` may ask of the configuration it is part of."""

    @property
    def owner(self) -> str:
        """The object that the configuration stands in, as "routes/1": the identity of what is counted for it."""

    def anonymous(self, username: str) -> _core.Credential | None:
        """The stand-in credential of a consumer that requests may fall back to; None when there is no such one."""

    def metadata(self, plugin: "Plugin") -> Any:
        """The plugin's `metadata_conf`, as stored or with its defaults."""

    def store(self, settings: "RedisSettings") -> _core.RemoteStore:
        """Where counts lie that several gateways share."""

    def upstream(self, which: "Upstream | str") -> _core.Upstream:
        """The upstream of this id, or one that stands in the configuration itself. LookupError: there is none that compiles."""


class Key(NamedTuple):
    """What an auth plugin makes of a credential."""

    kind: str
    """The credential index it belongs to: "jwt", "key", "basic" or "hmac"."""
    key: bytes
    """What it is found by in the index."""
    secret: _core.SecretKey | None = None
    leeway: int = 0
    """Seconds of grace for the times of a token."""
    proof: _core.SharedSecret | None = None
    """The secret that a request must show, where it does not only prove to know one."""
    ring: _core.KeyRing | None = None
    """Keys that a token chooses from, instead of the secret or beside it."""
    signing: _core.SigningSecret | None = None
    """The secret that a request must be signed with."""
    password: _core.PasswordHash | None = None
    """The hash of the password that a request must show."""
    fetched: "Fetched | None" = None
    """Where it depends on what the gateway has to fetch: then it is a Key of that that counts, and not this one."""


class Fetched(NamedTuple):
    """What the gateway fetches and keeps in its store, so that it changes like any other object."""

    place: str
    """Its id there."""
    key: Callable[[Any], Key]
    """The Key made of it; of None where there is nothing yet."""


class Plugin:
    """Base of every plugin. A subclass adds one method per name in `phases`, `phase(conf, request)`.

    A phase method returns None to go on or a reply to end the request; `log` always runs. A plugin whose work
    is native has no phase methods: `provision` gives the chain a native step instead.
    """

    name: ClassVar[str]
    version: ClassVar[float] = 0.1
    priority: ClassVar[int]
    """Higher runs first within a phase. No two shipped plugins share one."""
    kind: ClassVar[Literal["auth", "other"]] = "other"
    """auth: may stand in a credential, and sets the consumer."""
    phases: ClassVar[tuple[str, ...]]
    conf: ClassVar[type[PluginConf]]
    """The configuration on routes, services, plugin configs, global rules; of others, on consumers too."""
    consumer_conf: ClassVar[type[PluginConf] | None] = None
    """The configuration of an auth plugin on consumers and in credentials."""
    metadata_conf: ClassVar[type[PluginConf] | None] = None
    """What all uses of the plugin share, an object of kind plugin_metadata."""
    key_field: ClassVar[str | None] = None
    """The member of `consumer_conf` by which a consumer is found. No two credentials may share a value."""

    group_field: ClassVar[str | None] = None
    """The member of `conf` by which configurations share state. Those of one value must be equal."""

    counts: ClassVar[bool] = False
    """Whether its steps count by a key, in the shared memory: then the Admin API tells what is counted."""

    endpoints: ClassVar[Mapping[str, str]] = {}
    """What it answers itself where a route publishes it (public-api): "GET /path" to the name of a method, which is given the
    request and gives a Reply."""

    member_refusal: ClassVar[str] = ""
    """What APISIX says of a fault (`why`) in a configuration among `members` (`name`)."""

    def provision(self, conf: Any, env: Env) -> list[_core.Step]:
        """The steps of one configuration, made once per snapshot: by default one per phase method."""
        return [_core.PythonStep(self.name, phase, getattr(self, phase), conf) for phase in self.phases]

    def counting(self, conf: Any, env: Env) -> list[_core.LimitedStep]:
        """Of a plugin that `counts`, the steps that do, as `provision` makes them: for those who ask what is counted."""
        return [step for step in self.provision(conf, env) if isinstance(step, _core.LimitedStep)]

    def members(self, conf: Mapping[str, Any]) -> Iterator[tuple[Path, str, Any]]:
        """Configurations of other plugins in a raw one, which need not be sound: each with its place and the plugin's name."""
        yield from ()

    def conditions(self, conf: Mapping[str, Any]) -> Iterator[tuple[Path, list[Any]]]:
        """Expressions over the request in a raw, sound configuration, beside `_meta.filter`, each with its place."""
        yield from ()

    def own_headers(self, conf: Any) -> Collection[str]:
        """Headers of the request that only this plugin may set. Where it is configured no client's copy crosses, also when it
        does not run."""
        return ()

    def credential(self, conf: Any) -> Key:
        """What a decoded `consumer_conf` is found and checked by. Auth plugins only."""
        raise TypeError(f"{self.name} is no auth plugin: it has no credentials")

    def cleanup(self, conf: Any) -> None:
        """Gives back what `provision` took; must work after a provision that failed half-way."""
