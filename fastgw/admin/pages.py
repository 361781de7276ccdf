"""The live view: a page for people at /ui on the Admin listener. Read-only, as all that it shows comes from GET.

Owns: which files there are and the headers they go out with. Must not know: what they show. The files bear no secrets, so they
ask for no key; what they ask the Admin API for does, and the page has it in memory only.
"""

from functools import cache
from importlib.resources import files
from typing import Final

from fastgw.admin.envelope import Reply, error

__all__ = ["PATHS", "page"]

PATHS: Final = {
    "/ui": ("index.html", "text/html; charset=utf-8"),
    "/ui/": ("index.html", "text/html; charset=utf-8"),
    "/ui/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/ui/graph.js": ("graph.js", "text/javascript; charset=utf-8"),
    "/ui/icon.svg": ("icon.svg", "image/svg+xml"),
    "/ui/style.css": ("style.css", "text/css; charset=utf-8"),
}
# Nothing but our own files and the Admin API: no other host, no inline script, no frame around it, no form that goes anywhere,
# and no text that becomes markup, whoever writes a script for it later (Trusted Types).
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS: Final = (
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-cache"),
)


def page(method: str, path: str) -> Reply:
    """What stands at one of PATHS."""
    if method not in ("GET", "HEAD"):
        return error(405, "the page is read-only")._replace(headers=(("Allow", "GET, HEAD"),))
    name, content_type = PATHS[path]
    return Reply(200, _content(name), _HEADERS, content_type)


@cache
def _content(name: str) -> bytes:
    return (files("fastgw.admin") / "ui" / name).read_bytes()
