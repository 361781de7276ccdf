"""file-logger: log requests to a file, a line of JSON each.

Owns the configuration. Must not know what an entry says (log_entry), nor how it comes into the file (log_files).
"""

import logging
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any

from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault, Path
from fastgw.plugins.contract import Env, Plugin
from fastgw.plugins.log_entry import LogConf, LogMetadata, Recorder, conditions_of
from fastgw.plugins.log_files import writer
from fastgw.schema.expression import Group, expression_faults, parsed
from fastgw.schema.rules import broken

__all__ = ["Conf", "FileLogger", "Metadata"]

FilePath = Annotated[str, Meta(min_length=1, max_length=4096)]

log = logging.getLogger("fastgw.file-logger")


class Conf(LogConf, frozen=True, kw_only=True):
    """file-logger: which requests are logged, where, and what entries say.

    path: the file; that of the metadata when left out
    match: conditions of which one must hold, all when left out
    log_format: what an entry says, instead of what it does by default: names, and texts with $variables, also in objects
    log_format_extra: what it says beside that
    include_req_body: whether the body of the request is in it
    include_req_body_expr: under which condition
    include_resp_body: whether the body of the answer is in it
    include_resp_body_expr: under which condition
    max_req_body_bytes: bytes of a request's body that are in it
    max_resp_body_bytes: bytes of an answer's body that are in it
    """

    path: FilePath | None = None
    match: Annotated[list[list[Any]], Meta(min_length=1, max_length=64)] | None = None

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """A path that a file can have, sound conditions."""
        yield from super().rules(good, present)
        yield from path_faults(good)
        for index, each in enumerate(good.get("match", ())):
            yield from (fault.under(Path(("match", index))) for fault in expression_faults(each))


class Metadata(LogMetadata, frozen=True, kw_only=True):
    """What all uses of file-logger share.

    path: the file of those that name none
    log_format: the format of those that have none of their own
    log_format_extra: what their entries say beside that
    """

    path: FilePath | None = None

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """A path that a file can have."""
        yield from super().rules(good, present)
        yield from path_faults(good)


class FileLogger(Plugin):
    """Logs requests to a file."""

    name = "file-logger"
    version = 0.1
    # Who is told of it. Last in `access`, so that nobody's body is kept who is refused; `log`.
    priority = 399
    phases = ("access", "header_filter", "body_filter", "log")
    conf = Conf
    metadata_conf = Metadata

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """Python steps; none where no file is named."""
        metadata = env.metadata(self)
        path = conf.path or metadata.path
        if path is None:
            log.warning("%s: file-logger: no path, neither here nor in its metadata: nothing is logged", env.owner)
            return []
        steps = Recorder(self.name, conf, metadata).steps(lambda entry: writer.put(path, entry + b"\n"))
        if conf.match is not None:
            either = _core.Expression(Group(tuple(map(parsed, conf.match)), any=True))
            steps[-1] = _core.FilteredStep(either, steps[-1])
        return steps

    def conditions(self, conf: Mapping[str, Any]) -> Iterator[tuple[Path, list[Any]]]:
        """Those under which requests, and bodies, are logged."""
        yield from conditions_of(conf)
        for index, each in enumerate(conf.get("match", ())):
            yield Path(("match", index)), each


def path_faults(good: Mapping[str, Any]) -> Iterator[Fault]:
    """Of a path that no file can have."""
    if "\0" in good.get("path", ""):
        yield broken("path", "expected a path without NUL")
