"""tokens: what OAUTHBEARER logs in with, made in the coordinator's process and renewed in time.

    AWS's signer, or oauth_cb ─▶ first() ─▶ Start of each worker
                              └▶ keep() ─▶ a thread: at 80 % of each lifetime the next token ─▶ crew.renew

The thread is there because a token ends whether or not rows are being written. A worker's librdkafka is told of it by
another one (worker.py), so neither waits for the broker. Nothing here is ever logged but times and what went wrong.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import re
import threading
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from penstock.config.kafka.login import MskIam, TokenCallback
from penstock.control import Token
from penstock.errors import ConnectError
from penstock.functions import import_function
from penstock.names import function_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from penstock.config import Config

__all__ = ["Tokens", "open_tokens"]

# A token counts for no longer than this. The signer's live 900 s; tests of renewal cannot wait for that.
LONGEST_LIFE_SECS: float = math.inf
_RENEW_AFTER: Final = 0.8  # of the lifetime, as librdkafka asks for it
_RETRY_SECS: Final = 10.0
_LEAST_RETRY_SECS: Final = 1.0
# The clock is looked at so often: a machine that slept, or set its clock, has another time of day than was waited for.
_LONGEST_WAIT_SECS: Final = 60.0
_JOIN_SECS: Final = 1.0
_YEAR_2100: Final = 4102444800
_WORD: Final = re.compile(r"[\x21-\x7e]+")
_TEXT: Final = re.compile(r"[\x20-\x7e\t\r\n]*")
_NAME: Final = re.compile(r"[A-Za-z]+")

_log = logging.getLogger("penstock")


class _NoTokenError(Exception):
    """Why there is no token, in words that may be shown; so may its cause, where it has one."""


class Tokens:
    """The tokens of one job.

    source        what they are called in messages
    make          makes one; _NoTokenError where it cannot
    current       the newest, None before first()
    last_failure  why the last attempt failed, None when it did not
    """

    def __init__(
        self,
        source: str,
        make: Callable[[], Token],
        *,
        clock: Callable[[], float] = time.time,
        closing: threading.Event | None = None,
    ) -> None:
        self.current: Token | None = None
        self.last_failure: str | None = None
        self._source = source
        self._make = make
        self._clock = clock
        self._closing = threading.Event() if closing is None else closing
        self._delivering = threading.Lock()
        self._thread: threading.Thread | None = None
        self._due = 0.0  # when the next one is to be made
        self._reported: tuple[str, bool] | None = None  # the failure that was told last, and whether it was too late

    def first(self) -> Token:
        """Return a token that need not be renewed yet; ConnectError with the cause's own words where none is made."""
        if self.current is not None and self._clock() < self._due:
            return self.current
        try:
            return self._renew()
        except _NoTokenError as error:
            raise ConnectError(f"{self._source}: no token to log in with: {error}") from error.__cause__

    def keep(self, deliver: Callable[[Token], None]) -> None:
        """Renew the token for as long as the job runs, in a thread of its own.

        deliver  called in that thread with each new token, never after close(); must neither block nor raise
        A failure is a warning on the log "penstock", once, and so is its end; it is tried again after 10 s, or sooner
        when little time is left.
        """
        self._thread = threading.Thread(target=self._keep, args=(deliver,), name="penstock-tokens", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; nothing is delivered afterwards. May be called twice."""
        with self._delivering:
            self._closing.set()
        if self._thread is not None:
            self._thread.join(_JOIN_SECS)  # one that waits for AWS, or for the user's function, ends by itself

    def _keep(self, deliver: Callable[[Token], None]) -> None:
        while not self._closing.wait(min(max(self._due - self._clock(), 0), _LONGEST_WAIT_SECS)):
            if self._clock() < self._due:
                continue
            try:
                token = self._renew()
            except _NoTokenError as error:
                self._report(str(error))
                continue
            with self._delivering:
                if self._closing.is_set():
                    return
                deliver(token)
            if self._reported is not None:
                self._reported = None
                _log.warning("%s: there is a new token again, good until %s", self._source, _utc(token))

    def _renew(self) -> Token:
        """Make a token and note when the next one is due; _NoTokenError where it cannot be made."""
        try:
            token = self._make()
            now = self._clock()
            token.expires_ms = int(min(token.expires_ms, (now + LONGEST_LIFE_SECS) * 1000))
            life = token.expires_ms / 1000 - now
            _check(life > 0, f"the new one expired {-life:.0f} s ago; check the clock of this machine")
        except _NoTokenError as error:
            self.last_failure = str(error)
            now = self._clock()
            left = 0.0 if self.current is None else self.current.expires_ms / 1000 - now
            self._due = now + (min(max(left / 4, _LEAST_RETRY_SECS), _RETRY_SECS) if left > 0 else _RETRY_SECS)
            raise
        self.current, self.last_failure, self._due = token, None, now + _RENEW_AFTER * life
        return token

    def _report(self, why: str) -> None:
        if self.current is None:
            return
        expired = self._clock() >= self.current.expires_ms / 1000
        if self._reported == (why, expired):
            return
        self._reported = why, expired
        what = "expired" if expired else "expires"
        _log.warning("%s: no new token: %s; the one in use %s at %s", self._source, why, what, _utc(self.current))


def open_tokens(config: Config) -> Tokens | None:
    """Return who makes the tokens of this job, None where none of ours are needed; ConfigError for a wrong function."""
    source = config.tokens
    if source is None:
        return None
    if isinstance(source, MskIam):
        return Tokens(f"AWS MSK IAM, region {source.region}", functools.partial(_sign, source))
    name = f'oauth_cb "{function_name(source.function)}"'
    function = import_function(source.function, name) if isinstance(source.function, str) else source.function
    return Tokens(name, functools.partial(_call, function, source))


def _utc(token: Token) -> str:
    return datetime.fromtimestamp(token.expires_ms / 1000, tz=timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def _check(good: bool, otherwise: str) -> None:  # noqa: FBT001 - it reads as a sentence
    if not good:
        raise _NoTokenError(otherwise)


def _first_line(error: BaseException) -> str:
    """Return an error's text without what follows its first line: AWS's goes on with the request that was signed."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


# --- the user's function ---


def _call(function: Callable[[str], Any], source: TokenCallback) -> Token:
    """Call the function as confluent-kafka calls its oauth_cb, and look at what it returns before librdkafka does.

    librdkafka would repeat a token that it refuses in its text, and take milliseconds for a far future.
    """
    try:
        answer = function(source.argument)
    except BaseException as error:
        if not isinstance(error, (Exception, SystemExit)) and threading.current_thread() is threading.main_thread():
            raise  # it may be a signal's; asyncio's CancelledError in our thread must not end it
        said = _first_line(error)
        for secret in (source.argument, *re.findall(r"=\s*\"?([^\s,;\"]+)", source.argument)):
            said = said.replace(secret, "<not shown>") if secret else said
        raise _NoTokenError(f"it raised {type(error).__name__}: {said}") from error
    return _read(answer)


def _read(answer: object) -> Token:
    wanted = "(token, expires) or (token, expires, principal, extensions), with expires in seconds since 1970"
    if not isinstance(answer, (tuple, list)) or not 2 <= len(answer) <= 4:  # noqa: PLR2004 - as the text says
        raise _NoTokenError(f"it returned {type(answer).__name__}, not {wanted}")
    text, expires, principal, extensions = (*answer, None, None)[:4]
    principal, extensions = principal or "", extensions or {}
    _check(_matches(text, _WORD), f"its token is not a text of visible ASCII characters; return {wanted}")
    _check(_matches(principal, _TEXT), f"its principal is not a text of ASCII characters; return {wanted}")
    _check(
        isinstance(extensions, dict)
        and all(_matches(n, _NAME) and n != "auth" and _matches(v, _TEXT) for n, v in extensions.items()),
        "its extensions are not a dict of names, of letters and none of them auth, with values of ASCII characters",
    )
    if not isinstance(expires, (int, float)) or not math.isfinite(expires):
        raise _NoTokenError(f"its second value does not say when the token expires; return {wanted}")
    _check(
        expires < _YEAR_2100,
        f"its token expires at {expires:.0f}, which looks like milliseconds; return seconds since 1970, or it would "
        "never be renewed",
    )
    return Token(text, int(expires * 1000), principal, list(extensions.items()))


def _matches(value: object, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


# --- AWS MSK IAM ---


def _sign(source: MskIam) -> Token:
    """Sign a token with what boto3's chain finds: environment, files, profile, web identity, container, machine."""
    try:
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # noqa: PLC0415 - brings boto3, 0.2 s
        from botocore.credentials import CredentialProvider  # noqa: PLC0415 - as above

        # The signer's own ways to find credentials raise AttributeError where there are none, and for a role ask AWS's
        # token service in a region that they do not know: botocore reads AWS_DEFAULT_REGION alone.
        provider = CredentialProvider()
        provider.load = functools.partial(_credentials, source)
        with _aws_unheard():
            text, expires_ms = MSKAuthTokenProvider.generate_auth_token_from_credentials_provider(
                source.region, provider
            )
    except Exception as error:  # noqa: BLE001 - AWS's libraries raise what they like; the cause repeats the request
        raise _NoTokenError(_first_line(error)) from None
    return Token(text, expires_ms)


def _credentials(source: MskIam) -> Any:  # noqa: ANN401 - botocore has no types
    from botocore.config import Config as ClientConfig  # noqa: PLC0415 - as above
    from botocore.credentials import Credentials  # noqa: PLC0415 - as above
    from botocore.session import Session  # noqa: PLC0415 - as above

    session = Session()  # a new one each time: files may have changed, and what it assumed may have expired
    session.set_config_variable("region", source.region)
    session.set_default_client_config(
        ClientConfig(connect_timeout=10, read_timeout=10, retries={"total_max_attempts": 2})
    )
    if source.role_arn is None:
        found = session.get_credentials()
        if found is None:
            raise LookupError(
                "boto3 finds no AWS credentials, neither in the environment (AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY) nor in ~/.aws/credentials nor as a role of this machine"
            )
        return found
    role = session.create_client("sts").assume_role(RoleArn=source.role_arn, RoleSessionName="penstock")["Credentials"]
    return Credentials(role["AccessKeyId"], role["SecretAccessKey"], role["SessionToken"])


@contextlib.contextmanager
def _aws_unheard() -> Iterator[None]:
    """Drop what AWS's libraries log at level debug in this thread: requests that were signed, and whole answers."""
    thread = threading.get_ident()

    def keep(record: logging.LogRecord) -> bool:
        return record.levelno > logging.DEBUG or threading.get_ident() != thread

    names = [name for name in list(logging.root.manager.loggerDict) if name.startswith(("boto", "urllib3"))]
    loggers = [logging.getLogger(name) for name in names]
    for logger in loggers:
        logger.addFilter(keep)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(keep)
