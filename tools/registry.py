"""A real schema registry (Apicurio, which speaks Confluent's interface) on this machine, for tests.

    with Registry() as registry:   # at registry.url, on a port nobody else has, schemas in memory
        ...

Needs Java 17 or newer, and Maven the first time: the program (142 MB) is fetched once into .cache/ of this checkout.
Who owns what is as in broker.py: one directory, one java in its own session, and the keeper that ends both when the
caller is gone without a word.
"""

from __future__ import annotations

import fcntl
import http.client
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from broker import QUICK_JVM, free_port
from broker_state import Keeper
from kafka_jars import CACHE, BrokerError, java_command

if TYPE_CHECKING:
    from typing_extensions import Self

APICURIO = "2.6.13.Final"
HOME = CACHE / f"apicurio-{APICURIO}"
ARTIFACT = f"io.apicurio:apicurio-registry-app:{APICURIO}:tar.gz:all"
MAVEN_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
PATH = "/apis/ccompat/v7"
OK = 200


def missing() -> str | None:
    """One sentence on what this machine lacks for a registry, or None when it can run one."""
    if java_command() is None:
        return "no Java 17 or newer: install one (Debian: openjdk-17-jdk-headless) or set JAVA_HOME"
    if not HOME.is_dir() and shutil.which("mvn") is None:
        return "no Maven, which fetches the registry the first time: install it (Debian: maven)"
    return None


def fetch() -> Path:
    """Return the unpacked program, fetched by Maven into .cache/ when it is not there, by one process at a time."""
    if not HOME.is_dir():
        CACHE.mkdir(exist_ok=True)
        with (CACHE / "fetch.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not HOME.is_dir():
                print(f"fetching Apicurio Registry {APICURIO} into {HOME} (142 MB, once)", file=sys.stderr)
                _run_maven()
    return HOME


def _run_maven() -> None:
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=CACHE) as partial:
        command = ["mvn", "-B", "-q", "-C", MAVEN_GOAL, f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={partial}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = (done.stdout + done.stderr).strip().splitlines()[:6]
            raise BrokerError("Maven could not fetch the schema registry: " + "\n".join(said))
        unpacked = Path(partial, "unpacked")
        (archive,) = Path(partial).glob("*.tar.gz")
        with tarfile.open(archive) as packed:
            packed.extractall(unpacked, filter="data")
        unpacked.rename(HOME)  # whole or not at all


class Registry:
    """One registry. A `with` block starts it, and the block's end kills it and removes what it wrote."""

    def __init__(self) -> None:
        self.port = free_port("127.0.0.1")
        self._directory: Path | None = None
        self._java: subprocess.Popen[bytes] | None = None
        self._keeper: Keeper | None = None

    @property
    def url(self) -> str:
        """Address of the interface that is Confluent's."""
        return f"http://127.0.0.1:{self.port}{PATH}"

    def __enter__(self) -> Self:
        why = missing()
        if why is not None:
            raise BrokerError(why)
        home = fetch()
        try:
            self._start(home, time.monotonic() + 120)
        except BaseException:  # Ctrl-C too: nothing stays
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self, home: Path, deadline: float) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="penstock-registry-"))
        self._keeper = Keeper(self._directory)
        settings = ["-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={self.port}", "-Dregistry.storage.kind=mem"]
        (program,) = home.rglob("apicurio-registry-app-*-runner.jar")
        command = [java_command() or "java", "-Xmx384m", *QUICK_JVM, f"-Djava.io.tmpdir={self._directory}", *settings]
        with (self._directory / "registry.log").open("wb") as log:
            self._java = subprocess.Popen(
                [*command, "-jar", str(program)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=program.parent,
            )
        self._keeper.add(self._java.pid)
        while not self._answers():
            if self._java.poll() is not None or time.monotonic() > deadline:
                text = (self._directory / "registry.log").read_text(errors="replace")
                raise BrokerError("the schema registry did not start: " + "\n".join(text.splitlines()[-15:]))
            time.sleep(0.1)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", f"{PATH}/subjects")
            return connection.getresponse().status == OK
        except OSError:
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        """Kill the registry and remove its directory; harmless when it is not running."""
        if self._java is not None:
            self._java.kill()
            self._java.wait()
            self._java = None
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.close()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None
