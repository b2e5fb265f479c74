"""What could have no effect is refused or warned about; a name in the wrong place is sent to the right one."""

import json
import logging

import pyarrow as pa
import pytest

import penstock
from penstock.cli import main
from penstock.config import FORMATS, SETTINGS, THEMES, load
from penstock.config.scope import _FORMATS

ROWS = pa.table({"id": [1], "s": ["a"]})
CONNECTOR = {"transport": {"name": "kafka_output", "config": {"topic": "t"}}}
OTHER = {  # a value for each setting of one format that is not its default
    "non_finite": "error", "csv_quote": "always", "csv_null": "NULL", "before_column": "b", "after_column": "a",
    "schemas": False, "csv_weight": False, "auto_register": False,
    "on_bad_row": "skip", "on_oversize": "skip", "truncate_columns": "c",
}  # fmt: skip
NEEDED = {"python": {"encoder": "json:dumps"}}


def form(name, **members):
    return {"name": name, "config": NEEDED.get(name, {}) | members}


@pytest.fixture
def own_log():
    """Give a log that no earlier main() has set up."""
    log = logging.getLogger("penstock")
    before = log.handlers[:], log.level, log.propagate
    log.handlers.clear()
    log.propagate = True
    yield
    log.handlers[:], log.level, log.propagate = before


@pytest.mark.parametrize("setting", _FORMATS)
def test_a_setting_of_other_formats_is_refused(setting):
    """Both sides are named, for every setting that belongs to some formats and every other format."""
    for name in FORMATS:
        if name not in _FORMATS[setting]:
            with pytest.raises(penstock.ConfigError, match=f"{setting} belongs to format .*, found format {name}; "):
                load(topic="t", format=form(name), **{setting: OTHER.get(setting, True)})


@pytest.mark.parametrize("setting", ["tombstones", "debezium_source", "before_column", "after_column"])
@pytest.mark.parametrize(("name", "update_format"), [("avro", "raw"), ("avro", "confluent_jdbc"), ("json", "upsert")])
def test_the_envelope_has_its_settings_to_itself(setting, name, update_format):
    """What says something about Debezium's envelope is refused where there is none."""
    columns = {"before_column": "b", "after_column": "b"} if setting.endswith("_column") else {setting: True}
    images = pa.table({"b": [{"id": 1}]})
    with pytest.raises(
        penstock.ConfigError, match=f"(before_column|{setting}) goes with update_format debezium, found {update_format}"
    ):
        penstock.preview(images, topic="t", format=form(name, update_format=update_format), **columns)


@pytest.mark.parametrize("name", ["json", "csv", "avro", "protobuf"])
def test_key_columns_are_left_out_only_where_there_is_a_key(name):
    with pytest.raises(penstock.ConfigError, match="key_in_value=False needs key"):
        penstock.preview(ROWS, topic="t", format=name, key_in_value=False)


@pytest.mark.parametrize("name", ["avro", "protobuf"])
@pytest.mark.parametrize("setting", [{"auto_register": False}, {"check_compatibility": True}])
def test_what_is_asked_of_a_registry_needs_one(name, setting):
    with pytest.raises(penstock.ConfigError, match=f"{next(iter(setting))} needs format.config.registry_urls"):
        penstock.preview(ROWS, topic="t", format=name, **setting)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"send_snapshot": True}, "send_snapshot has no effect"),
        ({"max_output_buffer_time_millis": 5}, "max_output_buffer_time_millis has no effect without"),
        ({"max_output_buffer_size_records": 5}, "max_output_buffer_size_records has no effect without"),
        ({"indx": "i"}, '"indx" is not a field of a connector and is ignored; did you mean "index"?'),
    ],
)
@pytest.mark.usefixtures("own_log")
def test_what_has_no_effect_is_said(fields, said, caplog, tmp_path, capsys):
    """On the log for Python, on standard error for the command."""
    with caplog.at_level(logging.WARNING, "penstock"):
        penstock.preview(ROWS, config=CONNECTOR | fields)
    assert said in caplog.text
    source, job = tmp_path / "rows.arrow", tmp_path / "job.json"
    with pa.OSFile(str(source), "wb") as file, pa.ipc.new_file(file, ROWS.schema) as writer:
        writer.write_table(ROWS)
    job.write_text(json.dumps(CONNECTOR | fields))
    assert main(["preview", str(source), "--config", str(job)]) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if said in line]
    assert line.startswith("penstock: warning: ")


