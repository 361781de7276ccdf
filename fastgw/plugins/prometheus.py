"""prometheus: by what names metrics tell of a route and its service. All routes are counted, with the plugin and without.

Owns the configuration. Must not know how requests are counted (native/series) or who shows it (admin/prometheus), where
`prefer_name` is looked up.
"""

from fastgw import _core
from fastgw.plugins.contract import Env, Plugin, PluginConf

__all__ = ["Conf", "Prometheus"]


class Conf(PluginConf, frozen=True, kw_only=True):
    """prometheus: what a route is called in metrics.

    prefer_name: whether the labels `route` and `service` have names instead of ids, where there are names
    """

    prefer_name: bool = False


class Prometheus(Plugin):
    """Metrics in the form that Prometheus reads."""

    name = "prometheus"
    version = 0.2
    # What is told of it.
    priority = 500
    phases = ("log",)
    conf = Conf

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """No step: the core counts every request."""
        return []
