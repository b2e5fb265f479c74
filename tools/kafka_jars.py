"""What a broker on this machine needs before it can start: Java, and Kafka's jars, fetched once by Maven."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

KAFKA = "4.1.0"
HERE = Path(__file__).resolve().parent
CACHE = HERE.parent / ".cache"
JARS = CACHE / f"kafka-{KAFKA}"
MAVEN_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"


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


def missing() -> str | None:
    """One sentence on what this machine lacks for a broker, or None when it can run one."""
    if java_command() is None:
        return "no Java 17 or newer: install one (Debian: openjdk-17-jre-headless) or set JAVA_HOME"
    if not JARS.is_dir() and shutil.which("mvn") is None:
        return "no Maven, which fetches Kafka's jars the first time: install it (Debian: maven)"
    return None


def fetch_jars() -> str:
    """Return the class path of Kafka, fetched by Maven into .cache/ when it is not there, by one process at a time."""
    if not JARS.is_dir():
        CACHE.mkdir(exist_ok=True)
        with (CACHE / "fetch.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not JARS.is_dir():
                print(f"fetching Apache Kafka {KAFKA} into {JARS} (44 MB, once)", file=sys.stderr)
                _run_maven()
    return os.pathsep.join(sorted(str(jar) for jar in JARS.glob("*.jar")))


def _run_maven() -> None:
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=CACHE) as partial:
        # -C: a jar whose checksum is wrong ends the fetch instead of being warned about
        goal = [MAVEN_GOAL, "-DincludeScope=runtime", f"-DoutputDirectory={partial}/jars"]
        command = ["mvn", "-B", "-q", "-C", "-f", str(HERE / "broker-pom.xml"), *goal]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = (done.stdout + done.stderr).strip().splitlines()[:6]
            raise BrokerError("Maven could not fetch Kafka's jars: " + "\n".join(said))
        Path(partial, "jars").rename(JARS)  # whole or not at all
