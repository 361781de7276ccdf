"""Secret managers: where secrets are fetched from that objects name as `$secret://<manager>/<id>/…`.

Owns their fields, of which each manager has its own. Must not know how a secret is fetched: nothing does yet, so a
reference to one is an unresolved one (env.py).
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Final

from msgspec import Meta

from fastgw.errors import Fault
from fastgw.schema.base import Nested, Secret, Text, Timestamp, unique, whole
from fastgw.schema.rules import exactly_one

__all__ = ["MANAGERS", "AwsSecrets", "GcpSecrets", "Manager", "VaultSecrets"]


def _place(*managers: str) -> Meta:
    """An id that begins with one of the managers."""
    regex = whole(rf"^(?:{'|'.join(managers)})/[a-zA-Z0-9-_.]{{1,64}}$")
    return Meta(pattern=regex, title=f"'<manager>/<id>' with the manager {' or '.join(managers)}")


Uri = Annotated[
    str,
    Meta(pattern=r"^[^/]+://(?:[0-9a-zA-Z.-]+|\[[0-9a-fA-F:]+\])(?::[0-9]+)?", title="a URL: scheme, '://', host"),
]


class Manager(Nested, frozen=True, kw_only=True):
    """A place where secrets are kept. Unknown members pass, as in APISIX.

    id: its manager and its id: vault/1
    create_time: seconds since 1970 when it was first written, kept by the Admin API
    update_time: seconds since 1970 when it was last written, kept by the Admin API
    """

    id: Annotated[str, _place("vault", "aws", "gcp")] | None = None
    create_time: Timestamp | None = None
    update_time: Timestamp | None = None


class VaultSecrets(Manager, frozen=True, kw_only=True):
    """HashiCorp Vault, key-value engine.

    id: vault/<id>
    uri: where it is
    prefix: the path below /v1/ that all secrets lie under
    token: what X-Vault-Token carries
    namespace: what X-Vault-Namespace carries
    """

    id: Annotated[str, _place("vault")] | None = None
    uri: Uri
    prefix: str
    token: Secret
    namespace: str | None = None


class AwsSecrets(Manager, frozen=True, kw_only=True):
    """AWS Secrets Manager.

    id: aws/<id>
    access_key_id: which key signs the requests
    secret_access_key: that key
    session_token: belongs to keys that are given for a time
    region: where the secrets are
    endpoint_url: instead of the region's
    """

    id: Annotated[str, _place("aws")] | None = None
    access_key_id: str
    secret_access_key: Secret
    session_token: Secret | None = None
    region: str = "us-east-1"
    endpoint_url: Uri | None = None


class GcpAccount(Nested, frozen=True, kw_only=True):
    """A service account of Google Cloud.

    client_email: its name
    private_key: its key, PEM
    project_id: the project that holds the secrets
    token_uri: where access tokens are given
    scope: what an access token is to be good for
    entries_uri: where secrets are read
    """

    client_email: Text
    private_key: Secret
    project_id: Text
    token_uri: str = "https://oauth2.googleapis.com/token"  # noqa: S105
    scope: Annotated[tuple[str, ...], Meta(min_length=1), unique] = ("https://www.googleapis.com/auth/cloud-platform",)
    entries_uri: str = "https://secretmanager.googleapis.com/v1"


class GcpSecrets(Manager, frozen=True, kw_only=True):
    """Google Cloud Secret Manager.

    id: gcp/<id>
    auth_config: the service account
    auth_file: a file that holds the service account, as Google gives it
    ssl_verify: whether Google's certificate is checked
    """

    id: Annotated[str, _place("gcp")] | None = None
    auth_config: GcpAccount | None = None
    auth_file: Text | None = None
    ssl_verify: bool = True

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """The account stands here or in a file."""
        yield from exactly_one(present, "auth_config", "auth_file")


MANAGERS: Final[dict[str, type[Manager]]] = {"vault": VaultSecrets, "aws": AwsSecrets, "gcp": GcpSecrets}
