"""login: what the SASL options mean together, and where the tokens of OAUTHBEARER come from.

    security.protocol   without SASL: sasl.* has no effect, which is said
    SASL_* ▶ sasl.mechanism   PLAIN, SCRAM-SHA-256 and -512: sasl.username and sasl.password
                              GSSAPI: where the loaded librdkafka has it
                              OAUTHBEARER ▶ oidc, unsecured   librdkafka makes the tokens
                                            callback          the user's function does (oauth_cb)
                                            iam               AWS MSK IAM, as in the connector, when nothing is named

librdkafka itself says some of this only when a client is made, inside each worker, and of a login without any tokens it
says nothing at all: its messages time out. Here it is said before any process or socket.
"""

from __future__ import annotations

import importlib.util
import os
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from penstock.config.kafka.options import KafkaOption, property_table, refusal
from penstock.errors import ConfigError
from penstock.names import did_you_mean, function_name, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.config.connector import Given
    from penstock.config.settings import WriterConfig

__all__ = ["MskIam", "TokenCallback", "TokenSource", "settle_login"]


class MskIam(msgspec.Struct, frozen=True, tag="msk_iam"):
    """Tokens of AWS MSK IAM, signed by the credentials that boto3 finds, or by those of the role, if one is named."""

    region: str
    role_arn: str | None = None


class TokenCallback(msgspec.Struct, frozen=True, tag="oauth_cb"):
    """Tokens of the user's function: "module:function", or the function itself; argument: sasl.oauthbearer.config."""

    function: Any
    argument: str = ""

    def __repr__(self) -> str:
        return f"TokenCallback({function_name(self.function)})"


TokenSource = MskIam | TokenCallback

_MECHANISM: Final = "sasl.mechanism"
_CONFIG: Final = "sasl.oauthbearer.config"
_METHOD: Final = "sasl.oauthbearer.method"
_URL: Final = "sasl.oauthbearer.token.endpoint.url"
_METADATA: Final = "sasl.oauthbearer.metadata.authentication.type"
_GRANT: Final = "sasl.oauthbearer.grant.type"
_UNSECURED: Final = "enable.sasl.oauthbearer.unsecure.jwt"
_PASSWORD: Final = ("sasl.username", "sasl.password")
_CLIENT: Final = ("sasl.oauthbearer.client.id", "sasl.oauthbearer.client.secret")
# What each way to log in looks at: names, or the beginnings of names.
_LOOKS_AT: Final = {
    "PLAIN": _PASSWORD,
    "SCRAM-SHA-256": _PASSWORD,
    "SCRAM-SHA-512": _PASSWORD,
    "GSSAPI": ("sasl.kerberos.",),
    "oidc": ("sasl.oauthbearer.",),
    "unsecured": (_UNSECURED, _CONFIG),
    "callback": (_CONFIG,),
    "iam": ("region",),
}
_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI")
_REGION: Final = re.compile(r"[a-z0-9-]+")


def settle_login(
    options: Mapping[str, KafkaOption], kafka: dict[str, str], writer: WriterConfig, given: Mapping[str, Given]
) -> tuple[TokenSource | None, tuple[str, ...]]:
    """Check how the job logs in, put what follows from it into `kafka`, and return who makes its tokens.

    options   by spelling, as read_options returns them, the layers already merged
    kafka     what will be set, as settle returns it: the mechanism gets its capitals, OIDC its method
    given     the settings with their places

    Returns the source of tokens, None where none of ours are needed, and the warnings. Raises ConfigError.
    Source of the rules: rd_kafka_sasl_select_provider, rd_kafka_conf_finalize_oauthbearer_oidc.
    """
    protocol = kafka.get("security.protocol", "plaintext").lower()
    mechanism = options.get(_MECHANISM)
    name = "" if mechanism is None else mechanism.value.strip().upper()
    if not protocol.startswith("sasl_"):
        _refuse_ours(given, writer, f"security.protocol={protocol}")
        if name == "OAUTHBEARER" and not _named_sources(options, given, writer):
            _check_msk_protocol(protocol, options)
        return None, _idle(options, given, (), "without security.protocol=SASL_SSL or SASL_PLAINTEXT")
    if mechanism is None:
        raise ConfigError(
            f"{options['security.protocol']}: sasl.mechanism is missing; give one of {', '.join(_MECHANISMS)}"
        )
    kafka[_MECHANISM] = name
    if name == "OAUTHBEARER":
        return _settle_tokens(options, kafka, writer, given)
    _check_mechanism(mechanism, name, kafka)
    _refuse_ours(given, writer, f"sasl.mechanism={name}")
    return None, _idle(options, given, (_MECHANISM, *_LOOKS_AT[name]), f"with sasl.mechanism={name}")


