"""toxiproxy between the client and the brokers: connections that are refused, slow, silent or torn.

The program is a Go module, built once into .cache/ of this checkout by `go install`.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from broker import free_port
from broker_state import Keeper
from kafka_jars import CACHE, BrokerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from typing_extensions import Self

MODULE: Final = "github.com/Shopify/toxiproxy/v2/cmd/server"
VERSION: Final = "v2.5.0"
HOST: Final = "127.0.0.1"
REFUSED: Final = 400


class Proxies:
    """One proxy for each broker by number. A `with` block starts them all and ends them all.

    ports   for each broker where clients come, and where they are led on to
    """

    def __init__(self, ports: Mapping[int, tuple[int, int]]) -> None:
        self._ports = dict(ports)
        self._port = free_port(HOST)
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: Keeper | None = None
        self._toxics: set[tuple[int, str]] = set()
        self._cut: set[int] = set()

    def __enter__(self) -> Self:
        program = install()
        directory = Path(tempfile.mkdtemp(prefix="penstock-proxies-"))
        self._keeper = Keeper(directory)
        try:
            self._start(program, directory)
        except BaseException:  # Ctrl-C too: nothing stays
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self, program: Path, directory: Path) -> None:
        self._process = subprocess.Popen(
            [str(program), "-host", HOST, "-port", str(self._port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd=directory,
        )
        if self._keeper is not None:
            self._keeper.add(self._process.pid)
        deadline = time.monotonic() + 20
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise BrokerError("toxiproxy did not start")
            time.sleep(0.05)
        for number, (client, broker) in self._ports.items():
            proxy = {"name": str(number), "listen": f"{HOST}:{client}", "upstream": f"{HOST}:{broker}"}
            self._call("POST", "/proxies", {**proxy, "enabled": True})

    def stop(self) -> None:
        """End the proxies; harmless when they do not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None

    # --- faults ---

    def cut(self, brokers: Iterable[int]) -> None:
        """End all connections to these brokers and refuse new ones."""
        for number in brokers:
            self._cut.add(number)
            self._call("POST", f"/proxies/{number}", {"enabled": False})

    def slow(self, brokers: Iterable[int], *, latency_ms: int, kb_per_sec: int | None = None) -> None:
        """Answer late, and take only so much in a second."""
        for number in brokers:
            self._toxic(number, "latency", "downstream", latency=latency_ms, jitter=latency_ms // 5)
            if kb_per_sec is not None:
                self._toxic(number, "bandwidth", "upstream", rate=kb_per_sec)

    def silence(self, brokers: Iterable[int], streams: Iterable[str] = ("upstream", "downstream")) -> None:
        """Lose whatever is said: to the broker (upstream), by the broker (downstream)."""
        for number in brokers:
            for stream in streams:
                self._toxic(number, "timeout", stream, timeout=0)

    def reset(self, brokers: Iterable[int]) -> None:
        """Answer with a TCP reset."""
        for number in brokers:
            self._toxic(number, "reset_peer", "upstream", timeout=0)

    def close_after(self, brokers: Iterable[int], size: int) -> None:
        """End each connection once the client has sent so many bytes more: in the middle of a request."""
        for number in brokers:
            self._toxic(number, "limit_data", "upstream", bytes=size)

    def heal(self) -> None:
        """Let all connections be as they should be."""
        for number, name in sorted(self._toxics):
            self._call("DELETE", f"/proxies/{number}/toxics/{name}")
        for number in sorted(self._cut):
            self._call("POST", f"/proxies/{number}", {"enabled": True})
        self._toxics.clear()
        self._cut.clear()

    def _toxic(self, number: int, kind: str, stream: str, **attributes: int) -> None:
        name = f"{kind}_{stream}"
        self._toxics.add((number, name))
        toxic = {"name": name, "type": kind, "stream": stream, "attributes": attributes}
        self._call("POST", f"/proxies/{number}/toxics", toxic)

    def _answers(self) -> bool:
        try:
            self._call("GET", "/version")
        except OSError:
            return False
        return True

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> None:
        connection = http.client.HTTPConnection(HOST, self._port, timeout=20)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            said = answer.read().decode(errors="replace")
            if answer.status >= REFUSED:
                raise BrokerError(f"toxiproxy refused {method} {path}: {said}")
        finally:
            connection.close()


def missing() -> str | None:
    """One sentence on what this machine lacks for the proxies, or None when they can run."""
    if not _program().exists() and shutil.which("go") is None:
        return "no Go, which builds toxiproxy the first time: install it (https://go.dev/dl)"
    return None


def install() -> Path:
    """Return the program, built by `go install` into .cache/ when it is not there."""
    program = _program()
    if not program.exists():
        why = missing()
        if why is not None:
            raise BrokerError(why)
        program.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "GOBIN": str(program.parent)}
        command = ["go", "install", f"{MODULE}@{VERSION}"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BrokerError(f"toxiproxy could not be built: {done.stderr.strip()[-500:]}")
    return program


def _program() -> Path:
    return CACHE / f"toxiproxy-{VERSION}" / "server"
