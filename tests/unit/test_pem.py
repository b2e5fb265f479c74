"""pem, certificates, tls: what TLS options hold, put right and refused; librdkafka judges both."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, PrivateFormat, pkcs12
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock import _core
from penstock.config import load
from penstock.config.kafka.options import load_librdkafka
from penstock.config.kafka.pem import read_blocks
from penstock.errors import ConfigError
from pki import CLIENT, KEY_PASSWORD, issue, make_pki

if TYPE_CHECKING:
    from pathlib import Path

ROOT = issue("root")
MIDDLE = issue("middle", ROOT)
ALICE = issue("alice", MIDDLE, use=CLIENT)
BOB = issue("bob", ROOT, use=CLIENT)
LATE = issue("late", ROOT, use=CLIENT, days=(-30, -1))
EARLY = issue("early", ROOT, use=CLIENT, days=(2, 30))
OLD_ROOT, OLD_MIDDLE = issue("old root", days=(-30, -1)), issue("old middle", ROOT, days=(-30, -1))
OF_OLD_MIDDLE = issue("heir", OLD_MIDDLE, use=CLIENT)
CHAIN = ALICE.pem + MIDDLE.pem + ROOT.pem
KEY = ALICE.key_pem()
LOCKED = ALICE.key_pem(KEY_PASSWORD)
LOCKED_OLD = ALICE.key_pem(KEY_PASSWORD, PrivateFormat.TraditionalOpenSSL)
PARAMETERS = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
PLACEHOLDER = "-----BEGIN CERTIFICATE-----TOPSECRET0\n-----END CERTIFICATE-----\n"


def settle(**options: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """The ssl options that a job would set, and its warnings; underscores stand for dots."""
    named = {"security.protocol": "SSL"} | {name.replace("_", "."): value for name, value in options.items()}
    config = load(topic="t", kafka_options=named)
    return {name: value for name, value in config.kafka.items() if name.startswith("ssl.")}, config.warnings


def tls(**options: str) -> dict[str, str]:
    settled, warnings = settle(**options)
    assert warnings == ()
    return settled


def refusal_of(**options: str) -> str:
    with pytest.raises(ConfigError) as raised:
        settle(**options)
    sentence = str(raised.value)
    assert "\n" not in sentence
    assert sentence.startswith("ssl.")
    for value in options.values():
        for line in value.splitlines() if "-----" in value else ():
            assert not line or "-----" in line or line not in sentence
    return sentence


def librdkafka_says(**options: str) -> str | None:
    """What librdkafka has against these options when a client is made of them."""
    load_librdkafka()
    named = [(name.replace("_", "."), value) for name, value in options.items()]
    try:
        _core.Producer(
            configuration=[("security.protocol", "ssl"), ("bootstrap.servers", "[::1]:1"), ("log_level", "0"), *named],
            topic="t", headers=[], window_messages=1, queue_bytes=1 << 20, slab_bytes=1 << 20,
            audit=False, check_signals=False,
        ).close()  # fmt: skip
    except ValueError as error:
        return str(error)
    return None


def file(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


# Put right.

MISPRINTS: dict[str, tuple[str, str, str | None]] = {
    "reversed": (MIDDLE.pem + ALICE.pem + ROOT.pem, KEY, "key values mismatch"),
    "any order": (ROOT.pem + MIDDLE.pem + ALICE.pem, KEY, "key values mismatch"),
    "literal line ends": (CHAIN.replace("\n", "\\n"), KEY.replace("\n", "\\n"), "no start line"),
    "written twice": (CHAIN.replace("\n", "\\\\n"), KEY, "no start line"),
    "one line": (CHAIN.replace("\n", " "), KEY.replace("\n", " "), "no start line"),
    "no line ends": (CHAIN.replace("\n", ""), KEY.replace("\n", ""), "no start line"),
    "indented": (CHAIN.replace("\n", "\n    "), KEY, "bad end line"),
    "carriage returns": (CHAIN.replace("\n", "\r\n"), KEY.replace("\n", "\r\n"), None),
    "words": (f"Bag\n{ALICE.pem}issuer=x\n{MIDDLE.pem}{ROOT.pem}the end\n", f"Key Attributes\n{KEY}", None),
    "all in one": (KEY + CHAIN, CHAIN + PARAMETERS + KEY, None),
    "twice the same": (ALICE.pem + CHAIN, KEY + KEY, None),
}  # fmt: skip


@pytest.mark.parametrize("case", MISPRINTS)
def test_what_is_meant_is_what_is_passed_on(case: str) -> None:
    """However certificates and key are misprinted, librdkafka gets the same text, and takes it."""
    certificate, key, said = MISPRINTS[case]
    settled = tls(ssl_certificate_pem=certificate, ssl_key_pem=key)
    assert settled["ssl.certificate.pem"] == CHAIN
    assert settled["ssl.key.pem"] == KEY
    raw = librdkafka_says(ssl_certificate_pem=certificate, ssl_key_pem=key)
    assert raw is None if said is None else said in str(raw)
    assert librdkafka_says(**{name.replace(".", "_"): value for name, value in settled.items()}) is None


@settings(max_examples=60, deadline=None)
@given(
    order=st.permutations([ALICE.pem, MIDDLE.pem, ROOT.pem]),
    words=st.lists(st.text().filter(lambda text: "-----" not in text and "\0" not in text), min_size=4, max_size=4),
    end=st.sampled_from(["\n", "\r\n", "\\n", "\\r\\n", " ", "\n\t", ""]),
)
def test_order_words_and_line_ends_make_no_difference(order: list[str], words: list[str], end: str) -> None:
    """Any words between, any order of the chain and any line ends give one and the same text."""
    blocks = [block.replace("\n", end) for block in order]
    text = "".join(word + block for word, block in zip(words, [*blocks, ""], strict=True))
    assert tls(ssl_certificate_pem=text, ssl_key_pem=KEY.replace("\n", end))["ssl.certificate.pem"] == CHAIN


@pytest.mark.parametrize("locked", [LOCKED, LOCKED_OLD], ids=["PKCS #8", "old"])
@pytest.mark.parametrize("end", ["\n", "\\n", " "])
def test_an_encrypted_key_keeps_its_form(locked: str, end: str) -> None:
    """It is passed on encrypted, with the headers of the old form, and librdkafka opens it."""
    options = {"ssl_certificate_pem": CHAIN, "ssl_key_pem": locked.replace("\n", end), "ssl_key_password": KEY_PASSWORD}
    settled = tls(**options)
    assert settled["ssl.key.pem"] == locked
    assert librdkafka_says(**options | {"ssl_key_pem": settled["ssl.key.pem"]}) is None


def test_keys_of_rsa_in_either_form() -> None:
    """RSA keys are matched like any other, as PKCS #1 too."""
    one = issue("rsa", ROOT, use=CLIENT, key=rsa.generate_private_key(65537, 2048))
    for key in (one.key_pem(), one.key_pem(form=PrivateFormat.TraditionalOpenSSL)):
        assert tls(ssl_certificate_pem=one.pem, ssl_key_pem=key)["ssl.key.pem"] == key
    assert "matches no certificate" in refusal_of(ssl_certificate_pem=one.pem, ssl_key_pem=KEY)