def _check_mechanism(mechanism: KafkaOption, name: str, kafka: Mapping[str, str]) -> None:
    if name not in _MECHANISMS:
        hint = did_you_mean(mechanism.value, _MECHANISMS)
        raise ConfigError(f"{mechanism}: allowed: {', '.join(_MECHANISMS)}{hint}")
    if name == "GSSAPI" and refusal("builtin.features", "sasl_gssapi") is not None:
        raise ConfigError(
            f"{mechanism}: this librdkafka was built without Kerberos, as all of confluent-kafka's wheels are; build "
            "confluent-kafka on a librdkafka that has libsasl2 (pip install --no-binary confluent-kafka "
            "confluent-kafka), or give another mechanism"
        )
    missing = [option for option in _LOOKS_AT[name] if option in _PASSWORD and not kafka.get(option)]
    if missing:
        verb = "are" if len(missing) > 1 else "is"
        raise ConfigError(
            f"{mechanism}: it needs sasl.username and sasl.password, of which {' and '.join(missing)} {verb} missing"
        )


def _refuse_ours(given: Mapping[str, Given], writer: WriterConfig, found: str) -> None:
    for name in ("aws_iam", "aws_role_arn", "oauth_cb"):
        if getattr(writer, name):  # aws_iam=false asks for nothing
            raise ConfigError(
                f"{given[name].where} is about security.protocol=SASL_SSL with sasl.mechanism=OAUTHBEARER, found "
                f"{found}; give both options, or leave {name} out"
            )


def _idle(
    options: Mapping[str, KafkaOption], given: Mapping[str, Given], looked_at: tuple[str, ...], why: str
) -> tuple[str, ...]:
    """Warn about options that are not looked at, unless they say what is librdkafka's default anyway."""
    idle = [
        str(option)
        for name, option in options.items()
        if "sasl." in name and not name.startswith(looked_at) and option.value.lower() != _default(name)
    ]
    if "region" in given and "region" not in looked_at:
        idle.append(given["region"].where)
    if not idle:
        return ()
    return (f"{' and '.join(idle)} {'have' if len(idle) > 1 else 'has'} no effect {why}",)


def _default(name: str) -> str | None:
    row = property_table().get(name)
    return None if row is None else row.default.lower()


# --- OAUTHBEARER ---


def _settle_tokens(
    options: Mapping[str, KafkaOption], kafka: dict[str, str], writer: WriterConfig, given: Mapping[str, Given]
) -> tuple[TokenSource | None, tuple[str, ...]]:
    named = _named_sources(options, given, writer)
    if len(named) > 1:
        one, other = list(named.values())[:2]
        raise ConfigError(f"{one} and {other} exclude each other: both say where tokens come from; give one of them")
    if writer.aws_iam is False and "iam" in named:
        raise ConfigError(
            f"{given['aws_iam'].where}=false and {named['iam']} exclude each other; leave one of them out"
        )
    if writer.aws_iam is False and not named:
        raise ConfigError(
            f"{options[_MECHANISM]} with {given['aws_iam'].where}=false: nothing says where tokens come from; give "
            f"{_URL} for OIDC, oauth_cb for a function of your own, or {_UNSECURED}=true"
        )
    kind = next(iter(named), "iam")
    source = named.get(kind, "tokens of AWS MSK IAM, which OAUTHBEARER means where nothing else is named")
    warnings = _idle(options, given, (_MECHANISM, *_LOOKS_AT[kind]), f"with {source}")
    if kind == "iam":
        _check_msk_protocol(kafka["security.protocol"].lower(), options)
        return _msk_iam(options, writer, given), warnings
    if kind == "callback":
        # Of no use to librdkafka beside tokens that are set: so it need not travel to the workers.
        return TokenCallback(writer.oauth_cb, kafka.pop(_CONFIG, "")), warnings
    if kind == "oidc":
        warnings += _settle_oidc(kafka, source)
    return None, warnings