def test_a_buffer_that_is_off_by_name_is_no_surprise():
    """The connector's own example has all three fields."""
    fields = {"enable_output_buffer": False, "max_output_buffer_time_millis": 5, "max_output_buffer_size_records": 5}
    assert load(CONNECTOR | fields).warnings == ()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"update_format": "debezium"}, 'it is a member of format: {"name": …, "config": {"update_format": …}}'),
        ({"format": "debezium"}, '{"name": "json", "config": {"update_format": "debezium"}}'),
        ({"format": "confluent_jdbc"}, '{"name": "avro", "config": {"update_format": "confluent_jdbc"}}'),
        ({"send_snapshot": True}, "here it is writer.snapshot"),
        ({"format": form("csv", csv_header=True)}, "csv has no such member; it is a setting of penstock's own"),
        ({"format": form("parquet", array=True)}, "its members are buffer_size_records"),
        ({"format": form("avro", registry_urls="http://one")}, "found a text; give a list"),
    ],
)
def test_a_name_in_the_wrong_place_is_sent_to_the_right_one(settings, said):
    with pytest.raises(penstock.ConfigError) as caught:
        load(topic="t", **settings)
    assert said in str(caught.value)


def test_a_name_that_is_wrong_is_called_by_its_setting():
    with pytest.raises(penstock.ConfigError, match=r'namespace "1a": Avro takes names'):
        penstock.preview(ROWS, topic="t", format=form("avro", namespace="1a"))


@pytest.mark.parametrize("update_format", ["redis", "upsert", "debezium"])
def test_one_column_under_two_names(update_format):
    """Names of the connector fold, so that two of them may be one column: in a key it stands once."""
    members = {"update_format": update_format, "key_fields": ["s", "S"]}
    with pytest.raises(penstock.ConfigError, match='key_fields: s and S are the same column, "s"; '):
        penstock.preview(ROWS, topic="t", format=form("json", **members))
    indexes = {"index": "i", "relation": {"indexes": {"i": ["s", "S"]}}}
    with pytest.raises(penstock.ConfigError, match=r'indexes\.i: s and S are the same column, "s"; '):
        penstock.preview(ROWS, topic="t", format="avro", **indexes)


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--update-format", "update_format is a member of format: --format '{"),
        ("--index", "in the object of a --config"),
    ],
)
def test_a_setting_without_a_flag_says_where_it_goes(flag, said, capsys):
    assert main(["preview", "a", flag, "debezium"]) == 2
    assert said in capsys.readouterr().err


def test_flags_stand_under_themes(capsys):
    """Every theme begins at a setting, and `--help` and `config` show them in the table's order."""
    assert set(THEMES) <= {row.name for row in SETTINGS}
    assert main(["config"]) == 0
    headings = [line[4:-4] for line in capsys.readouterr().out.splitlines() if line.startswith("--- ")]
    assert headings == [*THEMES.values(), "librdkafka"]
    assert main(["write", "--help"]) == 0
    shown = [line[:-1] for line in capsys.readouterr().out.splitlines() if line.endswith(":") and line[0] != " "]
    assert shown == ["options", *(theme for theme in THEMES.values() if theme in shown)]
    assert len(shown) > 8


def test_a_terminal_gets_no_control_characters(tmp_path, capsys):
    """Avro that happens to be UTF-8 is shown in hex; newlines and tabs are text."""
    source = tmp_path / "rows.arrow"
    with pa.OSFile(str(source), "wb") as file, pa.ipc.new_file(file, ROWS.schema) as writer:
        writer.write_table(ROWS)
    assert main(["preview", str(source), "--format", "avro"]) == 0
    assert "\n0x00000000000202020261\n" in capsys.readouterr().out
    assert main(["preview", str(source), "--format", '{"name": "csv", "config": {"delimiter": "\\t"}}']) == 0
    assert "\n1\ta\t1\n" in capsys.readouterr().out
