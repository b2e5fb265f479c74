"""java_options, jaas: what a Java client is configured by, in librdkafka's words or named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.config import load
from penstock.config.kafka import java as java_options
from penstock.config.kafka import java_login
from penstock.config.kafka.jaas import parse_jaas
from penstock.config.kafka.java import translate
from penstock.config.kafka.login import MskIam
from penstock.config.kafka.options import property_table
from penstock.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

SECURITY = "org.apache.kafka.common.security"
PLAIN = f'{SECURITY}.plain.PlainLoginModule required username="alice" password="hun;\\"ter2";'
SCRAM = f"{SECURITY}.scram.ScramLoginModule required username='alice' password='hun\"ter2' ;"
BEARER = f"{SECURITY}.oauthbearer.OAuthBearerLoginModule required"
IAM = "software.amazon.msk.auth.iam"


def refusal_of(options: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as raised:
        translate(options, "here")
    sentence = str(raised.value)
    assert sentence.startswith("here: ")
    assert "hun" not in sentence
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize(
    ("java", "ours"),
    [
        ({"max.request.size": 2000000}, {"message.max.bytes": 2000000}),
        ({"max.request.size": "${env:SIZE}"}, {"message.max.bytes": "${env:SIZE}"}),
        ({"max.request.size": "5", "message.max.bytes": 5}, {"message.max.bytes": 5}),
        ({"buffer.memory": "33554432"}, {"queue.buffering.max.kbytes": "32768"}),
        ({"buffer.memory": 100}, {"queue.buffering.max.kbytes": "1"}),
        ({"send.buffer.bytes": 5, "receive.buffer.bytes": "-1"},
         {"socket.send.buffer.bytes": 5, "socket.receive.buffer.bytes": "0"}),
        ({"compression.type": "ZSTD", "compression.zstd.level": 3, "compression.gzip.level": 9},
         {"compression.type": "ZSTD", "compression.level": 3}),
        ({"partitioner.class": "org.apache.kafka.clients.producer.internals.DefaultPartitioner"}, {}),
        ({"partitioner.class": ""}, {}),
        ({"partitioner.class": "org.apache.kafka.clients.producer.UniformStickyPartitioner"},
         {"partitioner": "random"}),
        ({"partitioner.ignore.keys": "true"}, {"partitioner": "random"}),
        ({"partitioner.ignore.keys": False}, {}),
        ({"key.deserializer": "x", "fetch.max.wait.ms": 5}, {}),
        ({"acks": "all", "linger.ms": 5, "delivery.timeout.ms": "9", 5: 6},
         {"acks": "all", "linger.ms": 5, "delivery.timeout.ms": "9", 5: 6}),
        # TLS
        ({"ssl.truststore.certificates": "a", "ssl.keystore.certificate.chain": "b", "ssl.keystore.key": "c",
          "ssl.keystore.type": "PEM", "ssl.truststore.type": "pem", "ssl.key.password": "d"},
         {"ssl.ca.pem": "a", "ssl.certificate.pem": "b", "ssl.key.pem": "c", "ssl.key.password": "d"}),
        ({"ssl.truststore.location": "/ca", "ssl.truststore.type": "PEM", "ssl.truststore.password": "d"},
         {"ssl.ca.location": "/ca"}),
        ({"ssl.truststore.location": "/ca.crt"}, {"ssl.ca.location": "/ca.crt"}),
        ({"ssl.truststore.location": "${env:CA}", "ssl.truststore.type": "PEM"}, {"ssl.ca.location": "${env:CA}"}),
        ({"ssl.keystore.location": "/k", "ssl.keystore.type": "PEM", "ssl.keystore.password": "d"},
         {"ssl.certificate.location": "/k", "ssl.key.location": "/k"}),
        ({"ssl.keystore.location": "/k", "ssl.keystore.type": "pkcs12", "ssl.keystore.password": "d"},
         {"ssl.keystore.location": "/k", "ssl.keystore.password": "d"}),
        ({"ssl.keystore.location": "/k"}, {"ssl.keystore.location": "/k"}),
        ({"ssl.endpoint.identification.algorithm": ""}, {"ssl.endpoint.identification.algorithm": "none"}),
        ({"ssl.endpoint.identification.algorithm": "https"}, {"ssl.endpoint.identification.algorithm": "https"}),
        # logins
        ({"sasl.jaas.config": PLAIN}, {"sasl.username": "alice", "sasl.password": 'hun;"ter2'}),
        ({"sasl.jaas.config": SCRAM, "sasl.username": "alice"},
         {"sasl.username": "alice", "sasl.password": 'hun"ter2'}),
        ({"sasl.jaas.config": PLAIN.replace("alice", "${env:USER}")},
         {"sasl.username": "${env:USER}", "sasl.password": 'hun;"ter2'}),
        ({"sasl.jaas.config": 'com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true storeKey=true\n'
                              'keyTab="/a.keytab" principal="alice@X" serviceName="kafka";',
          "sasl.kerberos.kinit.cmd": "/usr/bin/kinit"},
         {"sasl.kerberos.keytab": "/a.keytab", "sasl.kerberos.principal": "alice@X",
          "sasl.kerberos.service.name": "kafka"}),
        ({"sasl.kerberos.kinit.cmd": "kinit -k x"}, {"sasl.kerberos.kinit.cmd": "kinit -k x"}),
        ({"sasl.jaas.config": f'{BEARER} clientId="i" clientSecret="s" scope="a b" extension_x="1" extension_y="2";',
          "sasl.login.callback.handler.class": f"{SECURITY}.oauthbearer.secured.OAuthBearerLoginCallbackHandler"},
         {"sasl.oauthbearer.client.id": "i", "sasl.oauthbearer.client.secret": "s", "sasl.oauthbearer.scope": "a b",
          "sasl.oauthbearer.extensions": "x=1,y=2", "sasl.oauthbearer.method": "oidc"}),
        ({"sasl.jaas.config": f'{BEARER} clientId="i";'},
         {"sasl.oauthbearer.client.id": "i", "sasl.oauthbearer.method": "oidc"}),
        ({"sasl.jaas.config": f'{BEARER} unsecuredLoginStringClaim_sub="bob";'},
         {"enable.sasl.oauthbearer.unsecure.jwt": "true", "sasl.oauthbearer.config": "principal=bob"}),
    ],
)  # fmt: skip
def test_what_has_an_equivalent_is_translated(java: dict[Any, Any], ours: dict[Any, Any]) -> None:
    """librdkafka's names and values take the place of Java's, references untouched, without a warning."""
    translation = translate(java, "here")
    assert translation.options == ours
    assert (translation.settings, translation.warnings) == ({}, [])
    assert "hun" not in str(translation.notes)


@pytest.mark.parametrize(
    ("java", "mechanism", "role"),
    [
        ({"sasl.mechanism": "AWS_MSK_IAM", "sasl.client.callback.handler.class": f"{IAM}.IAMClientCallbackHandler",
          "sasl.jaas.config": f"{IAM}.IAMLoginModule required;"}, "sasl.mechanism", None),
        ({"sasl.mechanisms": "aws_msk_iam"}, "sasl.mechanisms", None),
        ({"sasl.mechanism": "AWS_MSK_IAM",
          "sasl.jaas.config": f'{IAM}.IAMLoginModule required awsRoleArn="arn:aws:iam::1:role/r" awsDebugCreds=true;'},
         "sasl.mechanism", "arn:aws:iam::1:role/r"),
        ({"sasl.mechanism": "OAUTHBEARER", "sasl.jaas.config": f'{BEARER} awsRoleArn="arn:aws:iam::1:role/r";',
          "sasl.login.callback.handler.class": f"{IAM}.IAMOAuthBearerLoginCallbackHandler",
          "sasl.client.callback.handler.class": f"{IAM}.IAMOAuthBearerLoginCallbackHandler"},
         "sasl.mechanism", "arn:aws:iam::1:role/r"),
    ],
)  # fmt: skip
def test_msk_iam_becomes_settings(java: dict[str, Any], mechanism: str, role: str | None) -> None:
    """AWS's login module is the mechanism OAUTHBEARER and settings of ours."""
    translation = translate(java, "here")
    assert translation.options == {mechanism: "OAUTHBEARER"}
    settings = {name: one.value for name, one in translation.settings.items()}
    assert settings == {"aws_iam": True} | ({} if role is None else {"aws_role_arn": role})
    assert all(one.where.startswith("here: sasl.") for one in translation.settings.values())


