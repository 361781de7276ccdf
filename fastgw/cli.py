"""The command line: run, check, explain, top, restart, token, token revoke, echo, schema, export, import, keyring, plugin.

Owns: arguments, exit codes, what is printed where. Must not know: how any of it is done.

Exit codes: 0 stopped as asked; 2 a fault in the command line, the config or the environment, told in one line
per fault and without a traceback; 1 anything else, which is a fault of fastgw and keeps its traceback.
A command imports what it needs when it runs, so that `fastgw token` does not pay for the gateway.
"""

import argparse
import base64
import binascii
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from fastgw import __version__
from fastgw.errors import ConfigError, FastgwError

MOST_WORKERS = 120  # as for `workers` in the config file
COMMANDS = ["run", "check", "explain", "top", "restart", "token", "echo", "schema", "export", "import", "keyring", "plugin"]
COMMANDS.insert(6, "token revoke")


class UsageError(FastgwError):
    """What was asked for on the command line cannot be done."""


class Parser(argparse.ArgumentParser):
    """argparse with its errors in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


# ---- commands: each takes the parsed arguments and returns an exit code --------------------------


def run(args: argparse.Namespace) -> int:
    from fastgw import master

    try:
        return master.run(args.config, args.workers)
    except ValueError as error:  # of the environment: raised before the first fork only
        raise UsageError(str(error)) from None


def check(args: argparse.Namespace) -> int:
    from fastgw import config

    for warning in config.load(args.config).warnings:
        print(f"{args.config}: warning: {warning}", file=sys.stderr)
    print(f"{args.config}: ok")
    return 0


def explain(args: argparse.Namespace) -> int:
    from fastgw import offline

    answer = offline.explain(args.config, args.method, args.url, args.header, args.remote_addr)
    print(json.dumps(answer, indent=2) if args.json else offline.as_text(answer))
    return 0


def top(args: argparse.Namespace) -> int:
    from fastgw import config
    from fastgw import top as picture
    from fastgw.places import running

    gateway = running(config.load(args.config), args.admin)
    if not (args.once or sys.stdout.isatty()):
        raise UsageError("standard output is no terminal: --once prints one picture")
    if args.once:
        print("\n".join(picture.once(gateway.get, str(gateway), args.interval)))
    else:
        picture.live(gateway.get, str(gateway), args.interval)
    return 0


def restart(args: argparse.Namespace) -> int:
    from fastgw import config
    from fastgw.restart import restart as replaced

    print(f"workers replaced: {replaced(config.load(args.config))}")
    return 0


def token(args: argparse.Namespace) -> int:
    from fastgw import tokens

    key = signing_key(args)
    claims: dict[str, Any] = {}
    if args.key is not None:
        claims["key"] = args.key
    if args.expires is not None:
        claims["exp"] = args.expires
    if args.not_before is not None:
        claims["nbf"] = args.not_before
    claims.update(args.claim)
    print(tokens.make(claims, key, args.algorithm or tokens.default_algorithm(key), dict(args.header)))
    return 0


def token_revoke(args: argparse.Namespace) -> int:
    from fastgw import config, revoke
    from fastgw.places import open_place

    text = sys.stdin.read().strip() if args.token == "-" else args.token  # noqa: S105
    value = revoke.revocation(
        token=text,
        jti=args.jti,
        sub=args.sub,
        credential=args.credential,
        issued_before=args.issued_before,
        expires=args.expires,
        desc=args.desc,
    )
    id = args.id or revoke.id_of(value)
    with open_place(config.load(args.config), args.admin, write=True) as place:
        place.put("revocations", id, value)
        print(f"revocations/{id}: {revoke.told(value)}: {place.effect}")
    return 0


def echo(args: argparse.Namespace) -> int:
    from fastgw import echo as upstream

    upstream.run(args.listen)
    return 0


def schema(args: argparse.Namespace) -> int:
    from fastgw import config

    config.take_plugins_in(args.config)
    if args.openapi:
        from fastgw.admin import openapi

        made = openapi.document()
    else:
        made = config.json_schema()
    print(json.dumps(made, indent=2))
    return 0


def export(args: argparse.Namespace) -> int:
    from fastgw import config, files, transfer
    from fastgw.places import open_place

    suffix = args.output.suffix.lower() if args.output else ""
    format: Any = args.format or ("yaml" if suffix in (".yaml", ".yml") else "json")
    with open_place(config.load(args.config), args.admin, write=False) as place:
        content = transfer.export(place, args.layer, format, times=args.times)
    if args.output is None:
        sys.stdout.buffer.write(content)
        print("fastgw export: what was printed holds secrets", file=sys.stderr)
    else:
        files.put(args.output, content)
        print(f"fastgw export: {args.output}: mode 0600, it holds secrets", file=sys.stderr)
    return 0


def import_(args: argparse.Namespace) -> int:
    from fastgw import config, transfer
    from fastgw.places import RefusedError, open_place

    loaded = config.load(args.config)
    with open_place(loaded, args.admin, write=not args.dry_run) as place:
        given = transfer.read_set(args.file, None if place.running else os.environ)
        for warning in given.warnings:
            print(f"{args.file}: warning: {warning}", file=sys.stderr)
        try:
            plan = place.rehearse(given.data)
            if not args.quiet:
                before = place.objects("effective")
                for line in transfer.difference(plan, before, given.objects, args.file.name):
                    print(line)
            for line in transfer.summary(plan, str(args.config)):
                print(line)
            if args.dry_run or not confirmed(args, plan, str(place)):
                return 0
            place.apply(given.data)
        except RefusedError as refused:
            raise given.faults(refused) from None
        print(f"applied: {place.effect}")
    return 0


def confirmed(args: argparse.Namespace, plan: Any, where: str) -> bool:
    """Whether the changes that were shown are to be made."""
    if not any(told.get(what) for told in plan.values() if isinstance(told, dict) for what in ("created", "updated", "deleted")):
        print("nothing to change")
        return False
    if args.yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError("nothing was changed: --yes is needed where nobody can be asked")
    sys.stdout.flush()
    if input(f"Apply to {where}? [y/N] ").strip().lower() in ("y", "yes"):
        return True
    print("nothing was changed")
    return False


def plugin(args: argparse.Namespace) -> int:
    """`fastgw plugin new`, the one thing there is to do with it."""
    from fastgw import skeleton

    print(*skeleton.make(args.name, args.plugins, args.tests), sep="\n")
    return 0


def keyring(args: argparse.Namespace) -> int:
    """`fastgw keyring rotate`, the one thing there is to do with it."""
    import sqlite3

    from fastgw import config
    from fastgw.datadir import database_of
    from fastgw.store import Store

    path = database_of(Path(config.load(args.config).settings.data_dir))
    if not path.exists():
        raise UsageError(f"{path}: no such database; data_dir of {args.config} is relative to the working directory")
    try:
        store = Store(path)
        done = store.rotate(drop_old=args.drop_old)
        store.close()
    except sqlite3.Error as error:
        raise UsageError(f"{path}: {error}") from None
    print(f"{path}: {done.rows} objects sealed anew, with key {done.key}")
    for keys, what in ((done.dropped, "dropped"), (done.older, "older keys kept")):
        if keys:
            print(f"{path.with_suffix('.keys')}: {what}: {' '.join(keys)}")
    return 0


def signing_key(args: argparse.Namespace) -> Any:
    """The key of `fastgw token`, from the one source that was named."""
    from fastgw import tokens

    if args.private_key is not None:
        try:
            return tokens.private_key(args.private_key.read_bytes())
        except tokens.TokenError as error:
            raise UsageError(f"{args.private_key}: {error}") from None
    if args.secret_env is not None:
        if args.secret_env not in os.environ:
            raise UsageError(f"--secret-env: the environment has no variable {args.secret_env}")
        secret = os.environ[args.secret_env].encode()
    elif args.secret_file is not None:
        # An editor ends the file with a newline that is no part of the secret.
        secret = args.secret_file.read_bytes().removesuffix(b"\n").removesuffix(b"\r")
    else:
        secret = args.secret.encode()
    if not args.base64_secret:
        return secret
    try:
        return base64.b64decode(secret, validate=True)
    except binascii.Error as error:
        raise UsageError(f"--base64-secret: the secret is not base64: {error}") from None


# ---- arguments -----------------------------------------------------------------------------------


def argument(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """`convert` for argparse, which shows the message of one kind of error only."""

    def converted(text: str) -> Any:
        try:
            return convert(text)
        except FastgwError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return converted


def moment(text: str) -> int:
    from fastgw import tokens

    return tokens.moment(text)


def claim(text: str) -> tuple[str, Any]:
    from fastgw import tokens

    return tokens.claim(text)


def ending(text: str) -> int | None:
    return None if text == "never" else moment(text)


def request_field(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise UsageError("expected 'Name: value'")  # not repeated: it may be a token
    return name.strip(), value.strip()


def header_field(text: str) -> tuple[str, Any]:
    from fastgw import tokens

    return tokens.header_field(text)


def address(text: str) -> str:
    from fastgw.schema.formats import parse_address

    try:
        parse_address(text)
    except ValueError as error:
        raise UsageError(f"expected {error}, found {text!r}") from None
    return text


def workers(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_WORKERS:
        raise UsageError(f"expected 1 to {MOST_WORKERS}, found {text!r}")
    return int(text)


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.1 <= value <= 3600:
        raise UsageError(f"expected 0.1 to 3600 seconds, found {text!r}")
    return value


def add_token_arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--secret", help="shared secret; others on this machine can see it while the command runs")
    source.add_argument("--secret-env", metavar="NAME", help="environment variable that holds the shared secret")
    source.add_argument("--secret-file", metavar="FILE", type=Path, help="file that holds the shared secret")
    source.add_argument("--private-key", metavar="FILE", type=Path, help="RSA, EC, Ed25519 or Ed448 key in PEM form")
    parser.add_argument("--base64-secret", action="store_true", help="the shared secret is given in base64")
    parser.add_argument("--key", help="value of the claim `key`, by which the credential is found")
    parser.add_argument("--algorithm", help="HS256 … HS512, RS*, PS*, ES*, EdDSA (default: the usual one for the key)")
    parser.add_argument(
        "--expires",
        metavar="WHEN",
        type=argument(moment),
        help="claim exp: 30s, 5m, 1h, 2d from now; UNIX seconds",
    )
    parser.add_argument("--not-before", metavar="WHEN", type=argument(moment), help="claim nbf, written as --expires")
    parser.add_argument(
        "--claim",
        metavar="NAME=VALUE",
        type=argument(claim),
        action="append",
        default=[],
        help="another claim; the value is JSON if it parses as such, else a string",
    )
    parser.add_argument(
        "--header",
        metavar="NAME=VALUE",
        type=argument(header_field),
        action="append",
        default=[],
        help="another field of the token's header, as kid; a string unless it is a JSON object or array",
    )


def add_revoke_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--jti", metavar="ID", help="tokens with this claim")
    what.add_argument("--sub", metavar="NAME", help="tokens with this claim")
    what.add_argument(
        "--credential",
        metavar="CONSUMER/ID",
        help="what proves itself by this credential; CONSUMER alone: by what stands in the consumer itself",
    )
    what.add_argument(
        "--token", metavar="TOKEN", help="this token: its jti, until a day after its exp; -: the one on standard input"
    )
    parser.add_argument(
        "--issued-before",
        metavar="WHEN",
        type=argument(moment),
        help="of these, only tokens whose iat is earlier or missing; alone: every such token. UNIX seconds; -1h: an hour ago",
    )
    parser.add_argument(
        "--expires",
        metavar="WHEN",
        type=argument(ending),
        default=...,
        help="when the revocation goes by itself: 30s, 5m, 1h, 2d from now; UNIX seconds; never (default, but for --token)",
    )
    parser.add_argument("--desc", metavar="TEXT", help="why, for people")
    parser.add_argument("--id", metavar="ID", help="of the revocation (default: made of what is revoked)")


def parser() -> argparse.ArgumentParser:
    made = Parser(
        prog="fastgw",
        description="An API gateway. `fastgw config.json` is short for `fastgw run config.json`.",
    )
    made.add_argument("--version", action="version", version=f"fastgw {__version__}")
    commands = made.add_subparsers(dest="command", required=True, metavar="{" + ",".join(COMMANDS) + "}")

    def command(function: Callable[[argparse.Namespace], int], summary: str) -> argparse.ArgumentParser:
        added = commands.add_parser(function.__name__.rstrip("_").replace("_", " "), help=summary, description=summary)
        added.set_defaults(function=function)
        return added

    running = command(run, "run the gateway in the foreground")
    running.add_argument("--workers", type=argument(workers), metavar="N", help="worker processes, instead of the config's")
    running.add_argument("config", type=Path, help="JSON, YAML or TOML file")
    command(check, "check a config file and say every fault").add_argument("config", type=Path)
    asking = command(explain, "say what a request would meet: route, plugins, consumer, limits, upstream")
    asking.add_argument(
        "config", type=Path, help="JSON, YAML or TOML file; what the Admin API wrote to its data_dir is laid over it"
    )
    asking.add_argument("method", metavar="METHOD")
    asking.add_argument("url", metavar="URL", help="http://host/path")
    asking.add_argument(
        "-H", "--header", metavar="FIELD", type=argument(request_field), action="append", default=[], help="'Name: value'"
    )
    asking.add_argument(
        "--remote-addr", metavar="ADDRESS", default="127.0.0.1", help="where it comes from (default: %(default)s)"
    )
    asking.add_argument("--json", action="store_true", help="the answer as POST /apisix/admin/explain gives it")
    watching = command(top, "show a running gateway at work: processes, totals, the hottest keys of its limits; q ends it")
    watching.add_argument("--once", action="store_true", help="print one picture, for scripts")
    watching.add_argument(
        "--interval", type=argument(seconds), default=1.0, metavar="SECONDS", help="between two pictures (default: %(default)s)"
    )
    replacing = command(restart, "replace the workers of a running gateway, one after the other, and wait for it")
    replacing.add_argument("config", type=Path, help="JSON, YAML or TOML file that the gateway runs on")
    add_token_arguments(command(token, "make a JSON Web Token"))
    revoking = command(token_revoke, "accept tokens or a credential no longer: at the running gateway, else in its store")
    add_revoke_arguments(revoking)
    listening = command(echo, "run an upstream that answers with what it was asked")
    listening.add_argument(
        "--listen",
        type=argument(address),
        default="127.0.0.1:1980",
        metavar="ADDRESS",
        help="host:port or unix:/path (default: %(default)s); port 0 takes a free one",
    )
    showing = command(schema, "print the JSON Schema of the config file, or the OpenAPI document of the Admin API")
    showing.add_argument("--openapi", action="store_true", help="the OpenAPI 3.1 document, as GET /apisix/admin/openapi.json")
    help_ = "file whose plugins_dir says which plugins there are besides those of packages"
    showing.add_argument("config", type=Path, nargs="?", help=help_)
    exporting = command(export, "write all objects of the gateway as one set: of the running one, else of its store")
    exporting.add_argument("-o", "--output", type=Path, metavar="FILE", help="file to write, of mode 0600 (default: print it)")
    exporting.add_argument("--format", choices=("json", "yaml"), help="default: as the suffix of FILE says, else json")
    exporting.add_argument(
        "--layer",
        choices=("effective", "store"),
        default="effective",
        help="effective: all that is served; store: what the Admin API wrote, without the file's objects (default: %(default)s)",
    )
    exporting.add_argument("--times", action="store_true", help="with create_time and update_time")
    importing = command(import_, "put a set in place of what the Admin API wrote: into the running gateway, else its store")
    importing.add_argument("--yes", action="store_true", help="do not ask")
    importing.add_argument("--dry-run", action="store_true", help="only show what would change")
    importing.add_argument("-q", "--quiet", action="store_true", help="show counts instead of the differences")
    for each in (exporting, importing, revoking, watching):
        where = "Admin API of the running gateway: host:port or unix:/path (default: admin.listen of the config)"
        each.add_argument("--admin", type=argument(address), metavar="ADDRESS", help=where)
        each.add_argument("config", type=Path, help="JSON, YAML or TOML file that the gateway runs on")
    importing.add_argument("file", type=Path, metavar="FILE", help="the set, in JSON, YAML or TOML")
    making = command(plugin, "begin a plugin: one that works, and its test").add_subparsers(required=True, metavar="{new}")
    (beginning := making.add_parser("new")).add_argument("name", metavar="NAME", help="letters a to z, digits and '-'")
    for name, what in (("plugins", "plugins_dir of the config"), ("tests", "where the test goes")):
        beginning.add_argument(f"--{name}", metavar="DIR", type=Path, default=Path(name), help=f"{what} (default: {name})")
    keys = command(keyring, "change the keys that the database is sealed with").add_subparsers(required=True, metavar="{rotate}")
    summary = "seal every object with a new key, also while the gateway runs"
    rotating = keys.add_parser("rotate", help=summary, description=summary)
    rotating.add_argument("--drop-old", action="store_true", help="remove the keys that nothing needs any more")
    rotating.add_argument("config", type=Path, help="JSON, YAML or TOML file, for its data_dir")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if argv is None else argv)
    if given[:2] == ["token", "revoke"]:
        given[:2] = ["token revoke"]
    if given and given[0] not in (*COMMANDS, "-h", "--help", "--version"):
        given.insert(0, "run")
    args = parser().parse_args(given)
    try:
        return int(args.function(args))
    except ConfigError as error:
        print(error, file=sys.stderr)
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        print(f"fastgw {args.command}: {where}{error.strerror or error}", file=sys.stderr)
    except FastgwError as error:
        print(f"fastgw {args.command}: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return 0
    return 2