def test_issuers_are_known_by_signature_not_by_name() -> None:
    """Of two authorities of one name the one that has signed comes next; the other stays, after the chain."""
    impostor = issue("middle", ROOT)
    settled = tls(ssl_certificate_pem=impostor.pem + MIDDLE.pem + ALICE.pem, ssl_key_pem=KEY)
    assert settled["ssl.certificate.pem"] == ALICE.pem + MIDDLE.pem + impostor.pem
    renewed = issue("alice", MIDDLE, use=CLIENT, days=(-1, 60), key=ALICE.key)
    settled = tls(ssl_certificate_pem=ALICE.pem + renewed.pem, ssl_key_pem=KEY)
    assert settled["ssl.certificate.pem"] == renewed.pem + ALICE.pem


def test_pem_takes_the_place_of_the_location(tmp_path: Path) -> None:
    """The location is dropped with a warning, as librdkafka would trust both authorities, and is not even read."""
    nowhere = str(tmp_path / "nowhere")
    for role, text in (("ca", ROOT.pem), ("certificate", CHAIN), ("key", KEY)):
        options = {"ssl_certificate_pem": CHAIN, "ssl_key_pem": KEY} if role != "ca" else {}
        options |= {f"ssl_{role}_pem": text, f"ssl_{role}_location": nowhere}
        settled, warnings = settle(**options)
        assert f"ssl.{role}.location" not in settled
        place = f"ssl.{role}.location={nowhere} (kafka_options or -X)"
        assert warnings == (f"{place} has no effect: ssl.{role}.pem is given too; leave one of them out",)


