"""registry: ids of schemas from a schema registry, over the REST interface of Confluent's, which others have too.

    POST /subjects/<subject>/versions                        register, or find what is registered already   → id
    POST /subjects/<subject>                                 look up: auto_register=false, and in previews  → id
    POST /compatibility/subjects/<subject>/versions/latest   with check_compatibility                       → yes or no

Spoken to by the coordinator alone, once for each subject; workers get the ids. Addresses are tried in order until one
answers. Needs httpx (`pip install "penstock[avro]"`), which is imported only when there is something to ask.
Certificates of https addresses are checked against SSL_CERT_FILE or SSL_CERT_DIR where these are set, else against
certifi's list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from penstock.config import AvroFormat, ProtobufFormat
from penstock.config.secrets import NOT_SHOWN, Redactor
from penstock.errors import ConfigError, ConnectError, SchemaError

if TYPE_CHECKING:
    import httpx

    from penstock.config import Config
    from penstock.config.settings import WriterConfig

__all__ = ["Registry", "open_registry", "subjects"]

_CONTENT_TYPE: Final = "application/vnd.schemaregistry.v1+json"
_DEFAULT_TIMEOUT_SECS: Final = 30.0
_MOST_ID: Final = 2**32 - 1  # four bytes on the wire
_OK: Final = 200
_UNAUTHORIZED: Final = (401, 403)
_PROXY_UNAUTHORIZED: Final = 407
_NOT_FOUND: Final = 404
_REFUSES_SCHEMA: Final = (409, 422)
_SERVER_ERROR: Final = 500
_NEEDS_URLS: Final = ("registry_headers", "registry_proxy", "registry_username", "registry_authorization_token")
_NEEDS_REGISTRY: Final = {"auto_register": True, "check_compatibility": False}
_LONGEST_SAID: Final = 300

RegistryFormat = AvroFormat | ProtobufFormat


def subjects(form: RegistryFormat, topic: str, value_name: str, key_name: str | None) -> tuple[str, str | None]:
    """Return the subjects of value and key; the key's is None where there is none.

    value_name, key_name  full names of the records; key_name is None where messages have no key with a schema
    Source                connector, section 7.5
    """
    strategy = form.subject_name_strategy
    if strategy is None:
        strategy = "record_name" if getattr(form, "update_format", None) == "raw" else "topic_name"
    keyed = key_name is not None
    if strategy == "record_name":
        return value_name, key_name
    stem = topic if strategy == "topic_name" else f"{topic}-{value_name}"
    return (f"{stem}-value", f"{stem}-key") if keyed else (stem, None)


def open_registry(config: Config, *, register: bool = True) -> Registry | None:
    """Return the registry that the format names, or None where it names none. Nothing is sent yet.

    register  False for a preview: schemas are only looked up, and one that is not there gets id 0
    Raises    ConfigError when httpx is missing, an address is none, or members contradict one another
    """
    form = config.format
    if not isinstance(form, RegistryFormat):
        return None
    with config.redactor.errors():
        _check_members(form, config.writer)
        if not form.registry_urls:
            return None
        return Registry(
            form,
            register=register,
            auto_register=config.writer.auto_register,
            check_compatibility=config.writer.check_compatibility,
        )


class Registry:
    """A schema registry. What was asked once is not asked again.

    transport  where requests go in tests; None: over the network
    """

    def __init__(
        self,
        form: RegistryFormat,
        *,
        register: bool = True,
        auto_register: bool = True,
        check_compatibility: bool = False,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._form = form
        self._register = register
        self._auto_register = auto_register
        self._check_compatibility = check_compatibility
        self._transport = transport
        self._known: dict[tuple[str, str, str], int] = {}
        self._redactor = Redactor(dict.fromkeys(form.secrets(), NOT_SHOWN))
        _import_httpx()
        for url in form.registry_urls:
            _check_url(url)

    def __repr__(self) -> str:
        return f"Registry({', '.join(_without_user(url) for url in self._form.registry_urls)})"

    def schema_id(self, subject: str, schema: str, kind: str = "AVRO") -> int:
        """Return the id of the schema under the subject.

        Raises ConnectError when no address answers or the registry refuses us; SchemaError when it refuses the schema,
        does not know it though it should, or finds it incompatible with the one before.
        """
        known = self._known.get((subject, schema, kind))
        if known is None:
            known = self._known[subject, schema, kind] = self._ask(subject, {"schema": schema, "schemaType": kind})
        return known

    def reach(self) -> None:
        """Find out whether the registry lets us in; ConnectError as schema_id."""
        with self._client() as client:
            status, answer = self._send(client, "GET", "schemas/types")
        if status not in {_OK, _NOT_FOUND}:  # not found: an interface of another make, which did answer
            raise self._refused(status, answer, None)

    def _ask(self, subject: str, body: dict[str, str]) -> int:
        path = f"subjects/{quote(subject, safe='')}"
        with self._client() as client:
            if not (self._register and self._auto_register):
                status, answer = self._post(client, path, body)
                if status == _NOT_FOUND:
                    if not self._register:
                        return 0
                    raise SchemaError(
                        f'the registry has no such schema under subject "{subject}", and auto_register is false; '
                        "register it there first, or set auto_register"
                    )
                return self._id(status, answer, subject)
            if self._check_compatibility:
                self._check(client, subject, body)
            return self._id(*self._post(client, f"{path}/versions", body), subject)

    def _check(self, client: httpx.Client, subject: str, body: dict[str, str]) -> None:
        path = f"compatibility/subjects/{quote(subject, safe='')}/versions/latest?verbose=true"
        status, answer = self._post(client, path, body)
        if status == _NOT_FOUND:  # its first version: nothing to be compatible with
            return
        if status != _OK or not isinstance(answer, dict) or not isinstance(answer.get("is_compatible"), bool):
            raise self._refused(status, answer, subject)
        if not answer["is_compatible"]:
            why = answer.get("messages")
            more = f": {self._clean('; '.join(map(str, why)))}" if isinstance(why, list) and why else ""
            raise SchemaError(
                f'the schema is not compatible with the latest version of subject "{subject}"{more}; keep to that one '
                "(format member schema), or set check_compatibility to false"
            )

    def _id(self, status: int, answer: object, subject: str) -> int:
        if status != _OK:
            raise self._refused(status, answer, subject)
        found = answer.get("id") if isinstance(answer, dict) else None
        if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= _MOST_ID:
            raise ConnectError(
                f'the registry\'s answer for subject "{subject}" has no id of a schema; is registry_urls the address '
                "of a registry's REST interface?"
            )
        return found

    def _refused(self, status: int, answer: object, subject: str | None) -> ConnectError | SchemaError:
        said = answer.get("message") if isinstance(answer, dict) else answer
        text = f": {self._clean(str(said))}" if said else ""
        what = "us" if subject is None else f'subject "{subject}"'
        where = f"the registry refused {what} with HTTP {status}{text}"
        if status in _UNAUTHORIZED or status == _PROXY_UNAUTHORIZED:
            which = "registry_proxy" if status == _PROXY_UNAUTHORIZED else (
                "registry_username and registry_password, registry_authorization_token or registry_headers"
            )  # fmt: skip
            return ConnectError(f"{where}; check {which}", code=str(status))
        if status in _REFUSES_SCHEMA:
            return SchemaError(f"{where}; change the schema, or the subject's compatibility", code=str(status))
        return ConnectError(f"{where}; check registry_urls", code=str(status))

    def _post(self, client: httpx.Client, path: str, body: dict[str, str]) -> tuple[int, Any]:
        return self._send(client, "POST", path, body)

    def _send(
        self, client: httpx.Client, method: str, path: str, body: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Return the status and the answer, parsed where it is JSON, of the first address that answers."""
        import httpx  # noqa: PLC0415 - optional

        failures = []
        for url in self._form.registry_urls:
            try:
                address, auth = _parted(f"{url.rstrip('/')}/{path}")
                headers = {} if body is None else {"Content-Type": _CONTENT_TYPE}
                response = client.request(method, address, json=body, headers=headers, auth=auth)
            except (httpx.TransportError, httpx.InvalidURL, UnicodeError) as error:
                failures.append(f"{_without_user(url)}: {self._clean(str(error)) or type(error).__name__}")
                continue
            if response.status_code >= _SERVER_ERROR:
                failures.append(f"{_without_user(url)}: HTTP {response.status_code}")
                continue
            try:
                return response.status_code, response.json()
            except ValueError:
                return response.status_code, response.text
        raise ConnectError(
            f"no schema registry answers ({'; '.join(failures)}); check registry_urls"
            + (" and registry_proxy" if self._form.registry_proxy else ""),
            retriable=True,
        )

    def _client(self) -> httpx.Client:
        import httpx  # noqa: PLC0415 - optional

        form = self._form
        headers = dict(form.registry_headers)
        if form.registry_authorization_token is not None:
            headers["Authorization"] = f"Bearer {form.registry_authorization_token}"
        auth = None
        if form.registry_username is not None:
            auth = httpx.BasicAuth(form.registry_username, form.registry_password or "")
        timeout = form.registry_timeout_secs
        try:
            return httpx.Client(
                headers=headers,
                auth=auth,
                proxy=form.registry_proxy,
                timeout=_DEFAULT_TIMEOUT_SECS if timeout is None else float(timeout),
                transport=self._transport,
            )
        except (ValueError, UnicodeError, OSError, httpx.InvalidURL) as error:
            # What it says may repeat a header or the proxy's password, cut in a way that _clean does not find.
            raise ConfigError(
                f"registry_proxy, registry_headers or SSL_CERT_FILE cannot be used ({type(error).__name__}); a proxy "
                "is an address such as http://host:3128, headers are ASCII, the file holds certificates in PEM form"
            ) from None

    def _clean(self, said: str) -> str:
        """Return what somebody else said, without our secrets, cut to a length that one may read."""
        return " ".join(self._redactor.redact(said).split())[:_LONGEST_SAID]


