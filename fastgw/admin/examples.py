"""An example of each kind of object, for those who read the OpenAPI document.

Owns: the examples. Must not know: what is made of them. A kind without one has none to show; a test writes each to a gateway.
"""

from typing import Any, Final

__all__ = ["EXAMPLES", "IDS"]

_UPSTREAM: Final = {"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}}
_LIMIT: Final = {"limit-count": {"count": 100, "time_window": 60, "rejected_code": 429}}

EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "routes": {"uri": "/hello", "methods": ["GET"], "plugins": _LIMIT, "upstream": _UPSTREAM},
    "services": {"hosts": ["example.com"], "upstream": _UPSTREAM},
    "upstreams": _UPSTREAM,
    "consumers": {"username": "john", "plugins": _LIMIT},
    "credentials": {"plugins": {"key-auth": {"key": "the-key-of-john"}}},
    "consumer_groups": {"plugins": _LIMIT},
    "plugin_configs": {"desc": "for guests", "plugins": _LIMIT},
    "global_rules": {"plugins": {"request-id": {}}},
    "plugin_metadata": {"limit_header": "X-Limit"},
    "secrets": {"uri": "https://vault.example.com", "prefix": "kv/gateway", "token": "the-token-of-the-gateway"},
    "protos": {"content": 'syntax = "proto3";\nmessage Hello { string name = 1; }\n'},
    "revocations": {"sub": "john", "issued_before": 1767225600, "desc": "lost his laptop"},
}

IDS: Final = {"consumers": "john", "plugin_metadata": "limit-count"}
"""Where they lie, if not at 1."""