# Taken as it is.


def test_locations_stay_locations(tmp_path: Path) -> None:
    """Files that are right are left to librdkafka, which takes them; so is a directory of authorities, and probing."""
    pki = make_pki(tmp_path)
    pair = {"ssl_certificate_location": str(pki["alice_chain"]), "ssl_key_location": str(pki["alice_key"])}
    both = file(tmp_path / "both.pem", KEY + CHAIN + "the end")
    marked = file(tmp_path / "marked.pem", "\ufeff" + CHAIN.replace("\n", "\r\n"))
    for options in (
        pair,
        pair | {"ssl_key_location": str(pki["alice_key_encrypted"]), "ssl_key_password": KEY_PASSWORD},
        {"ssl_certificate_location": both, "ssl_key_location": both},
        {"ssl_certificate_location": marked, "ssl_key_pem": KEY},
        {"ssl_ca_location": str(pki["ca"])},
        {"ssl_ca_location": str(tmp_path)},
        {"ssl_ca_location": ""},
        {"ssl_keystore_location": str(pki["alice_p12"]), "ssl_keystore_password": KEY_PASSWORD},
    ):
        settled = tls(**options)
        assert {name.replace(".", "_"): value for name, value in settled.items()} == {
            "ssl_ca_location": "probe"
        } | options
        assert librdkafka_says(**options) is None
    assert tls(ssl_ca_location="probe")["ssl.ca.location"] == "probe"


def test_an_expired_authority_among_others_is_a_warning(tmp_path: Path) -> None:
    """What is trusted is often a whole bundle: one sentence names up to three of it."""
    settled, warnings = settle(ssl_ca_pem=OLD_ROOT.pem + ROOT.pem)
    assert settled["ssl.ca.pem"] == OLD_ROOT.pem + ROOT.pem
    (warning,) = warnings
    assert warning == (
        "ssl.ca.pem=<not shown> (kafka_options or -X): 1 of 2 authorities are not valid today or cannot be "
        'read here, so a broker that they vouch for may be refused: "CN=old root"'
    )
    damaged = MIDDLE.pem.replace("MII", "AAA", 1)  # in a file it is librdkafka's to judge
    bundle = ROOT.pem + damaged + "".join(issue(f"old {number}", days=(-9, -1)).pem for number in range(4))
    (warning,) = settle(ssl_ca_location=file(tmp_path / "bundle", bundle))[1]
    assert warning.endswith(': certificate 2, "CN=old 0", "CN=old 1" and 2 more')
    assert "it cannot be read" in refusal_of(ssl_ca_location=file(tmp_path / "damaged", damaged))