def _check_members(form: RegistryFormat, writer: WriterConfig) -> None:
    if not form.registry_urls:
        for member in _NEEDS_URLS:
            if getattr(form, member):
                raise ConfigError(f"format.config.{member} needs registry_urls; give the addresses, or leave it out")
        for setting, off in _NEEDS_REGISTRY.items():
            if getattr(writer, setting) != off:
                raise ConfigError(
                    f"{setting} needs format.config.registry_urls, the registry that it is about; give the addresses, "
                    "or leave it out"
                )
    if form.registry_password is not None and form.registry_username is None:
        raise ConfigError("format.config.registry_password needs registry_username; give both, or neither")
    if form.registry_username is not None and form.registry_authorization_token is not None:
        raise ConfigError(
            "format.config.registry_username and registry_authorization_token are two ways to say who asks; leave one "
            "out"
        )


def _import_httpx() -> None:
    try:
        import httpx  # noqa: F401, PLC0415 - optional
    except ImportError:
        raise ConfigError('registry_urls: httpx is not installed; pip install "penstock[avro]"') from None


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ConfigError(
            f"registry_urls: {_without_user(url)} is not the address of a registry; give one such as "
            "https://registry.example:8081"
        )


def _parted(address: str) -> tuple[httpx.URL, Any]:
    """Return the address without user and password, which httpx would log with it, and who asks by them."""
    import httpx  # noqa: PLC0415 - optional

    url = httpx.URL(address)
    bare = url.copy_with(userinfo=b"")
    return bare, httpx.BasicAuth(url.username, url.password) if url.userinfo else httpx.USE_CLIENT_DEFAULT


def _without_user(url: str) -> str:
    """Return an address without user, password and query, which may be secrets."""
    return f'"{url.rpartition("@")[2].split("?")[0].split("#")[0]}"'
