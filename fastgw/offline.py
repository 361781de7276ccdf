"""`fastgw explain`: what a request would meet, said from a config file, without a gateway that runs.

Owns: which objects count (the file's, with the store's of its data_dir over them), the answer as text. Must not know:
how it is found.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from fastgw import config, revocations
from fastgw.admin.explanation import Explainer
from fastgw.admin.question import Question
from fastgw.config import Config
from fastgw.datadir import database_of
from fastgw.errors import FastgwError
from fastgw.schema.decode import faults_of
from fastgw.schema.kinds import FETCHED, KINDS
from fastgw.store import Change, Row, Store, StoreError

__all__ = ["as_text", "explain"]

Object = dict[str, Any]


def explain(path: Path, method: str, url: str, headers: Sequence[tuple[str, str]], remote_addr: str) -> Object:
    """The answer of POST /apisix/admin/explain, and `store`: the database that was looked at, None where there is none."""
    question = _question(method, url, headers, remote_addr)
    loaded = config.load(path)
    database = database_of(Path(loaded.settings.data_dir))
    rows = _rows(database) if database.exists() else None
    changes, values = _overlaid(loaded, rows or [])
    explainer = Explainer(loaded.settings.limits, revocations.region_of(changes), loaded.settings.router)
    explainer.follow(changes)
    answer = explainer.explain(question, lambda kind, id_: values.get((kind, id_)))
    return {"store": None if rows is None else str(database), **answer}


def _question(method: str, url: str, headers: Sequence[tuple[str, str]], remote_addr: str) -> Question:
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.netloc or "@" in parts.netloc:
        raise FastgwError("URL: expected http://host/path")
    names = [name.lower() for name, _ in headers]
    for name in names:
        if names.count(name) > 1:
            raise FastgwError(f"-H: expected each field once, found {name} twice")
    body = {
        "method": method,
        "host": parts.netloc,
        "uri": (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        "headers": dict(headers),
        "remote_addr": remote_addr,
    }
    for fault in faults_of(body, Question)[1]:
        raise FastgwError(str(fault))
    return msgspec.convert(body, Question)


def _rows(database: Path) -> list[Row]:
    try:
        store = Store(database)
        try:
            return [row for kind in (*KINDS, FETCHED) for row in store.list(kind)]
        finally:
            store.close()
    except sqlite3.Error as exc:
        raise StoreError(f"{database}: {exc}") from exc


def _overlaid(loaded: Config, rows: Sequence[Row]) -> tuple[list[Change], dict[tuple[str, str], tuple[Object, str]]]:
    """What a reload of the file would bring: objects in the order of their creation, and each one with its layer."""
    created = {(row.kind, row.id): row.created for row in rows}
    objects = {**loaded.objects, **{(row.kind, row.id): row.value for row in rows if row.layer == "store"}}
    latest = max(created.values(), default=0)
    for count, key in enumerate((key for key in objects if key not in created), 1):
        created[key] = latest + count
    stored = {(row.kind, row.id) for row in rows if row.layer == "store"}
    changes = [Change(*key, value, 0, created[key]) for key, value in objects.items()]
    values = {key: (value, "store" if key in stored else "file") for key, value in objects.items()}
    return sorted(changes, key=lambda each: each.created), values


# -- as text -----------------------------------------------------------------------------------------


def as_text(answer: Object) -> str:
    """One fact per line, in the order in which a request meets them."""
    lines = [("store", answer["store"] or "none, the file alone")]
    route = answer["route"]
    lines.append(("route", f"{route['id']} ({route['source']}), priority {route['priority']}" if route else "none"))
    if route:
        lines.append(("", route["why"]))
    for each in answer["plugins"]:
        not_reached = "" if each["reached"] else ", not reached"
        rule = f", rule {each['rule']}: {each['action']}" if "rule" in each else ""
        lines.append(
            ("plugin", f"{each['name']} in {each['phase']}, of {each['from']}, priority {each['priority']}{rule}{not_reached}")
        )
    who = answer["consumer"]
    if who:
        credential = f", credential {who['credential']}" if who["credential"] else ""
        group = f", group {who['group']}" if who["group"] else ""
        lines.append(("consumer", who["username"] + credential + group))
    else:
        lines.append(("consumer", "none"))
    lines += [
        ("limit", f"{each['plugin']} on the account of {each['account']}, counts by {each['value']!r}")
        for each in answer["limits"]
    ]
    to = answer["upstream"]
    if to:
        nodes = ", ".join(f"{each['host']}:{each['port']} (weight {each['weight']})" for each in to["nodes"])
        lines.append(("upstream", f"of {to['from']}, {to['scheme']}, {nodes}, pass_host {to['pass_host']}"))
    outcome = answer["outcome"]
    if outcome["proxied"]:
        lines.append(("outcome", "goes to the upstream"))
    else:
        by = f" by {outcome['by']}" if "by" in outcome else ""
        lines.append(("outcome", f"{outcome['status']}{by}: {outcome['reason']}"))
        lines.append(("", outcome["body"].strip()))
    lines += [("fault", each) for each in answer.get("faults", ())]
    return "\n".join(f"{name:<10} {text}".rstrip() for name, text in lines)
