"""secrets: which options are secret, and how secrets are taken out of texts.

What we write ourselves does not take secrets up in the first place; this is for what others wrote, as librdkafka's log
lines or a registry's answer, and for values that references gave, of which nobody knows beforehand which are secret.
"""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from penstock.errors import PenstockError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


__all__ = ["NOT_SHOWN", "Redactor", "is_secret", "without_user"]

NOT_SHOWN: Final = "<not shown>"
# Shorter ones are found inside ordinary words: the text would be garbled, and whoever fills the gaps has the secret.
_SHORTEST: Final = 4
# So much of a secret is looked for, then as much more as is there: texts are cut, by us and by librdkafka.
_HEAD: Final = 32
# Paths and addresses are no secrets, and an error without them helps nobody.
_SECRET: Final = re.compile(
    r"password|passphrase|pem|secret|token(?!\.endpoint)|jaas|private\.key(?!\.file)|oauthbearer\.config|^ssl_key$"
    r"|keystore\.key$|user\.info$"  # Java's
)


_USER: Final = re.compile(r"://[^/@\s]*@")


def is_secret(name: str) -> bool:
    """Tell whether this option's value must never be shown: passwords, keys, certificates, tokens."""
    return _SECRET.search(name.lower()) is not None


def without_user(text: str) -> str:
    """Return a text with the user and password of an address in it not shown."""
    return _USER.sub(f"://{NOT_SHOWN}@", text)


class Redactor:
    """Replaces secrets in texts; nothing changes it, and its repr shows none.

    texts  each secret, and what stands in its place. One of several lines, as a key in PEM, is looked for whole and
           line by line; what has fewer than 4 characters is not looked for
    """

    __slots__ = ("_heads", "_pattern")

    def __init__(self, texts: Mapping[str, str]) -> None:
        found: dict[str, str] = {}
        for text, instead in texts.items():
            for one in (text, *text.splitlines()):
                if len(one.strip()) >= _SHORTEST and not one.startswith("-----"):  # lines of dashes are in every PEM
                    found.setdefault(one, instead)
        self._heads: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for one in sorted(found, key=len, reverse=True):
            self._heads[one[:_HEAD]].append((one, found[one]))
        self._pattern = re.compile("|".join(map(re.escape, self._heads)) or r"(?!)")

    def __repr__(self) -> str:
        return f"<Redactor of {sum(map(len, self._heads.values()))} texts>"

    def redact(self, text: str) -> str:
        """Return the text without the secrets."""
        parts, start = [], 0
        while found := self._pattern.search(text, start):
            at = found.start()
            length, instead = max(
                (_in_common(secret, text[at : at + len(secret)]), instead)
                for secret, instead in self._heads[found.group()]
            )
            parts += [text[start:at], instead]
            start = at + length
        return "".join([*parts, text[start:]])

    def clean(self, error: PenstockError) -> None:
        """Take the secrets out of an error, and with them its cause, which may repeat them."""
        message = self.redact(error.message)
        if message != error.message:
            error.message = message
            error.args = (message,)
            error.__cause__ = None
            error.__suppress_context__ = True

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Let errors out of the block only without the secrets."""
        try:
            yield
        except PenstockError as error:
            self.clean(error)
            raise


def _in_common(one: str, other: str) -> int:
    """Return how many characters two texts have in common before they differ."""
    differ = (at for at, (left, right) in enumerate(zip(one, other, strict=False)) if left != right)
    return next(differ, min(len(one), len(other)))
