"""An ssl object: certificates by server name, or a client certificate towards upstreams.

Owns its fields and that certificates and keys can be read and fit. Must not know the TLS contexts made of it.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509 import Certificate
from msgspec import Meta

from fastgw.errors import Fault, Path
from fastgw.schema.base import Desc, Host, Labels, Nested, Object, secret, unique
from fastgw.schema.expression import MOST_RULES, expression_faults
from fastgw.schema.pem import belong_together, load_certificate, load_private_key, unfit
from fastgw.schema.rules import exactly_one

__all__ = ["Ssl", "SslClient"]

Cert = Annotated[str, Meta(min_length=128, max_length=65536)]
Key = Annotated[str, Meta(min_length=64, max_length=65536), secret]
Protocol = Literal["TLSv1.1", "TLSv1.2", "TLSv1.3"]


class SslClient(Nested, frozen=True, kw_only=True):
    """Clients must show a certificate.

    ca: the certificates that may have signed it, PEM
    depth: how long the chain between may be
    skip_mtls_uri_regex: paths on which none is asked for
    """

    ca: Cert
    depth: Annotated[int, Meta(ge=0)] = 1
    skip_mtls_uri_regex: Annotated[tuple[str, ...], Meta(min_length=1, max_length=MOST_RULES), unique] | None = None

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """The certificates and the regular expressions can be read."""
        if "ca" in good:
            try:
                load_certificate(good["ca"])
            except ValueError as error:
                reason = f"failed to validate client_cert: failed to parse cert: not {error}"
                yield Fault(Path(("ca",)), f"expected {error}", "format", apisix=reason)
        patterns = [["uri", "~~", pattern] for pattern in good.get("skip_mtls_uri_regex", ())]
        for index, pattern in enumerate(patterns):
            for fault in expression_faults([pattern]):
                yield Fault(Path(("skip_mtls_uri_regex", index)), fault.message, fault.code)


class Ssl(Object, frozen=True, kw_only=True):
    """A certificate with its key.

    desc: a text for people
    labels: names and values to find it by
    type: server: shown to clients by server name; client: shown to upstreams
    sni: the server name it is for; '*.' as first part stands for any
    snis: several server names
    cert: the certificate, then those between it and the root, PEM
    key: the key of the certificate, PEM
    certs: further certificates for the same names, such as RSA beside ECC
    keys: the keys of `certs`, in the same order
    client: clients must show a certificate
    status: 1: in use, 0: not
    ssl_protocols: versions of TLS spoken
    """

    desc: Desc | None = None
    labels: Labels | None = None
    type: Literal["server", "client"] = "server"
    sni: Host | None = None
    snis: Annotated[tuple[Host, ...], Meta(min_length=1), unique] | None = None
    cert: Cert
    key: Key
    certs: tuple[Cert, ...] = ()
    keys: tuple[Key, ...] = ()
    client: SslClient | None = None
    status: Literal[0, 1] = 1
    ssl_protocols: Annotated[tuple[Protocol, ...], Meta(max_length=3), unique] | None = None

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """A server certificate has a name; every certificate has its key."""
        if good.get("type", "server") == "server":
            yield from exactly_one(present, "sni", "snis")
        certs, keys = good.get("certs", []), good.get("keys", [])
        if len(certs) != len(keys) and {"certs", "keys"} & set(good):
            message = f"expected as many keys as certs, found {len(keys)} and {len(certs)}"
            yield Fault(Path(("keys",)), message, apisix="mismatched number of certs and keys")
        yield from _pair(Path(("cert",)), good.get("cert"), Path(("key",)), good.get("key"), "failed to parse")
        for index, (cert, key) in enumerate(zip(certs, keys, strict=False)):
            reason = f"failed to handle cert-key pair[{index + 1}]: failed to parse"
            yield from _pair(Path(("certs", index)), cert, Path(("keys", index)), key, reason)


def _pair(cert_at: Path, cert: str | None, key_at: Path, key: str | None, reason: str) -> Iterator[Fault]:
    certificate: Certificate | None = None
    private: PrivateKeyTypes | None = None
    try:
        certificate = load_certificate(cert) if cert else None
    except ValueError as error:
        yield Fault(cert_at, f"expected {error}", "format", apisix=f"{reason} cert: not {error}")
    try:
        private = load_private_key(key) if key else None
    except ValueError as error:
        yield Fault(key_at, f"expected {error}", "format", apisix=f"{reason} key: not {error}")
    if private and (weak := unfit(private)):
        yield Fault(key_at, f"expected {weak}", apisix=f"{reason} key: not {weak}")
    if certificate and private and not belong_together(certificate, private):
        message = f"expected the key of {cert_at}, found another"
        yield Fault(key_at, message, apisix=f"{reason} key: it does not belong to the certificate")
