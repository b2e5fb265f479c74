"""document, properties: every form a connector can be written in, and the line that errors name in it."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.config import load
from penstock.config.document import read_document
from penstock.config.properties import read_properties
from penstock.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

TREE = {"transport": {"name": "kafka_output", "config": {"topic": "it's, }", "bootstrap.servers": "h:1"}}}
SQL = """-- 'connectors' = '[{"old": 1}]'
create view "v" with (
   'materialized' = 'true', 'description' = 'the ''connectors'' = [] of v',
   'CONNECTORS'
     =  '[
{
  "transport": {"name": "kafka_output",
                "config": {"topic": "it''s, }", "bootstrap.servers": "h:1",}},
}
]')
AS SELECT 'x' FROM "t";
"""


def refusal_of(config: Any) -> str:
    with pytest.raises(ConfigError) as raised:
        read_document(config)
    sentence = str(raised.value)
    assert "\n" not in sentence
    return sentence


def saved(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


# JSON.

TEXTS = st.text(alphabet=",]}[{:\"'\\/ \n\té", max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)


def written(value: Any, chance: random.Random, commas: list[int]) -> str:
    """JSON of our own, with white space and commas before closing brackets wherever chance wants them."""
    gap = chance.choice(["", " ", "\n\t"])
    if not isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=chance.random() < 0.5)
    if isinstance(value, list):
        parts, ends = [written(one, chance, commas) for one in value], "[]"
    else:
        parts, ends = [f"{json.dumps(name)}{gap}:{written(one, chance, commas)}" for name, one in value.items()], "{}"
    last = "," if parts and chance.random() < 0.5 else ""
    commas += [1] * len(last)
    return f"{ends[0]}{gap}{f'{gap},'.join(parts)}{gap}{last}{gap}{ends[1]}"


@given(seed=st.integers(), value=st.lists(VALUES, max_size=3) | st.dictionaries(TEXTS, VALUES, max_size=3))
def test_last_commas_change_nothing(seed: int, value: Any) -> None:
    """JSON with commas before closing brackets is the JSON without, whatever its strings hold; each is warned of."""
    commas: list[int] = []
    document = read_document(written(value, random.Random(seed), commas))
    assert document.tree == value
    assert len(document.warnings) == len(commas)


def test_a_last_comma_is_told_with_its_line(tmp_path: Path) -> None:
    """The warning names file and line, and reaches the configuration."""
    path = saved(tmp_path, "orders.json", '{"transport":\n {"config": {"topic": "t",\n}}}')
    (warning,) = load(path).warnings
    assert warning == f"{path}, line 2: a comma before the closing brace is taken as if it were not there"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[,]", "line 1, column 2"),
        ('{"a": 1,\n,}', "line 2, column 1"),
        ("{ , }", "line 1, column 3"),
        ('{"a": 1,} x', "line 1, column 11"),
        ('{"a": "x,}', "line 1, column 7"),
        ("[1,\n 2,\n}", "line 3, column 1"),
    ],
)
def test_other_errors_keep_their_place(text: str, place: str) -> None:
    """What is not JSON even without the last comma is refused with line and column of the text as given."""
    assert f"config, {place}: not JSON" in refusal_of(text)


# SQL.


def test_sql_pasted_whole_gives_its_array(tmp_path: Path) -> None:
    """Text, bytes and files of any name, upper or lower case: the array is found, its apostrophes single again."""
    named, bare = saved(tmp_path, "view.SQL", SQL), saved(tmp_path, "view.txt", SQL)
    snippet = SQL[SQL.index("'CONNECTORS'") : SQL.index(")\nAS")]
    for config in (SQL, SQL.encode(), SQL.replace("\n", "\r\n"), named, str(bare), snippet):
        document = read_document(config)
        assert document.tree == [TREE]
    warnings = read_document(SQL).warnings
    assert len(warnings) == 2
    assert all(warning.startswith("config, line 8: a comma before the closing brace") for warning in warnings)


def test_errors_in_an_array_name_the_lines_of_the_whole_text() -> None:
    """An editor that goes to the line finds the fault."""
    assert refusal_of(SQL.replace('"transport":', '"transport"')).startswith("config, line 7, column 15: not JSON")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("CREATE VIEW v AS SELECT 1", "found none"),
        ("create view v with ('connectors' = '[", "found none"),
        ("-- 'connectors' = '[]'\nselect 1", "found none"),
        (SQL + SQL, "has 2 times 'connectors' = '[ … ]', in lines 4, 15"),
    ],
)
def test_sql_without_one_array_says_what_is_looked_for(text: str, words: str) -> None:
    """No array, an unfinished one, one in a comment, and two of them are refused."""
    sentence = refusal_of(text)
    assert "'connectors' = '[ … ]'" in sentence
    assert words in sentence


# TOML.


def test_toml_is_the_same_tree(tmp_path: Path) -> None:
    """Options may be quoted or not; what nests in TOML is one name again, but for the one object there is."""
    text = """