def _named_sources(
    options: Mapping[str, KafkaOption], given: Mapping[str, Given], writer: WriterConfig
) -> dict[str, str]:
    """Return the sources of tokens that the configuration names, each by what names it."""
    named: dict[str, str] = {}
    for name, kind, meant in (
        (_URL, "oidc", ""),  # whatever it is
        (_METADATA, "oidc", "azure_imds"),
        (_METHOD, "oidc", "oidc"),
        (_UNSECURED, "unsecured", "true"),
    ):
        value = options[name].value.lower() if name in options else ""
        if value and meant in {"", value}:
            named[kind] = str(options[name])
    for setting, kind in (("oauth_cb", "callback"), ("aws_role_arn", "iam"), ("aws_iam", "iam")):
        if getattr(writer, setting):
            named[kind] = given[setting].where
    return named


def _settle_oidc(kafka: dict[str, str], source: str) -> tuple[str, ...]:
    """Set the method, which librdkafka needs, and look for what it would miss."""
    if kafka.get(_METADATA, "none").lower() == "none":
        by_client = kafka.get(_GRANT, "client_credentials").lower() == "client_credentials"
        needed = (_URL, *_CLIENT) if by_client else (_URL,)
        missing = [name for name in needed if not kafka.get(name)]
        if missing:
            raise ConfigError(f"{source}: OIDC needs {' and '.join(needed)}, and has no {' and no '.join(missing)}")
    if kafka.get(_METHOD, "default").lower() == "oidc":
        return ()
    kafka[_METHOD] = "oidc"
    return (f"{source}: {_METHOD}=oidc is set with it, without which librdkafka would not look at it",)


# --- AWS MSK IAM ---


def _check_msk_protocol(protocol: str, options: Mapping[str, KafkaOption]) -> None:
    if protocol != "sasl_ssl":
        raise ConfigError(
            f"{options[_MECHANISM]} means AWS MSK IAM, which needs security.protocol=SASL_SSL, found {protocol}; give "
            f"SASL_SSL, or for another server say where tokens come from: {_URL} for OIDC, or oauth_cb"
        )


def _msk_iam(options: Mapping[str, KafkaOption], writer: WriterConfig, given: Mapping[str, Given]) -> MskIam:
    mechanism = options[_MECHANISM]
    for package in ("boto3", "aws_msk_iam_sasl_signer"):
        if importlib.util.find_spec(package) is None:
            raise ConfigError(
                f"{mechanism} means AWS MSK IAM, which needs the package {package}; "
                'install it with pip install "penstock[msk]"'
            )
    places = {given["region"].where: writer.region} if "region" in given else {}
    places |= {name: os.environ.get(name) for name in ("AWS_REGION", "AWS_DEFAULT_REGION")}
    where, region = next(
        ((where, value.strip()) for where, value in places.items() if value and value.strip()), ("the AWS profile", "")
    )
    region = region or _profile_region(mechanism)
    if not _REGION.fullmatch(region):
        raise ConfigError(f"{where}: {shown(region)} is not the name of an AWS region, such as eu-west-1")
    return MskIam(region, writer.aws_role_arn)


def _profile_region(mechanism: KafkaOption) -> str:
    """Return the region of the AWS profile; ConfigError where there is none."""
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - 0.1 s, for those who name the region nowhere else
    from botocore.session import Session  # noqa: PLC0415 - as above

    try:
        region, why = (Session().get_config_variable("region") or "").strip(), ""
    except BotoCoreError as error:  # a profile that is not there, a file that cannot be read
        region, why = "", f" ({error})"
    if not region:
        raise ConfigError(
            f"{mechanism} means AWS MSK IAM, which needs the region of the cluster, and there is none{why}; give it as "
            "`region` in the connector's transport.config (region=..., --region), or in the environment as AWS_REGION"
        )
    return str(region)
