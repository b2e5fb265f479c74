#include "flavor.hpp"

namespace penstock {

bool find_flavor(const std::string& name, JsonStyle& style) {
  using Style = JsonStyle;
  style = Style();
  if (name == "default") return true;
  if (name == "datagen") {
    style.timestamp = Style::Stamp::offset;
    return true;
  }
  if (name == "postgres") {
    style.decimal_text = true;
    style.binary = Style::Binary::backslash_x;
    return true;
  }
  // All others hold VARIANT as text.
  style.variant_text = true;
  if (name == "c_hex") {
    style.binary = Style::Binary::zero_x;
    return true;
  }
  if (name == "blockchain") {
    style.binary = Style::Binary::base58;
    return true;
  }
  if (name == "ClockInput") {
    style.timestamp = Style::Stamp::millis;
    return true;
  }
  // All others hold decimals as text.
  style.decimal_text = true;
  style.timestamp = style.zoned = Style::Stamp::millis;
  if (name == "pandas") return true;
  if (name == "snowflake") {
    style.timestamp = style.zoned = Style::Stamp::offset;
    return true;
  }
  style.day = Style::Day::days;
  style.clock = Style::Clock::micros;
  if (name == "debezium_postgres") return true;
  if (name == "kafka_connect_json_converter") {
    style.clock = Style::Clock::millis;
    return true;
  }
  if (name == "debezium_mysql") {
    style.timestamp = style.zoned = Style::Stamp::utc;
    return true;
  }
  return false;
}

}  // namespace penstock
