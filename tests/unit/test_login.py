"""config.login: what the SASL options mean together, and who makes the tokens."""

from __future__ import annotations

import functools
import importlib.util
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from penstock.config import Config, load
from penstock.config.kafka import login as module
from penstock.config.kafka.login import MskIam, TokenCallback
from penstock.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

SSL = {"security.protocol": "SASL_SSL"}
PLAIN = {**SSL, "sasl.mechanism": "PLAIN", "sasl.username": "ada", "sasl.password": "hunter2"}
OAUTH = {**SSL, "sasl.mechanism": "OAUTHBEARER"}
URL = "sasl.oauthbearer.token.endpoint.url"
METHOD = "sasl.oauthbearer.method"
METADATA = "sasl.oauthbearer.metadata.authentication.type"
UNSECURED = "enable.sasl.oauthbearer.unsecure.jwt"
CLIENT = {"sasl.oauthbearer.client.id": "penstock", "sasl.oauthbearer.client.secret": "hunter3"}
OIDC = {**OAUTH, URL: "https://idp/token", **CLIENT}
REGION = {"region": "eu-west-1"}


@pytest.fixture(autouse=True)
def _no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine's AWS: no region, no credentials, no profile, no metadata service."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def loaded(options: dict[str, Any], **settings: Any) -> Config:
    return load(topic="t", kafka_options=options, **settings)