@pytest.mark.parametrize(
    ("java", "words"),
    [
        ({"max.request.size": 5, "message.max.bytes": 6}, ["message.max.bytes and max.request.size", '"6" and "5"']),
        ({"sasl.jaas.config": PLAIN, "sasl.password": "hunter3"}, ["sasl.password", "two values; give one"]),
        ({"buffer.memory": "${env:X}"}, ["buffer.memory", "give queue.buffering.max.kbytes"]),
        ({"partitioner.class": "org.acme.MyPartitioner"}, ["partitioner.class", "setting partitioner"]),
        ({"ssl.truststore.location": "/a b.jks"}, ["JKS", "`keytool -list -rfc -keystore '/a b.jks' > ca.pem`"]),
        ({"ssl.truststore.location": "/a", "ssl.truststore.type": "PKCS12"}, ["PKCS12", "ssl.ca.location=ca.pem"]),
        ({"ssl.truststore.location": "${env:A}"}, ["JKS", "-keystore FILE"]),
        ({"ssl.keystore.location": "/a", "ssl.keystore.type": "JKS"}, ["-srckeystore /a", "PKCS12"]),
        ({"ssl.keystore.location": "/a.jks"}, ["ssl.keystore.location=client.p12"]),
        ({"ssl.cipher.suites": "TLS_AES_128_GCM_SHA256"}, ["ssl.cipher.suites", "OpenSSL"]),
        ({"ssl.engine.factory.class": "x"}, ["code in Java"]),
        ({"config.providers": "env", "sasl.password": "${env:hun}"}, ["config.providers", "${env:NAME}"]),
        ({"max.request.size": None}, ["max.request.size is null", "leave it out"]),
        ({"sasl.jaas.config": None}, ["sasl.jaas.config is null"]),
        ({"sasl.login.callback.handler.class": "org.acme.Handler"}, ["code in Java", "oauth_cb"]),
        ({"sasl.jaas.config": "${secret:kubernetes:a/b}"}, ["sasl.username", "these as references"]),
        ({"sasl.jaas.config": 5}, ["must be a text, found a number"]),
        ({"sasl.jaas.config": "org.acme.hunModule required;"}, ["no counterpart", "PlainLoginModule"]),
        ({"sasl.jaas.config": f'{SECURITY}.scram.ScramLoginModule required tokenauth="true";'}, ["delegation token"]),
        ({"sasl.jaas.config": f'{IAM}.IAMLoginModule required awsProfileName="hun";'}, ["AWS_PROFILE"]),
        ({"sasl.jaas.config": f'{IAM}.IAMLoginModule required awsRoleExternalId="hun";'}, ["~/.aws"]),
    ],
)  # fmt: skip
def test_what_would_be_another_job_is_refused(java: dict[str, Any], words: list[str]) -> None:
    """Java keystores, Java code and contradictions are errors that say what to give; no secret is shown."""
    sentence = refusal_of(java)
    for word in words:
        assert word in sentence


