"""multi-auth: admit a request that one of several authentication plugins admits.

Owns the configuration: which plugins may be members, and what is wrong with one. Must not know how members are tried
(native/multi_auth), or what any of them does.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault, Path
from fastgw.plugins import basic_auth, hmac_auth, jwt_auth, key_auth
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.schema.base import Nested
from fastgw.schema.decode import nearest

__all__ = ["MEMBERS", "Conf", "Member", "MultiAuth"]

MEMBERS: Final[tuple[Plugin, ...]] = (basic_auth.BasicAuth(), hmac_auth.HmacAuth(), jwt_auth.JwtAuth(), key_auth.KeyAuth())
"""Every plugin by which consumers are found."""
_NAMES: Final = tuple(plugin.name for plugin in MEMBERS)
_IN_VAIN: Final = ("filter", "priority", "error_response")


class Member(Nested, frozen=True, kw_only=True):
    """One way in: a plugin by its name, with its configuration as on a route.

    basic-auth: by user name and password
    hmac-auth: by signature
    jwt-auth: by token
    key-auth: by API key
    """

    basic: basic_auth.Conf | None = msgspec.field(default=None, name="basic-auth")
    hmac: hmac_auth.Conf | None = msgspec.field(default=None, name="hmac-auth")
    jwt: jwt_auth.Conf | None = msgspec.field(default=None, name="jwt-auth")
    key: key_auth.Conf | None = msgspec.field(default=None, name="key-auth")

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """One plugin, which can be a member; and of what is common to all plugins nothing but `disable`."""
        from fastgw.plugins import order  # which knows this module

        for name in present:
            if order.get(name) is None:
                message = nearest("plugin", name, _NAMES)
                yield Fault(Path((name,)), message, "rule", _NAMES, name, f"{name} plugin did not found")
            elif name not in _NAMES:
                message = f"expected one of {', '.join(_NAMES)}"
                yield Fault(Path((name,)), message, "rule", _NAMES, name, f"{name} plugin is not supported")
        if len(present) != 1:
            found = " and ".join(present) if present else "none"
            yield Fault(Path(), f"expected one plugin, found {found}")
        for name, conf in good.items():
            for member in _IN_VAIN:
                if member in conf.get("_meta", ()):
                    message = "not supported; a member is tried in its turn, so give it to multi-auth itself"
                    yield Fault(Path((name, "_meta", member)), message, "unsupported")

    def chosen(self) -> Iterator[tuple[Plugin, PluginConf]]:
        """The plugin and its configuration."""
        for plugin in MEMBERS:
            conf = getattr(self, plugin.name.removesuffix("-auth"))
            if conf is not None:
                yield plugin, conf


class Conf(PluginConf, frozen=True, kw_only=True):
    """multi-auth: the ways in.

    auth_plugins: plugins with their configurations, in the order in which they are tried
    """

    auth_plugins: Annotated[tuple[Member, ...], Meta(min_length=2, max_length=64)]


class MultiAuth(Plugin):
    """Takes a request for whom the first of several plugins takes it."""

    name = "multi-auth"
    version = 0.1
    # Who is it. All in `rewrite`, so that everything later may depend on the consumer.
    priority = 2600
    kind = "auth"
    phases = ("rewrite",)
    conf = Conf
    member_refusal = "plugin {name} check schema failed: {why}"

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """One native step made of those of the members; a member that is disabled is none."""
        steps: list[_core.Step] = []
        for plugin, own in (each for member in conf.auth_plugins for each in member.chosen()):
            if not own.meta.disable:
                (step,) = plugin.provision(own, env)
                steps.append(step)
        return [_core.MultiAuthStep(steps)]

    def members(self, conf: Mapping[str, Any]) -> Iterator[tuple[Path, str, Any]]:
        """Each way in."""
        members = conf.get("auth_plugins")
        for index, member in enumerate(members) if isinstance(members, list) else ():
            for name, own in member.items() if isinstance(member, dict) else ():
                yield Path(("auth_plugins", index, name)), name, own

    def own_headers(self, conf: Conf) -> Collection[str]:
        """Those of the members, disabled ones too."""
        chosen = (each for member in conf.auth_plugins for each in member.chosen())
        return [name for plugin, own in chosen for name in plugin.own_headers(own)]