def test_only_the_first_of_a_chain_must_be_valid() -> None:
    """A broker may have a newer issuer itself, so the others are warnings; they keep their places."""
    chain = OF_OLD_MIDDLE.pem + OLD_MIDDLE.pem + OLD_ROOT.pem
    settled, warnings = settle(**pair(chain, OF_OLD_MIDDLE.key_pem()))
    assert settled["ssl.certificate.pem"] == chain
    for warning, name in zip(warnings, ("old middle", "old root"), strict=True):
        assert f'the certificate of "CN={name}" expired on' in warning


def test_an_authority_that_nobody_asks_may_be_old() -> None:
    """Without verification the job connects, whatever it is said to trust."""
    assert tls(ssl_ca_pem=OLD_ROOT.pem, enable_ssl_certificate_verification="false")["ssl.ca.pem"] == OLD_ROOT.pem


def trusted(pem: str) -> str:
    """A certificate as `openssl x509 -trustout` writes it, with an empty list of uses behind it."""
    (block,) = read_blocks(pem, "here")
    return block._replace(label="TRUSTED CERTIFICATE", der=block.der + b"\x30\0").pem


def test_what_a_certificate_is_trusted_for_is_dropped(tmp_path: Path) -> None:
    """librdkafka reads such certificates in files only; inline it gets them without."""
    assert tls(ssl_ca_pem=trusted(ROOT.pem))["ssl.ca.pem"] == ROOT.pem
    assert tls(**pair(trusted(ALICE.pem) + MIDDLE.pem, KEY))["ssl.certificate.pem"] == ALICE.pem + MIDDLE.pem
    files = {"ssl_ca_location": file(tmp_path / "a", trusted(ROOT.pem)), "ssl_key_pem": KEY}
    files["ssl_certificate_location"] = file(tmp_path / "b", trusted(ALICE.pem) + MIDDLE.pem)
    assert tls(**files)["ssl.ca.location"] == files["ssl_ca_location"]
    assert librdkafka_says(**files) is None


def test_authorities_of_a_server_of_tokens_are_put_right_too(tmp_path: Path) -> None:
    """With or without TLS to the broker: it is another connection."""
    for protocol in ("SASL_SSL", "SASL_PLAINTEXT"):
        options = {
            "security.protocol": protocol, "sasl.mechanism": "OAUTHBEARER", "sasl.oauthbearer.client.id": "i",
            "sasl.oauthbearer.client.secret": "s", "sasl.oauthbearer.token.endpoint.url": "https://h",
            "sasl.oauthbearer.method": "oidc", "https.ca.pem": ROOT.pem.replace("\n", "\\n"),
        }  # fmt: skip
        assert load(topic="t", kafka_options=options).kafka["https.ca.pem"] == ROOT.pem
        both = load(topic="t", kafka_options=options | {"https.ca.location": "/nowhere"})
        assert "https.ca.location" not in both.kafka
        assert "https.ca.location=/nowhere (kafka_options or -X) has no effect" in both.warnings[0]
        for wrong in ({"https.ca.pem": KEY}, {"https.ca.location": str(tmp_path / "no")}, {"https.ca.pem": " "}):
            rest = {name: value for name, value in options.items() if name != "https.ca.pem"}
            with pytest.raises(ConfigError, match=r"^https\.ca\."):
                load(topic="t", kafka_options=rest | wrong)
        probed = load(topic="t", kafka_options=rest | {"https.ca.location": "probe"})
        assert probed.kafka["https.ca.location"] == "probe"


def test_tls_options_without_tls_are_a_warning() -> None:
    """Nothing of them is checked or changed, and the user is told; penstock's own default is not meant."""
    settled, warnings = settle(security_protocol="plaintext", ssl_key_pem="x", ssl_ca_location="/nowhere")
    assert settled == {"ssl.key.pem": "x", "ssl.ca.location": "/nowhere"}
    (warning,) = warnings
    assert warning == (
        "ssl.key.pem, ssl.ca.location have no effect with security.protocol=plaintext; "
        "give security.protocol=ssl or sasl_ssl to connect by TLS"
    )
    assert settle(security_protocol="plaintext")[1] == ()


