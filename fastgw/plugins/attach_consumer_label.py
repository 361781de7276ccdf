"""attach-consumer-label: tell the upstream what labels the consumer has.

Owns the configuration. Must not know how a label is looked up (native/consumer_labels).
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any

from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault, Path
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.schema.base import HeaderName, whole

__all__ = ["AttachConsumerLabel", "Conf"]

Label = Annotated[str, Meta(pattern=whole(r"^\$."), title="'$' and the name of a label")]


class Conf(PluginConf, frozen=True, kw_only=True):
    """attach-consumer-label: what is told.

    headers: of each header the label that it carries, as $label; the client's own copies never cross
    """

    headers: Annotated[dict[HeaderName, Label], Meta(min_length=1, max_length=48)]

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """No header by which messages are framed, or that only the gateway says."""
        for name in good.get("headers", ()):
            if _core.header_reserved(name):
                yield Fault(Path(("headers", name)), "expected a header that the gateway does not set itself")


class AttachConsumerLabel(Plugin):
    """Sets headers to the consumer's labels."""

    name = "attach-consumer-label"
    version = 0.1
    # What is the upstream told of them, in `before_proxy`.
    priority = 2399
    phases = ("before_proxy",)
    conf = Conf

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """One native step."""
        return [_core.ConsumerLabelsStep([(name, label[1:]) for name, label in conf.headers.items()])]

    def own_headers(self, conf: Conf) -> Collection[str]:
        """All of them: a consumer without the label, or no consumer, must not have a client's word for it (known-pains 1.17)."""
        return list(conf.headers)
