"""references: values that stand elsewhere, `${env:NAME}` and `${secret:kubernetes:name/data-key}`.

    ${env:NAME}                           the environment variable of this process
    ${secret:kubernetes:name/data-key}    the file kubernetes/name/data-key below /etc/feldera-secrets, or below the
                                          directory that the variable PENSTOCK_SECRETS_DIR names

A value is replaced as a whole or not at all, and is taken as it is: UTF-8, no white space removed. What was read lives
in the Config and in what is made of it; the object that was given is not changed.
Source: connector, section 1.3. Unlike there, a reference inside a reference is refused, not unpacked.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, Final

from penstock.config.connector import TRANSPORT_FIELDS, Given
from penstock.config.secrets import Redactor
from penstock.errors import ConfigError, PenstockError
from penstock.names import is_unicode, shown

__all__ = ["References", "check_reference", "is_reference", "read_references"]

_ENV: Final = "${env:"
_FILE: Final = "${secret:"
_KUBERNETES: Final = "kubernetes"
_VARIABLE: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_PART: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_LONGEST_NAME: Final = 63
_LONGEST_KEY: Final = 255
_DIRECTORY: Final = "/etc/feldera-secrets"
_DIRECTORY_VARIABLE: Final = "PENSTOCK_SECRETS_DIR"
# Settings in which references are read, wherever they are given: those of transport.config, and what stands beside it.
_REFERENCED: Final = frozenset({*TRANSPORT_FIELDS, "bootstrap_servers", "aws_role_arn"})


class References:
    """Reads the references of one configuration, and remembers what they gave so that none of it is shown.

    hidden  what they gave, and the reference that is shown in its place; without what was read as public
    """

    def __init__(self) -> None:
        self._all: dict[str, str] = {}
        self.hidden: dict[str, str] = {}

    def read(self, value: Any, where: str, *, public: bool = False) -> Any:  # noqa: ANN401 - JSON, or what Python gives
        """Return the value with the references read that are in it, at any depth; names of members are not looked at.

        public  everybody sees this value later, as the name of a topic: hidden while it is checked, but not in logs
        Raises  ConfigError naming place and reference for one that is malformed or cannot be read
        """
        if isinstance(value, str) and is_reference(value):
            text = _read(value, where)
            self._all[text] = value
            if not public:
                self.hidden[text] = value
            return text
        if isinstance(value, Mapping):
            return {name: self.read(one, f"{where}.{name}", public=public) for name, one in value.items()}
        if isinstance(value, (list, tuple, Iterator, AbstractSet)):
            found = [self.read(one, f"{where}[{at}]", public=public) for at, one in enumerate(value)]
            return tuple(found) if isinstance(value, tuple) else found
        return value

    def redact(self, text: str) -> str:
        """Return the text with each reference in the place of what it gave."""
        return Redactor(self._all).redact(text)

    @contextlib.contextmanager
    def unshown(self) -> Iterator[None]:
        """Let errors out of the block only with the references in place of what they gave."""
        try:
            yield
        except PenstockError as error:
            Redactor(self._all).clean(error)
            raise


def read_references(given: dict[str, Given], references: References, *, for_preview: bool) -> None:
    """Put what references give in their places, in settings about brokers and messages; others are taken as they are.

    for_preview  only topic and headers are in messages: of the others' references only the form is checked
    """
    for name, one in list(given.items()):
        if name not in _REFERENCED:
            continue
        if not for_preview or name in {"topic", "headers"}:
            value = references.read(one.value, one.where, public=name not in {"headers", "aws_role_arn"})
            given[name] = Given(value, one.where, from_json=one.from_json)
            continue
        values = one.value if isinstance(one.value, (list, tuple)) else (one.value,)
        found = [value for value in values if is_reference(value)]
        for reference in found:
            check_reference(reference, one.where)
        if found:
            del given[name]


def is_reference(value: object) -> bool:
    """Tell whether a value looks like a reference; any other text stands for itself."""
    return isinstance(value, str) and value.startswith((_ENV, _FILE)) and value.endswith("}")


def check_reference(reference: str, where: str) -> None:
    """Refuse a malformed reference, without reading what it names."""
    if reference.startswith(_ENV):
        _variable(reference, where)
    else:
        _file(reference, where)


def _read(reference: str, where: str) -> str:
    if reference.startswith(_ENV):
        return _read_variable(_variable(reference, where), f"{where}: {reference}")
    return _read_file(_file(reference, where), f"{where}: {reference}")


def _variable(reference: str, where: str) -> str:
    name = reference[len(_ENV) : -1]
    if _VARIABLE.fullmatch(name) is None:
        raise ConfigError(
            f"{where}: {shown(reference)} names no variable: its name is letters, digits and _, and begins with no "
            "digit, as in ${env:KAFKA_PASSWORD}"
        )
    return name


def _file(reference: str, where: str) -> Path:
    provider, _, path = reference[len(_FILE) : -1].partition(":")
    if provider != _KUBERNETES:
        raise ConfigError(
            f"{where}: {shown(reference)} asks a provider that is not known; secrets are read as "
            "${secret:kubernetes:name/data-key}"
        )
    name, _, key = path.partition("/")
    for part, what, longest in ((name, "name", _LONGEST_NAME), (key, "data key", _LONGEST_KEY)):
        if _PART.fullmatch(part) is None or len(part) > longest:
            raise ConfigError(
                f"{where}: {shown(reference)}: the {what} is small letters and digits, with single - between them, "
                f"at most {longest}, as in ${{secret:kubernetes:name/data-key}}"
            )
    return Path(os.environ.get(_DIRECTORY_VARIABLE) or _DIRECTORY) / _KUBERNETES / name / key


def _read_variable(name: str, where: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise ConfigError(f"{where}: the environment variable is not set; set it, or give the value itself")
    if not is_unicode(value):
        raise ConfigError(f"{where}: the environment variable is not UTF-8 text; set it to such")
    return value


def _read_file(path: Path, where: str) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError(f"{where}: {path} is not a regular file; it must hold the value")
        return path.read_bytes().decode()
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            f"{where}: the file {path} does not exist; mount the secret there, or set {_DIRECTORY_VARIABLE}"
        ) from None
    except OSError as error:
        raise ConfigError(f"{where}: {path} cannot be read: {error.strerror or error}; check its rights") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{where}: {path} is not UTF-8 text; save it as such") from None
