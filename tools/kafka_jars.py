"""What a broker or a reader of Kafka Connect on this machine needs to start: Java, and jars, fetched once by Maven.

Our own Java of the tests is compiled against them, once for each state of its source.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

KAFKA = "4.1.0"
HERE = Path(__file__).resolve().parent
CACHE = HERE.parent / ".cache"
MAVEN_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"


class Bundle(NamedTuple):
    """Jars that are fetched together: what for, the pom that names them, how much that is, where they stay."""

    what: str
    pom: Path
    megabytes: int
    jars: Path


BROKER = Bundle(f"Apache Kafka {KAFKA}", HERE / "broker-pom.xml", 44, CACHE / f"kafka-{KAFKA}")
CONNECT = Bundle(
    f"Kafka Connect {KAFKA} and Debezium 3.3.1", HERE / "connect-pom.xml", 24, CACHE / f"connect-{KAFKA}-debezium-3.3.1"
)


class BrokerError(Exception):
    """No broker: what is missing, or what it said before it ended."""


def java_command() -> str | None:
    """Path of a Java of 17 or newer: JAVA_HOME's, else the one on PATH."""
    home = os.environ.get("JAVA_HOME")
    for candidate in [str(Path(home, "bin", "java"))] if home else [], ["java"]:
        path = shutil.which(candidate[0]) if candidate else None
        if path is None:
            continue
        said = subprocess.run([path, "-version"], capture_output=True, text=True, check=False).stderr
        version = re.search(r'version "(\d+)', said)
        if version is not None and int(version[1]) >= 17:  # noqa: PLR2004 - what Kafka 4 asks for
            return path
    return None


def compiler_command() -> str | None:
    """Path of the javac beside the Java that is used."""
    java = java_command()
    javac = Path(java).resolve().with_name("javac") if java else None
    return str(javac) if javac and javac.is_file() else None


def missing(bundle: Bundle = BROKER, *, compiler: bool = False) -> str | None:
    """One sentence on what this machine lacks for a bundle's program, or None when it can run it.

    compiler  Java of ours has to be compiled for it
    """
    if java_command() is None:
        return "no Java 17 or newer: install one (Debian: openjdk-17-jdk-headless) or set JAVA_HOME"
    if compiler and compiler_command() is None:
        return "no Java compiler beside the Java that is used: install one (Debian: openjdk-17-jdk-headless)"
    if not bundle.jars.is_dir() and shutil.which("mvn") is None:
        return f"no Maven, which fetches the jars of {bundle.what} the first time: install it (Debian: maven)"
    return None


def fetch_jars(bundle: Bundle = BROKER) -> str:
    """Return a bundle's class path, fetched by Maven into .cache/ when it is not there, by one process at a time."""
    if not bundle.jars.is_dir():
        with _one_process():
            if not bundle.jars.is_dir():
                print(f"fetching {bundle.what} into {bundle.jars} ({bundle.megabytes} MB, once)", file=sys.stderr)
                _run_maven(bundle)
    return os.pathsep.join(sorted(str(jar) for jar in bundle.jars.glob("*.jar")))


def _run_maven(bundle: Bundle) -> None:
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=CACHE) as partial:
        # -C: a jar whose checksum is wrong ends the fetch instead of being warned about
        goal = [MAVEN_GOAL, "-DincludeScope=runtime", f"-DoutputDirectory={partial}/jars"]
        command = ["mvn", "-B", "-q", "-C", "-f", str(bundle.pom), *goal]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = (done.stdout + done.stderr).strip().splitlines()[:6]
            raise BrokerError(f"Maven could not fetch the jars of {bundle.what}: " + "\n".join(said))
        Path(partial, "jars").rename(bundle.jars)  # whole or not at all


def compile_java(source: Path, bundle: Bundle = BROKER) -> str:
    """Return the folder of one source file's classes, compiled into .cache/ when they are not there."""
    state = hashlib.sha256(source.read_bytes() + bundle.jars.name.encode()).hexdigest()
    classes = CACHE / "classes" / f"{source.stem}-{state[:16]}"
    jars = fetch_jars(bundle)
    with _one_process():
        if not classes.is_dir():
            _run_javac(source, jars, classes)
    return str(classes)


def _run_javac(source: Path, jars: str, classes: Path) -> None:
    classes.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="compile-", dir=CACHE) as partial:
        # The oldest Java that may run them. Some jars bring annotation processors, of which javac would warn.
        flags = ["--release", "17", "-Xlint:all", "-Werror", "-proc:none"]
        command = [str(compiler_command()), *flags, "-cp", jars, "-d", f"{partial}/classes", str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BrokerError(f"javac could not compile {source}: {done.stderr.strip()}")
        Path(partial, "classes").rename(classes)


@contextlib.contextmanager
def _one_process() -> Iterator[None]:
    """Keep other processes out of .cache/ for as long as the block lasts."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "fetch.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