def test_the_profile_that_is_set_already_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile in the login module's options is the environment's, or it is refused."""
    monkeypatch.setenv("AWS_PROFILE", "work")
    assert translate({"sasl.jaas.config": f'{IAM}.IAMLoginModule required awsProfileName="work";'}, "here").settings


@pytest.mark.parametrize(
    "text",
    [
        "hunter2", "", PLAIN[:-1], PLAIN + PLAIN, PLAIN.replace("required", "hun"), PLAIN.replace("required", ""),
        'x.PlainLoginModule required username="hun', 'x.PlainLoginModule required "hun"="x";',
        "x.PlainLoginModule required username=;", 'x.PlainLoginModule required username "hun";',
        'x.PlainLoginModule required password=hun"ter2";', "x.PlainLoginModule required hun;",
        'x.PlainLoginModule required password="hun\nter2";', "x.PlainLoginModule required; hun",
    ],
)  # fmt: skip
def test_malformed_jaas_is_refused_unseen(text: str) -> None:
    """A login that cannot be read is refused, and nothing of its text is shown."""
    assert "its text is not shown" in refusal_of({"sasl.jaas.config": text})


@given(
    st.dictionaries(st.from_regex(r"[a-zA-Z_]\w{0,5}", fullmatch=True), st.text(max_size=6), max_size=3),
    st.sampled_from([" ", "\n ", " /* = ; */ ", " // x\n"]),
)
def test_jaas_options_come_back(options: dict[str, str], gap: str) -> None:
    """Any values in quotation marks, with comments and line ends between options, are read as they were."""
    text = f"a.b$C{gap}Required"
    for name, value in options.items():
        quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        text += f'{gap}{name}{gap}={gap}"{quoted}"'
    assert parse_jaas(f"{text}{gap};{gap}", "here") == ("a.b$C", options)


# Policy.


def test_loss_is_a_warning_and_the_rest_a_note() -> None:
    """What is lost is said aloud, what is taken in other words only to those who look."""
    _, _, _, warnings, notes = translate(
        {"interceptor.classes": "x", "ssl.enabled.protocols": "TLSv1.2", "key.serializer": "y", "max.request.size": 5},
        "here",
    )
    assert [warning.partition(":")[2].split()[0] for warning in warnings] == [
        "interceptor.classes",
        "ssl.enabled.protocols",
    ]
    assert notes == [
        "here: key.serializer is not needed: penstock encodes rows itself; format and key_format say how",
        "here: max.request.size is message.max.bytes here",
    ]


def test_names_of_java_are_not_librdkafkas() -> None:
    """Nothing that librdkafka knows is renamed or dropped, and what is renamed becomes something that it knows."""
    table = property_table()
    names = {*java_options._RENAMED, *java_options._NOT_NEEDED, *java_options._LOST, *java_options._CONSUMERS}
    assert {name for name in names if name in table and table[name].scope != "C"} == set()
    ours = {*java_options._RENAMED.values(), *(name for of in java_login._LOGINS.values() for name in of.values())}
    assert ours <= set(table)


def test_a_java_producers_file_is_a_configuration(tmp_path: Path) -> None:
    """A .properties file as Java's documentation shows it loads, from file and as kafka_options alike."""
    text = f"""
bootstrap.servers=broker-1:9093,broker-2:9093
security.protocol=SASL_SSL
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config={SCRAM[:60]}\\
    {SCRAM[60:]}
ssl.endpoint.identification.algorithm=
acks=all
batch.size=16384
linger.ms=10
compression.type=snappy
delivery.timeout.ms=120000
max.request.size=1048576
buffer.memory=33554432
max.block.ms=60000
key.serializer={SECURITY}.StringSerializer
value.serializer={SECURITY}.ByteArraySerializer
topic=orders
"""
    path = tmp_path / "producer.properties"
    path.write_text(text)
    config = load(path)
    wanted = {
        "bootstrap.servers": "broker-1:9093,broker-2:9093", "sasl.username": "alice", "sasl.password": 'hun"ter2',
        "ssl.endpoint.identification.algorithm": "none", "message.max.bytes": "1048576", "acks": "all",
        "queue.buffering.max.kbytes": "32768", "message.timeout.ms": "120000", "compression.type": "snappy",
    }  # fmt: skip
    assert wanted.items() <= config.kafka.items()
    (warning,) = config.warnings
    assert "max.block.ms has no effect" in warning
    assert 'hun"ter2' not in f"{config!r} {config.notes}"


