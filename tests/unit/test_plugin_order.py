"""The shipped list: complete, in order of priority, and every entry keeps the contract."""

import importlib
import pkgutil

from fastgw import plugins
from fastgw.plugins import order
from fastgw.plugins.contract import PHASES, Plugin, PluginConf


def test_priorities_fall_and_none_is_shared() -> None:
    priorities = [plugin.priority for plugin in order.SHIPPED]
    assert priorities == sorted(set(priorities), reverse=True)


def test_every_plugin_there_is_is_listed() -> None:
    for module in pkgutil.iter_modules(plugins.__path__):
        importlib.import_module(f"fastgw.plugins.{module.name}")
    defined = {plugin for plugin in Plugin.__subclasses__() if plugin.__module__.startswith("fastgw.plugins.")}
    assert defined == set(order.SHIPPED)
    assert order.names() == tuple(plugin.name for plugin in order.SHIPPED)
    assert order.get("no-such-plugin") is None


def test_every_plugin_keeps_the_contract() -> None:
    for shipped in order.SHIPPED:
        plugin = order.get(shipped.name)
        assert isinstance(plugin, shipped)
        assert plugin.__doc__ != Plugin.__doc__
        assert list(plugin.phases) == [phase for phase in PHASES if phase in plugin.phases]
        assert issubclass(plugin.conf, PluginConf)
        assert bool(plugin.member_refusal) == (type(plugin).members is not Plugin.members)
        if plugin.kind == "auth" and not plugin.member_refusal:
            assert plugin.consumer_conf is not None
            assert plugin.key_field in plugin.consumer_conf.__struct_fields__
        if plugin.group_field:
            assert plugin.group_field in plugin.conf.__struct_fields__
