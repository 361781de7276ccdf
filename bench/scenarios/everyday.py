"""What the plugins that most routes have beside authentication and a limit add to a request."""

from dataclasses import replace

from bench.requests import Asking
from bench.scenarios.base import WITH_GATEWAYS, Entry, Scenario, at_most
from bench.tokens import ORDINARY, good

PLUGINS = {
    "proxy-rewrite": {"regex_uri": ["^/be(.*)$", "/be$1"], "headers": {"set": {"X-Tenant": "bench"}, "remove": ["X-Debug"]}},
    "cors": {"allow_origins": "https://app.test,https://www.test", "allow_methods": "GET,POST", "expose_headers": "X-Request-Id"},
    "request-id": {},
    "ip-restriction": {"whitelist": ["127.0.0.0/8", "10.0.0.0/8", "192.168.0.0/16"]},
}
FROM_A_PAGE = Asking(tokens=lambda: [good(ORDINARY)], headers=("Origin: https://app.test",))

SCENARIO = Scenario(
    name="everyday",
    about="jwt-limit with proxy-rewrite, cors, request-id and ip-restriction on the route, and without (bare)",
    entries=(
        Entry("fastgw", "fastgw", replace(WITH_GATEWAYS, plugins=PLUGINS), FROM_A_PAGE),
        Entry("bare", "fastgw", WITH_GATEWAYS, FROM_A_PAGE),
    ),
    reference="bare",
    targets=(at_most("bare", 1.15),),
)