name = "orders"
[transport]
name = "kafka_output"
[transport.config]
topic = "orders"
bootstrap.servers = "h:1"
"linger.ms" = 20
sasl = {mechanism = "PLAIN", username = "alice"}
socket.keepalive.enable = true
headers = [{key = "a", value = "b"}]
[transport.config.fault_tolerance.producer_options]
acks = "all"
linger.ms = 5
[writer]
key = ["id"]
[writer.create_topic]
partitions = 3
"""
    assert read_document(saved(tmp_path, "o.toml", text)).tree == {
        "name": "orders",
        "transport": {
            "name": "kafka_output",
            "config": {
                "topic": "orders",
                "bootstrap.servers": "h:1",
                "linger.ms": 20,
                "sasl.mechanism": "PLAIN",
                "sasl.username": "alice",
                "socket.keepalive.enable": True,
                "headers": [{"key": "a", "value": "b"}],
                "fault_tolerance": {"producer_options": {"acks": "all", "linger.ms": 5}},
            },
        },
        "writer": {"key": ["id"], "create_topic": {"partitions": 3}},
    }


def test_toml_may_hold_several(tmp_path: Path) -> None:
    """[[connectors]] is the array; options nest in each of them."""
    text = '[[connectors]]\nname = "a"\n[[connectors]]\ntransport.config.topic = "t"\ntransport.config.linger.ms = 5\n'
    path = saved(tmp_path, "o.toml", text)
    assert load(path, connector="unnamed-1").kafka["linger.ms"] == "5"


def test_broken_toml_is_named_by_its_place(tmp_path: Path) -> None:
    """A fault is told with line and column, a name in two spellings by its name."""
    path = saved(tmp_path, "o.toml", '[transport]\nname = kafka_output\npassword = "hunter2"')
    sentence = refusal_of(path)
    assert sentence.startswith(f"{path}, line 2, column 8: not TOML: ")
    assert "hunter2" not in sentence
    twice = '[transport.config]\n"linger.ms" = 5\nlinger.ms = 6\n'
    assert "linger.ms is given twice" in refusal_of(saved(tmp_path, "o.toml", twice))
    twice = twice.replace("config]", "config.fault_tolerance.producer_options]")
    assert "fault_tolerance.producer_options: linger.ms is given twice" in refusal_of(saved(tmp_path, "o.toml", twice))
    for text, words in (("a=" + "9" * 5000, "thousands of digits"), ("a=" + "[" * 5000, "nested too deeply")):
        assert words in refusal_of(saved(tmp_path, "o.toml", text))


# .properties.


def pairs(text: str) -> dict[str, str]:
    return read_properties(text, "p")[0]["transport"]["config"]


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("a=b", "a", "b"), ("a:b", "a", "b"), ("a b", "a", "b"), ("  a \t=  b c", "a", "b c"), ("a", "a", ""),
        ("a==b", "a", "=b"), ("a = : b", "a", ": b"), ("a\\ b\\=c=d", "a b=c", "d"), ("a=x # y", "a", "x # y"),
        ("#a=b\n!a=c\n\n \ta=d", "a", "d"), ("a=b\\\n   c\\\n\n", "a", "bc"), ("a=b\\\\\nc=d", "a", "b\\"),
        ("a=b\r\nc=d\re=f", "e", "f"), ("a\\\n = b", "a", "b"), ("a=\\u00e9\\t\\n\\ud83d\\ude00", "a", "é\t\n😀"),
        ("a=b\\", "a", "b"), ("a=b  ", "a", "b"), ("a=b\\  ", "a", "b "), ("a=\\:\\#", "a", ":#"),
        ("a=\\\n#b", "a", "#b"), ("ä=ö", "ä", "ö"),
    ],
)  # fmt: skip
def test_lines_are_read_as_java_reads_them(text: str, name: str, value: str) -> None:
    """Separators, comments, continued lines and escapes of java.util.Properties."""
    assert pairs(text)[name] == value


def spelt(text: str, special: str, chance: random.Random) -> str:
    """One of the many ways to write a key or a value."""
    parts = []
    for char in text:
        ways = [f"\\u{ord(char):04x}" if ord(char) < 0x10000 else char]
        if char in "\t\n\r\f":
            ways.append("\\" + "tnrf"["\t\n\r\f".index(char)])
        else:
            ways.append("\\" + char if char in special else char)
        parts.append(chance.choice(ways) + chance.choice(["", "", "\\\n \t"]))
    return "".join(parts)


KEYS = st.text("ab.:=# \\\n", min_size=1).map("x".__add__)


@given(seed=st.integers(), wanted=st.dictionaries(KEYS, st.text(max_size=8), min_size=1))
def test_what_was_written_is_read(seed: int, wanted: dict[str, str]) -> None:
    """Any keys and values, in any spelling, come back."""
    chance = random.Random(seed)
    lines = [
        spelt(name, " :=#!\\", chance) + chance.choice(["=", " : ", "\t="]) + spelt(value, " :=\\", chance)
        for name, value in wanted.items()
    ]
    assert pairs("\n".join(lines)) == wanted


def test_properties_become_options_settings_and_format(tmp_path: Path) -> None:
    """Names go where a user expects them, and texts are read as flags are."""
    text = """