# Refused.


def ca(text: str) -> dict[str, str]:
    return {"ssl_ca_pem": text}


def pair(certificate: str, key: str, password: str | None = None) -> dict[str, str]:
    given = {"ssl_certificate_pem": certificate, "ssl_key_pem": key}
    return given if password is None else given | {"ssl_key_password": password}


NO_KEY_READ = "no private key can be read from it"
NO_CERTIFICATE_READ = "no certificate can be read from it, as there is no base64"
IS_KEY = "a private key stands where a certificate is expected"
IS_CERTIFICATE = "a certificate stands where the private key is expected"
IS_LOCKED = "the key is encrypted; give its password as ssl.key.password"
STAYS_LOCKED = "ssl.key.password does not open this key"
NO_END = "-----BEGIN CERTIFICATE----- has no end"
REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "the documentation's placeholder": (ca(PLACEHOLDER), f"block 1: {NO_CERTIFICATE_READ}"),
    "a placeholder for the key": (pair(CHAIN, PLACEHOLDER.replace("CERTIFICATE", "PRIVATE KEY")), NO_KEY_READ),
    "a placeholder that is base64": (ca(PLACEHOLDER.replace("T0", "TTTT")), "it cannot be read, although it is base64"),
    "not PEM": (ca("nonsense"), "this is not PEM, nothing in it begins with -----BEGIN"),
    "a path": (ca("/etc/kafka/ca.pem"), "if it is a path, give it as the .location"),
    "blank": (ca(" "), "it is empty"),
    "cut": (ca(ROOT.pem[:-30]), NO_END),
    "cut in front": (ca(ROOT.pem[30:]), "-----END CERTIFICATE----- has no beginning"),
    "cut in the middle": (ca(MIDDLE.pem[:-60] + ROOT.pem), NO_END),
    "not base64": (ca(MIDDLE.pem + ROOT.pem.replace("MII", "M!I", 1)), f"block 2: {NO_CERTIFICATE_READ}"),
    "not ASCII": (ca(ROOT.pem.replace("MII", "MI\u00c4", 1)), f"block 1: {NO_CERTIFICATE_READ}"),
    "not a certificate": (ca(MIDDLE.pem + ROOT.pem.replace("MII", "AAA", 1)), "certificate 2: it cannot be read"),
    "a key for an authority": (ca(KEY), IS_KEY),
    "a key for the certificate": (pair(KEY, KEY), IS_KEY),
    "a certificate for the key": (pair(CHAIN, CHAIN), IS_CERTIFICATE),
    "no certificate": (pair(PARAMETERS, KEY), "there is no certificate in it, only EC PARAMETERS"),
    "no key": (pair(CHAIN, PARAMETERS), "there is no private key in it, only EC PARAMETERS"),
    "two keys": (pair(CHAIN, KEY + BOB.key_pem()), "2 private keys"),
    "a key of OpenSSH": (pair(CHAIN, ALICE.key_pem(form=PrivateFormat.OpenSSH)), "a key of OpenSSH"),
    "a damaged key": (pair(CHAIN, KEY.replace("MI", "AA", 1)), f"{NO_KEY_READ}, although it is base64"),
    "another's key": (pair(CHAIN, BOB.key_pem()), "the key matches no certificate of ssl.certificate.pem=<not shown>"),
    "no password": (pair(CHAIN, LOCKED), IS_LOCKED),
    "an empty password": (pair(CHAIN, LOCKED, ""), IS_LOCKED),
    "a wrong password": (pair(CHAIN, LOCKED, "open"), STAYS_LOCKED),
    "no password, old form": (pair(CHAIN, LOCKED_OLD), IS_LOCKED),
    "a wrong password, old form": (pair(CHAIN, LOCKED_OLD, "open"), STAYS_LOCKED),
    "a certificate alone": ({"ssl_certificate_pem": CHAIN}, "the certificate has no key"),
    "a key alone": ({"ssl_key_pem": KEY}, "the key has no certificate"),
    "expired": (pair(LATE.pem, LATE.key_pem()), 'the certificate of "CN=late" expired on '),
    "not yet": (pair(EARLY.pem, EARLY.key_pem()), 'the certificate of "CN=early" is not valid before '),
    "no valid authority": (ca(OLD_ROOT.pem), '"CN=old root" expired on '),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_each_fault_has_its_own_sentence(case: str) -> None:
    """The error names option and place first, then the fault, and nothing of the content."""
    options, said = REFUSED[case]
    assert said in refusal_of(**options)


