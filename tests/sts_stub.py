"""AWS's Security Token Service in this process: any role may be assumed, by anybody.

with StsStub() as sts:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
"""

from __future__ import annotations

import datetime as dt
import html
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from secure_broker import AWS_SESSION
from serving import serving

if TYPE_CHECKING:
    from typing import Self

NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
ACTIONS = ("AssumeRole", "AssumeRoleWithWebIdentity")


class StsStub:
    """Serves until the block is left.

    requests         the parameters of each request, in order; `Action` is one of them
    lifetime_secs    of the credentials, which are always AWS_SESSION
    clock_ahead_secs how far the clock of the `Date` header is ahead of ours
    refusal          (code, message) of a refusal; None: the credentials
    """

    def __init__(
        self,
        *,
        lifetime_secs: float = 3600,
        clock_ahead_secs: float = 0,
        refusal: tuple[str, str] | None = None,
    ) -> None:
        self.requests: list[dict[str, str]] = []
        self.refusal = refusal
        self._lifetime_secs = lifetime_secs
        self._clock_ahead_secs = clock_ahead_secs
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._serving = serving(self._server)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._serving.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._serving.__exit__(None, None, None)

    def respond(self, request: dict[str, str]) -> tuple[int, str]:
        """Return the status and the XML that AWS answers with."""
        action = request.get("Action", "")
        refusal = self.refusal
        if refusal is None and action not in ACTIONS:
            refusal = ("InvalidAction", f"Could not find operation {action} for version 2011-06-15")
        if refusal is not None:
            return 403, element("ErrorResponse", Error={"Type": "Sender", "Code": refusal[0], "Message": refusal[1]})
        expires = dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=self._lifetime_secs)
        credentials = {
            "AccessKeyId": AWS_SESSION["AWS_ACCESS_KEY_ID"],
            "SecretAccessKey": AWS_SESSION["AWS_SECRET_ACCESS_KEY"],
            "SessionToken": AWS_SESSION["AWS_SESSION_TOKEN"],
            "Expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        user = {"AssumedRoleId": f"AROAPENSTOCK:{request['RoleSessionName']}", "Arn": request["RoleArn"]}
        return 200, element(
            f"{action}Response",
            **{
                f"{action}Result": {"Credentials": credentials, "AssumedRoleUser": user},
            },
        )

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        sts = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                sts.requests.append(dict(parse_qsl(body)))
                status, answer = sts.respond(sts.requests[-1])
                self.send_response(status)
                self.send_header("Content-Type", "text/xml")
                self.send_header("Content-Length", str(len(answer.encode())))
                self.end_headers()
                self.wfile.write(answer.encode())

            def date_time_string(self, timestamp: float | None = None) -> str:
                return super().date_time_string((timestamp or time.time()) + sts._clock_ahead_secs)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def element(name: str, **children: object) -> str:
    """Write XML: a dict is an element of elements."""

    def text(tag: str, inside: object) -> str:
        nested = "".join(text(*one) for one in inside.items()) if isinstance(inside, dict) else html.escape(str(inside))
        return f"<{tag}>{nested}</{tag}>"

    return f'<{name} xmlns="{NAMESPACE}">{"".join(text(*one) for one in children.items())}</{name}>'
