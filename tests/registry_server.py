"""A schema registry in this process: as much of the REST interface as is spoken here, over real sockets.

It also plays the proxy: a proxy's request line has the whole address, of which only the path is looked at.
"""

from __future__ import annotations

import json
import ssl
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self


class RegistryServer:
    """Serves until the block is left.

    requests     (method, path, headers in lower case, body) of each request, in order
    answer       gives (status, body) before the registry itself is asked; None: the registry's own answer
    register     (subject, schema text) → id; the default counts from 1
    delay_secs   how long each answer takes
    """

    def __init__(
        self,
        *,
        answer: Callable[[str, dict[str, str]], tuple[int, Any] | None] | None = None,
        register: Callable[[str, str], int] | None = None,
        delay_secs: float = 0.0,
        certificate: str | None = None,
    ) -> None:
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        self.ids: dict[str, int] = {}
        self.versions: dict[str, list[str]] = {}
        self._answer = answer
        self._register = register
        self._delay_secs = delay_secs
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self._scheme = "https"
        self._serving = serving(self._server)

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}"

    @property
    def paths(self) -> list[str]:
        return [path for _, path, _, _ in self.requests]

    def __enter__(self) -> Self:
        self._serving.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._serving.__exit__(None, None, None)

    def respond(self, path: str, body: Any) -> tuple[int, Any]:
        """Answer as Confluent's registry does."""
        parts = [unquote(part) for part in path.split("/")[1:]]
        subject = parts[-2] if parts[-1] == "versions" else parts[-1]
        if parts[:2] == ["compatibility", "subjects"]:
            known = self.versions.get(parts[2])
            if known is None:
                return 404, {"error_code": 40401, "message": "Subject not found."}
            same = known[-1] == body["schema"]
            return 200, {"is_compatible": same, **({} if same else {"messages": ["READER_FIELD_MISSING_DEFAULT: b"]})}
        if parts[0] == "subjects" and parts[-1] == "versions":
            schema = body["schema"]
            if self._register is not None:
                self.ids[schema] = self._register(subject, schema)
            self.versions.setdefault(subject, []).append(schema)
            return 200, {"id": self.ids.setdefault(schema, len(self.ids) + 1)}
        if parts[0] == "subjects":
            if body["schema"] not in self.versions.get(subject, []):
                return 404, {"error_code": 40403, "message": "Schema not found"}
            return 200, {"subject": subject, "version": 1, "id": self.ids[body["schema"]], "schema": body["schema"]}
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                headers = {name.lower(): value for name, value in self.headers.items()}
                parts = urlsplit(self.path)
                registry.requests.append((self.command, self.path, headers, body))
                time.sleep(registry._delay_secs)
                found = registry._answer(parts.path, headers) if registry._answer is not None else None
                status, answer = found or registry.respond(parts.path, body)
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