# These librdkafka takes, and the broker refuses later or, of authorities, does without in silence.
TAKEN_IN_SILENCE = {
    "not base64", "not a certificate", "two keys", "a certificate alone", "expired", "not yet", "no valid authority",
}  # fmt: skip


def test_librdkafka_refuses_what_we_refuse() -> None:
    """All but the faults that it does not look for."""
    taken = {case for case, (options, _) in REFUSED.items() if librdkafka_says(**options) is None}
    assert taken == TAKEN_IN_SILENCE


def test_each_fault_of_a_file_has_its_own_sentence(tmp_path: Path) -> None:
    """Missing, a directory, unreadable for its form: the error shows the path."""
    pki = make_pki(tmp_path)
    good = {"ssl_certificate_location": str(pki["alice_chain"]), "ssl_key_location": str(pki["alice_key"])}
    lock = BestAvailableEncryption(b"p")
    late = pkcs12.serialize_key_and_certificates(b"late", LATE.key, LATE.certificate, None, lock)
    bare = pkcs12.serialize_key_and_certificates(None, None, ROOT.certificate, None, lock)
    stores = {}
    for name, content in (("late", late), ("bare", bare), ("jks", b"\xfe\xed\xfe\xed\0"), ("der", late[:50])):
        stores[name] = tmp_path / name
        stores[name].write_bytes(content)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"ssl_ca_location": tmp_path / "no"}, "the file cannot be read, no such file or directory"),
        ({"ssl_ca_location": file(tmp_path / "a", "nonsense")}, "this is not PEM"),
        ({"ssl_ca_location": stores["der"]}, "if it is binary (DER), openssl x509"),
        ({"ssl_ca_location": file(tmp_path / "b", PLACEHOLDER)}, "do not stand alone"),
        ({"ssl_ca_location": file(tmp_path / "c", ROOT.pem.replace("\n", "\\n"))}, "do not stand alone"),
        ({"ssl_ca_location": file(tmp_path / "d", ROOT.pem.replace("\n", "\n "))}, "do not stand alone"),
        ({"ssl_ca_location": pki["alice_key"]}, "a private key stands where a certificate"),
        (good | {"ssl_key_location": tmp_path}, "this is a directory"),
        (good | {"ssl_key_location": pki["ca"]}, "a certificate stands where the private key"),
        (good | {"ssl_key_location": pki["bob_key"]}, "matches no certificate of ssl.certificate.location="),
        (good | {"ssl_key_location": pki["alice_key_encrypted"]}, "give its password"),
        (good | {"ssl_certificate_location": pki["alice_reversed"]}, 'of "CN=alice" must come first in the file'),
        ({"ssl_certificate_location": pki["alice"]}, "the certificate has no key"),
        ({"ssl_keystore_location": tmp_path / "no"}, "the file cannot be read"),
        ({"ssl_keystore_location": pki["alice_p12"]}, "with a password only; give ssl.keystore.password"),
        (
            {"ssl_keystore_location": pki["alice_p12"], "ssl_keystore_password": "open"},
            "ssl.keystore.password does not open it",
        ),
        ({"ssl_keystore_location": stores["late"], "ssl_keystore_password": "p"}, '"CN=late" expired on'),
        ({"ssl_keystore_location": stores["bare"], "ssl_keystore_password": "p"}, "there is no private key in it"),
        (good | {"ssl_keystore_location": stores["late"], "ssl_keystore_password": "p"}, "both say who we are"),
        ({"ssl_keystore_location": stores["jks"]}, "a keystore of Java (JKS)"),
        ({"ssl_crl_location": tmp_path / "no"}, "the file cannot be read"),
        ({"ssl_crl_location": pki["ca"]}, "there is no list of revoked certificates in it"),
    ]
    for options, said in cases:
        sentence = refusal_of(**{name: str(value) for name, value in options.items()})
        assert said in sentence
        assert str(tmp_path) in sentence


