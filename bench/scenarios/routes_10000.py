"""A large table: exact paths and prefixes by turns, each request for the next route."""

from dataclasses import replace

from bench.scenarios.base import PLAIN, WITHOUT_TOKEN, Entry, Scenario, at_most

SCENARIO = Scenario(
    name="routes-10000",
    about="no plugin, 10,000 routes, each request for the next one; fastgw-10: the same gateway with 10 routes",
    entries=(
        Entry("fastgw", "fastgw", replace(PLAIN, routes=10_000), WITHOUT_TOKEN),
        Entry("fastgw-10", "fastgw", replace(PLAIN, routes=10), WITHOUT_TOKEN),
    ),
    reference="fastgw-10",
    targets=(at_most("fastgw-10", 1.10),),
)