def test_settings_that_follow_give_way_to_those_given() -> None:
    """What an option implies is as high as its place: above a lower one's setting, and in one file they must agree."""
    iam = {"sasl.mechanism": "AWS_MSK_IAM", "sasl.jaas.config": f'{IAM}.IAMLoginModule required awsRoleArn="a";'}
    rest = {"security.protocol": "SASL_SSL", "region": "eu-west-1", "topic": "t"}
    file = {"transport": {"config": {**iam, **rest}}}
    assert (load(file).writer.aws_iam, load(file).writer.aws_role_arn) == (True, "a")
    assert load(file, aws_role_arn="b").writer.aws_role_arn == "b"
    assert load({"transport": {"config": rest}}, kafka_options=iam).writer.aws_role_arn == "a"
    lower = {"transport": {"config": rest}, "writer": {"aws_iam": False, "aws_role_arn": "b"}}
    assert load(lower, kafka_options=iam).tokens == MskIam("eu-west-1", "a")
    with pytest.raises(ConfigError, match=r"writer.aws_role_arn and .*sasl.jaas.config.* differ"):
        load({**file, "writer": {"aws_role_arn": "b"}})


def test_what_follows_from_a_login_falls_with_it(tmp_path: Path) -> None:
    """A mechanism named in a higher place takes the lower one's AWS with it; another way to AWS leaves the role."""
    file = tmp_path / "java.properties"
    file.write_text(
        "topic=t\nregion=eu-west-1\nsecurity.protocol=SASL_SSL\nsasl.mechanism=AWS_MSK_IAM\n"
        f'sasl.jaas.config={IAM}.IAMLoginModule required awsRoleArn="a";\nwriter.aws_iam=true\n'
    )
    assert load(file).tokens == MskIam("eu-west-1", "a")
    assert load(file, kafka_options={"sasl.mechanism": "OAUTHBEARER"}).tokens == MskIam("eu-west-1", "a")
    file.write_text(file.read_text().replace("writer.aws_iam=true\n", ""))
    plain = {"sasl.mechanism": "PLAIN", "sasl.username": "u", "sasl.password": "p"}
    config = load(file, kafka_options=plain, aws_iam=False)
    assert (config.tokens, config.kafka["sasl.mechanism"]) == (None, "PLAIN")


def test_errors_name_the_option_that_was_given() -> None:
    """What librdkafka says of a translated value stands beside the name that the user wrote."""
    with pytest.raises(ConfigError) as raised:
        load(topic="t", kafka_options={"buffer.memory": "many"})
    assert "(kafka_options or -X: buffer.memory)" in str(raised.value)
