"""The logins of Java's Kafka clients: sasl.mechanism, callback handlers and sasl.jaas.config, for java.py."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from penstock.config.connector import json_kind
from penstock.config.references import is_reference

if TYPE_CHECKING:
    from penstock.config.kafka.java import Java

__all__ = ["translate_login"]

_LOGINS: Final = {
    "PlainLoginModule": {"username": "sasl.username", "password": "sasl.password"},
    "ScramLoginModule": {"username": "sasl.username", "password": "sasl.password"},
    "Krb5LoginModule": {
        "keyTab": "sasl.kerberos.keytab",
        "principal": "sasl.kerberos.principal",
        "serviceName": "sasl.kerberos.service.name",
    },
    "OAuthBearerLoginModule": {
        "clientId": "sasl.oauthbearer.client.id",
        "clientSecret": "sasl.oauthbearer.client.secret",
        "scope": "sasl.oauthbearer.scope",
    },
    "IAMLoginModule": {},
}
_AWS_UNNEEDED: Final = ("awsDebugCreds", "awsRoleSessionName", "awsMaxRetries", "awsMaxBackOffTimeMs", "awsStsRegion")
_MSK: Final = "software.amazon.msk.auth.iam."


def translate_login(java: Java) -> None:
    """Turn how a client logs in into librdkafka's options and settings of ours; errors as java.translate."""
    _mechanism(java)
    _login(java)


def _mechanism(java: Java) -> None:
    for name in ("sasl.mechanism", "sasl.mechanisms"):
        if str(java.get(name)).upper() == "AWS_MSK_IAM":
            java.to.options[name] = "OAUTHBEARER"
            java.set("aws_iam", True, f"{name}=AWS_MSK_IAM")
    for name in ("sasl.client.callback.handler.class", "sasl.login.callback.handler.class"):
        value = java.take(name)
        if value is None:
            continue
        handler = str(value).rpartition(".")[2]
        if str(value).startswith(_MSK):
            java.set("aws_iam", True, name)
        elif handler == "OAuthBearerLoginCallbackHandler":
            java.put("sasl.oauthbearer.method", "oidc", name)
        elif handler in {"OAuthBearerSaslClientCallbackHandler", "SaslClientCallbackHandler"}:
            java.note(name, "is not needed: it chooses among parts of Java")
        else:
            raise java.error(
                name, ": code in Java cannot run here; give sasl.username and sasl.password, or for OAUTHBEARER a "
                "function that makes tokens, by the setting oauth_cb"
            )  # fmt: skip
    kinit = java.get("sasl.kerberos.kinit.cmd")
    if isinstance(kinit, str) and kinit and not kinit.strip().count(" ") and not is_reference(kinit):
        java.take("sasl.kerberos.kinit.cmd")  # the program alone; librdkafka's default calls it with keytab and all
        java.note("sasl.kerberos.kinit.cmd", "is not needed: kinit is called with the options that it needs")


def _login(java: Java) -> None:
    name = "sasl.jaas.config"
    text = java.take(name)
    if text is None:
        return
    if not isinstance(text, str):
        raise java.error(name, f" must be a text, found {json_kind(text)}")
    if is_reference(text):
        raise java.error(name, " cannot be a reference; give sasl.username and sasl.password, and these as references")
    from penstock.config.kafka.jaas import parse_jaas  # noqa: PLC0415 - for those who have one

    module, options = parse_jaas(text, f"{java.where}: {name}")
    simple = module.rpartition(".")[2]
    if simple not in _LOGINS:
        raise java.error(name, f": this login module has no counterpart; those that have are {', '.join(_LOGINS)}")
    _aws(java, options, msk=simple == "IAMLoginModule")
    for option, ours in _LOGINS[simple].items():
        if option in options:
            java.put(ours, options.pop(option), f"{name}: {option}")
    if simple == "OAuthBearerLoginModule":
        _bearer(java, options)
    if options.pop("tokenauth", "false").lower() == "true":
        raise java.error(
            name, ": tokenauth=true: librdkafka cannot log in with a delegation token; give a user's login"
        )
    for option in options:
        java.note(name, f"has the option {option}, which is not needed")


def _bearer(java: Java, options: dict[str, str]) -> None:
    name = "sasl.jaas.config"
    if java.get("sasl.oauthbearer.client.id") is not None:
        java.put("sasl.oauthbearer.method", "oidc", name)
    subject = options.pop("unsecuredLoginStringClaim_sub", None)
    if subject is not None:
        java.put("enable.sasl.oauthbearer.unsecure.jwt", "true", name)
        java.put("sasl.oauthbearer.config", f"principal={subject}", name)
    extensions = [option for option in options if option.startswith("extension_")]
    if extensions:
        pairs = [f"{option.removeprefix('extension_')}={options.pop(option)}" for option in extensions]
        java.put("sasl.oauthbearer.extensions", ",".join(pairs), name)


def _aws(java: Java, options: dict[str, str], *, msk: bool) -> None:
    """Take the options of MSK's login module; refuse those that say whose credentials to use in another way."""
    name = "sasl.jaas.config"
    if msk:
        java.set("aws_iam", True, name)
    for option in [option for option in options if option.startswith("aws")]:
        value = options.pop(option)
        if option == "awsRoleArn":
            java.set("aws_role_arn", value, f"{name}: {option}")
        elif option in _AWS_UNNEEDED:
            java.note(name, f"has the option {option}, which is not needed")
        elif option == "awsProfileName":
            if os.environ.get("AWS_PROFILE") != value:
                raise java.error(
                    name, f": {option}: set the environment variable AWS_PROFILE to that profile; it chooses it here"
                )
        else:
            raise java.error(
                name,
                f": {option} has no counterpart; give credentials and roles by the environment or by a profile in "
                "~/.aws/config",
            )