bootstrap.servers = h:1
topic=orders
initialization_timeout_secs=5
linger.ms=20
group.id=g
writer.key=id, day
writer.max_weight=3
writer.create_topic={"partitions": 3}
writer.relation={"name": "o", "indexes": {"i": ["id"]}}
headers=[{"key": "a", "value": "b"}]
enable_output_buffer=true
max_output_buffer_time_millis=50
format=json
format.config.array=true
format.config.buffer_size_records=7
"""
    config = load(saved(tmp_path, "o.properties", text))
    assert (config.topic, config.initialization_timeout_secs) == ("orders", 5)
    assert (config.kafka["bootstrap.servers"], config.kafka["linger.ms"]) == ("h:1", "20")
    assert (config.writer.key, config.writer.max_weight) == (("id", "day"), 3)
    assert config.writer.create_topic is not None
    assert config.writer.create_topic.partitions == 3
    assert (config.writer.relation.indexes, config.headers) == ({"i": ("id",)}, (("a", b"b"),))
    assert (config.enable_output_buffer, config.max_output_buffer_time_millis) == (True, 50)
    assert (
        config.format
        == load(topic="t", format={"name": "json", "config": {"array": True, "buffer_size_records": 7}}).format
    )
    text = "topic=t\nformat=avro\nformat.config.registry_urls=http://a,http://b\nformat.config.registry_password=12\n"
    avro = load(saved(tmp_path, "o.properties", text)).format
    assert (avro.registry_urls, avro.registry_password) == (("http://a", "http://b"), "12")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a=b\nc=d\na=e", ["p, line 3", '"a" is given again', "line 1"]),
        ("sasl.password=hunter2\nsasl.password=hunter3", ["line 2", "sasl.password"]),
        ("a=\\u12g4", ["p, line 1", "four hexadecimal digits"]),
        ("a=\\ud83d", ["p, line 1", "half a character"]),
        ("a=b\nssl.key.pem=-----BEGIN PRIVATE KEY-----\nhunter\n-----END", ["p, line 2", "ssl.key.pem", "location"]),
        ("ssl.key.pem=\\\n-----BEGIN PRIVATE KEY-----\nhunter", ["p, line 1", "ssl.key.pem", "\\n\\ at the end"]),
    ],
)
def test_properties_that_java_would_misread_are_refused(text: str, words: list[str]) -> None:
    """Two values for a name and broken escapes are named by their line; no value is shown."""
    with pytest.raises(ConfigError) as raised:
        read_properties(text, "p")
    for word in words:
        assert word in str(raised.value)
    assert "hunter" not in str(raised.value)


def test_what_is_easily_meant_otherwise_is_warned_of() -> None:
    """A dropped backslash and white space at the end of a secret are told, without the secret."""
    tree, warnings = read_properties("sasl.password=hun\\dter2 \nsasl.password=hun\\dter2 \nclient.id=a", "p")
    assert tree["transport"]["config"]["sasl.password"] == "hundter2 "
    assert len(warnings) == 4
    assert "p, line 1: a backslash is dropped" in warnings[0]
    assert "p, line 1: the value of sasl.password ends in white space" in warnings[1]
    assert not any("ter2" in warning for warning in warnings)


def test_errors_of_a_properties_file_name_the_key_alone(tmp_path: Path) -> None:
    """There is no transport.config in such a file, so errors do not send anybody there."""
    path = saved(tmp_path, "o.properties", "topic=t\nbatch.size=x\n")
    with pytest.raises(ConfigError) as raised:
        load(path)
    assert str(raised.value).startswith(f"batch.size=x ({path}): ")
    path = saved(tmp_path, "o.properties", "topic=a b\n")
    with pytest.raises(ConfigError, match=r"o\.properties: topic: "):
        load(path)
    path = saved(tmp_path, "o.properties", "writer.topic=t\n")
    with pytest.raises(ConfigError, match=r"writer\.topic: .* give it as topic$"):
        load(path)
    path = saved(tmp_path, "o.properties", "writer.index=i\n")
    with pytest.raises(ConfigError, match=r"writer\.index: .* give it as index$"):
        load(path)
    path = saved(tmp_path, "o.properties", "topic=t\nformat.config=x\nformat.config.array=true\n")
    with pytest.raises(ConfigError, match=r'no option "format\.config"'):
        load(path)


def test_a_file_that_is_not_there_is_called_one(tmp_path: Path) -> None:
    """A text that ends like a file is one, even when it is not there."""
    for name in ("no.json", "no.sql", "no.toml", "no.properties"):
        assert "No such file" in refusal_of(str(tmp_path / name))