def refused(options: dict[str, Any], **settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(options, **settings)
    assert "hunter" not in str(caught.value)
    return str(caught.value)


# Mechanisms.


@pytest.mark.parametrize("protocol", ["SASL_SSL", "sasl_plaintext"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "plain", "SCRAM-SHA-256", "scram-sha-512"])
def test_passwords_log_in_over_both_protocols(protocol: str, mechanism: str) -> None:
    """Each mechanism by password passes, in the capitals without which librdkafka would not know it."""
    config = loaded({**PLAIN, "security.protocol": protocol, "sasl.mechanism": mechanism})
    assert (config.kafka["sasl.mechanism"], config.tokens, config.warnings) == (mechanism.upper(), None, ())


@pytest.mark.parametrize(
    ("options", "settings", "words"),
    [
        (SSL, {}, ["security.protocol=SASL_SSL (kafka_options", "sasl.mechanism is missing", "SCRAM-SHA-256"]),
        ({**PLAIN, "sasl.mechanism": "SCRAM-SHA-255"}, {}, ["=SCRAM-SHA-255", 'did you mean "SCRAM-SHA-256"']),
        ({**PLAIN, "sasl.mechanism": "SCRAM-SHA-1"}, {}, ["allowed: PLAIN, SCRAM-SHA-256"]),
        ({**PLAIN, "sasl.username": ""}, {}, ["of which sasl.username is missing"]),
        ({**SSL, "sasl.mechanisms": "PLAIN", "sasl.username": "a"}, {}, ["sasl.mechanisms=PLAIN", "sasl.password is"]),
        ({**SSL, "sasl.mechanism": "SCRAM-SHA-512"}, {}, ["sasl.username and sasl.password are missing"]),
        # settings that are about OAUTHBEARER
        (PLAIN, {"aws_iam": True}, ["aws_iam", "found sasl.mechanism=PLAIN"]),
        (PLAIN, {"aws_role_arn": "arn"}, ["aws_role_arn", "found sasl.mechanism=PLAIN"]),
        ({}, {"oauth_cb": "m:f"}, ["oauth_cb", "found security.protocol=plaintext"]),
        # where tokens come from
        ({**OAUTH, UNSECURED: True}, {"aws_iam": True}, [f"{UNSECURED}=true", "aws_iam exclude each other"]),
        (OIDC, {"oauth_cb": "m:f"}, [f"{URL}=https://idp/token", "oauth_cb exclude each other"]),
        ({**OIDC, UNSECURED: True}, {}, [URL, f"{UNSECURED}=true", "exclude each other"]),
        ({**OAUTH, METHOD: "OIDC"}, {"aws_role_arn": "arn"}, [f"{METHOD}=OIDC", "aws_role_arn exclude each other"]),
        (OAUTH, {"aws_iam": True, "oauth_cb": "m:f"}, ["oauth_cb and aws_iam exclude each other"]),
        (OAUTH, {"aws_iam": False}, ["aws_iam=false", "nothing says where tokens come from", URL, "oauth_cb"]),
        (OAUTH, {"aws_iam": False, "aws_role_arn": "arn"}, ["aws_iam=false and aws_role_arn exclude each other"]),
        # OIDC
        ({**OAUTH, METHOD: "oidc"}, {}, [f"OIDC needs {URL}", "client.id and no sasl.oauthbearer.client.secret"]),
        ({**OIDC, "sasl.oauthbearer.client.secret": ""}, {}, ["has no sasl.oauthbearer.client.secret"]),
        # AWS MSK IAM
        ({"sasl.mechanism": "OAUTHBEARER"}, REGION, ["AWS MSK IAM", "security.protocol=SASL_SSL, found plaintext"]),
        ({**OAUTH, "security.protocol": "SASL_PLAINTEXT"}, REGION, ["AWS MSK IAM", "found sasl_plaintext", URL]),
        (OAUTH, {}, ["region of the cluster", "transport.config", "--region", "AWS_REGION"]),
        (OAUTH, {"region": "<AWS_REGION>"}, ['region: "<AWS_REGION>" is not', "eu-west-1"]),
    ],
)  # fmt: skip
def test_what_cannot_log_in_is_refused(options: dict[str, Any], settings: dict[str, Any], words: list[str]) -> None:
    """What librdkafka would say in a worker, or never, is said before anything is opened, without a secret."""
    sentence = refused(options, **settings)
    for word in words:
        assert word in sentence


@pytest.mark.parametrize("there", [True, False])
def test_kerberos_is_for_the_builds_that_have_it(monkeypatch: pytest.MonkeyPatch, *, there: bool) -> None:
    """GSSAPI passes with a librdkafka that has it; without, the sentence says which build does."""
    options = {**SSL, "sasl.mechanism": "GSSAPI", "sasl.kerberos.keytab": "k"}
    if there:
        monkeypatch.setattr(module, "refusal", lambda *_: None)
        assert loaded(options).warnings == ()
    else:
        sentence = refused(options)
        assert "libsasl2" in sentence
        assert "--no-binary" in sentence


@pytest.mark.parametrize(
    ("options", "settings", "words"),
    [
        ({**PLAIN, "security.protocol": "PLAINTEXT"}, {}, ["sasl.mechanism=PLAIN", "sasl.username=ada", "SASL_SSL"]),
        ({**PLAIN, "security.protocol": "SSL"}, {}, ["sasl.password=<not shown>", "have no effect without"]),
        ({}, REGION, ["region has no effect without security.protocol"]),
        (PLAIN, REGION, ["region has no effect with sasl.mechanism=PLAIN"]),
        ({**PLAIN, METHOD: "oidc"}, {}, [f"{METHOD}=oidc", "has no effect with sasl.mechanism=PLAIN"]),
        ({**PLAIN, METHOD: "default", UNSECURED: False}, {}, []),  # what is said anyway
        ({**OAUTH, "sasl.username": "u"}, REGION, ["sasl.username=u", "tokens of AWS MSK IAM"]),
        ({**OAUTH, "sasl.oauthbearer.scope": "s"}, REGION, ["sasl.oauthbearer.scope=s", "tokens of AWS MSK IAM"]),
        ({**OAUTH, "sasl.oauthbearer.scope": "s"}, {"oauth_cb": "m:f"}, ["scope=s", "no effect with oauth_cb"]),
        ({**OAUTH, UNSECURED: True}, REGION, ["region has no effect with", UNSECURED]),
        (OIDC, {}, [f"{URL}=https://idp/token", f"{METHOD}=oidc is set with it"]),
        ({**OIDC, METHOD: "oidc"}, {}, []),
        ({**OIDC, METHOD: "oidc", "sasl.oauthbearer.scope": "s"}, {"aws_iam": False}, []),
    ],
)
def test_what_has_no_effect_is_said(options: dict[str, Any], settings: dict[str, Any], words: list[str]) -> None:
    """An option that nothing looks at is a warning, which shows no secret; one that is looked at is not."""
    warnings = " ".join(loaded(options, **settings).warnings)
    assert bool(warnings) == bool(words)
    assert "hunter" not in warnings
    for word in words:
        assert word in warnings


# OAUTHBEARER.


@pytest.mark.parametrize(
    "options",
    [
        OIDC,
        {**OAUTH, UNSECURED: True},
        {**OAUTH, URL: "u", "sasl.oauthbearer.grant.type": "urn:ietf:params:oauth:grant-type:jwt-bearer"},
        {**OAUTH, METADATA: "azure_imds", "sasl.oauthbearer.config": "query=x"},
    ],
)
def test_tokens_of_librdkafka_need_none_of_ours(options: dict[str, Any]) -> None:
    """OIDC in its forms and unsecured tokens are librdkafka's; OIDC gets the method that it needs."""
    config = loaded(options)
    assert config.tokens is None
    assert config.kafka.get(METHOD, "default") == ("default" if UNSECURED in options else "oidc")


@pytest.mark.parametrize("settings", [{}, {"aws_iam": True}, {"aws_role_arn": "arn:aws:iam::1:role/r"}])
def test_oauthbearer_means_msk_iam(settings: dict[str, Any]) -> None:
    """Without another source of tokens OAUTHBEARER is AWS MSK IAM, however it is spelt."""
    config = loaded({**SSL, "sasl.mechanisms": "oauthbearer"}, **REGION, **settings)
    assert config.tokens == MskIam("eu-west-1", settings.get("aws_role_arn"))
    assert (config.kafka["sasl.mechanism"], config.warnings) == ("OAUTHBEARER", ())


def test_the_region_that_is_named_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Setting, AWS_REGION, AWS_DEFAULT_REGION, then the profile in use; a blank one is none."""

    def region(**settings: str) -> str:
        tokens = loaded(OAUTH, **settings).tokens
        assert isinstance(tokens, MskIam)
        return tokens.region

    (tmp_path / "config").write_text("[default]\nregion = of-default\n[profile p]\nregion = of-p\n")
    assert region() == "of-default"
    monkeypatch.setenv("AWS_PROFILE", "p")
    assert region() == "of-p"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "second")
    assert region() == "second"
    monkeypatch.setenv("AWS_REGION", "  ")
    assert region() == "second"
    monkeypatch.setenv("AWS_REGION", "first")
    assert region(region=" ") == region(region="") == "first"
    assert region(region="named") == "named"
    connector = {"transport": {"config": {"topic": "t", **OAUTH, "region": "of-connector"}}}
    assert load(connector).tokens == MskIam("of-connector")


def test_a_profile_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS_PROFILE names no profile, and nothing else a region: the error says both."""
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    sentence = refused(OAUTH)
    assert "(The config profile (nobody) could not be found)" in sentence
    assert "AWS_REGION" in sentence


@pytest.mark.parametrize("package", ["boto3", "aws_msk_iam_sasl_signer"])
def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Without a package of AWS's the error says how to install it."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find(name))
    assert 'pip install "penstock[msk]"' in refused(OAUTH, **REGION)
    assert package in refused(OAUTH, **REGION)


def test_a_callback_takes_sasl_oauthbearer_config_with_it() -> None:
    """The function gets the option's text, which then goes no further."""
    config = loaded({**OAUTH, "sasl.oauthbearer.config": "secret=hunter2"}, oauth_cb="auth:token")
    assert config.tokens == TokenCallback("auth:token", "secret=hunter2")
    assert "sasl.oauthbearer.config" not in config.kafka
    assert config.warnings == ()


def test_a_source_of_tokens_travels_and_hides_what_is_secret() -> None:
    """A Config with tokens survives msgpack; its repr shows neither the callback's text nor what it is bound to."""
    for settings in (REGION, {"oauth_cb": "auth:token"}):
        config = loaded(OAUTH, **settings)
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(config), type=Config) == config
    function = functools.partial(print, "hunter2")
    text = repr(loaded({**OAUTH, "sasl.oauthbearer.config": "hunter3"}, oauth_cb=function))
    assert "TokenCallback(partial)" in text
    assert "hunter" not in text
    assert "auth:token" in repr(config)


def test_a_preview_needs_no_login() -> None:
    """Nothing is sent, so nothing of a login is asked for."""
    assert loaded(OAUTH, for_preview=True).tokens is None
    assert loaded({**SSL, "sasl.mechanism": "GSSAPI"}, for_preview=True).warnings == ()