def test_a_key_in_the_place_of_a_path_is_never_shown() -> None:
    """PEM given as a location is refused before anything would show it as a path, with TLS or without."""
    for protocol in ("ssl", "plaintext"):
        for name, instead in (("key", "it as ssl.key.pem"), ("keystore", "the path of a file")):
            with pytest.raises(ConfigError) as raised:
                load(topic="t", kafka_options={"security.protocol": protocol, f"ssl.{name}.location": KEY})
            place = f"kafka_options or -X: ssl.{name}.location"
            assert str(raised.value) == f"{place} holds PEM itself, not a path; give {instead}"


def test_no_content_is_checked_for_a_preview() -> None:
    """Nothing will connect."""
    load(kafka_options={"security.protocol": "ssl", "ssl.ca.location": "/nowhere"}, for_preview=True)


# Without what checks.


def test_a_kind_of_key_that_cannot_be_opened_is_left_to_librdkafka() -> None:
    """The user is told what was not checked; order and dates are what they are."""
    command = ["openssl", "ec", "-camellia256", "-passout", f"pass:{KEY_PASSWORD}"]
    done = subprocess.run(command, input=KEY, capture_output=True, text=True, check=True)
    options = {"ssl_certificate_pem": CHAIN, "ssl_key_pem": done.stdout, "ssl_key_password": KEY_PASSWORD}
    _, warnings = settle(**options)
    assert "whether it matches its certificate was not checked" in warnings[0]
    assert librdkafka_says(**options) is None


def test_without_cryptography_the_form_is_put_right_and_the_rest_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that works is not refused for want of an extra; a warning names what was not checked, and the extra."""
    monkeypatch.delitem(sys.modules, "penstock.config.kafka.certificates", raising=False)
    monkeypatch.delattr("penstock.config.kafka.certificates", raising=False)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    settled, warnings = settle(ssl_certificate_pem=f"words {CHAIN}", ssl_key_pem=KEY.replace("\n", "\\n"))
    assert (settled["ssl.certificate.pem"], settled["ssl.key.pem"]) == (CHAIN, KEY)
    (warning,) = warnings
    assert warning == (
        "ssl.certificate.pem, ssl.key.pem: dates, passwords and what belongs together were not checked, as the package "
        'cryptography is not installed; pip install "penstock[tls]" brings it'
    )
    assert "no base64" in refusal_of(ssl_ca_pem=PLACEHOLDER)


def test_cryptography_is_imported_only_for_what_there_is_to_check() -> None:
    """A job without TLS, or with the system's authorities, starts without it."""
    code = (
        "import sys; from penstock.config import load\n"
        "load(topic='t', kafka_options={'security.protocol': 'ssl', 'ssl.cipher.suites': 'DEFAULT'})\n"
        "load(topic='t', kafka_options={'ssl.ca.pem': 'x'})\n"
        "sys.exit('cryptography' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_block_is_read_as_it_was_written() -> None:
    """What this module writes is what it was given, where that was in order."""
    whole = CHAIN + KEY + LOCKED + LOCKED_OLD + PARAMETERS
    assert "".join(block.pem for block in read_blocks(whole, "here")) == whole
