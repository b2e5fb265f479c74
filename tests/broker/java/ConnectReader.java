import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.JsonNode;
import io.debezium.transforms.ExtractNewRecordState;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.time.ZoneOffset;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.connect.data.Date;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.data.Time;
import org.apache.kafka.connect.data.Timestamp;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.sink.SinkRecord;

/**
 * Reads a topic as a sink of Kafka Connect does: JsonConverter with schemas, then Debezium's ExtractNewRecordState.
 *
 *     java ConnectReader host:port topic [option=value …]      the options are the transform's
 *
 * Prints one JSON object a record, in order of partition and offset:
 *
 *     partition, offset
 *     key, value    what the converter made of them; null for a null
 *     schema        name of the value's schema
 *     row           what the transform made of the value; absent where it dropped the record
 *     error         instead of the rest, what the converter or the transform threw
 *
 * Bytes are printed as hexadecimal text, decimals as text, dates and times as ISO 8601.
 */
public final class ConnectReader {
  private static final JsonNodeFactory NODES = JsonNodeFactory.instance;

  public static void main(String[] words) throws Exception {
    String topic = words[1];
    Map<String, Object> options = new HashMap<>();
    for (int at = 2; at < words.length; at++) {
      String[] pair = words[at].split("=", 2);
      options.put(pair[0], pair[1]);
    }
    JsonConverter keys = new JsonConverter();
    JsonConverter values = new JsonConverter();
    keys.configure(Map.of("schemas.enable", "true"), true);
    values.configure(Map.of("schemas.enable", "true"), false);
    ExtractNewRecordState<SinkRecord> unwrap = new ExtractNewRecordState<>();
    unwrap.configure(options);
    ObjectMapper printer = new ObjectMapper();
    Map<String, Object> client = Map.of("bootstrap.servers", words[0], "isolation.level", "read_committed");
    ByteArrayDeserializer bytes = new ByteArrayDeserializer();
    try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(client, bytes, bytes)) {
      for (TopicPartition partition : partitions(consumer, topic)) {
        consumer.assign(List.of(partition));
        consumer.seekToBeginning(List.of(partition));
        long end = consumer.endOffsets(List.of(partition)).get(partition);
        while (consumer.position(partition) < end) {
          for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
            System.out.println(printer.writeValueAsString(read(record, keys, values, unwrap)));
          }
        }
      }
    }
  }

  private static List<TopicPartition> partitions(KafkaConsumer<byte[], byte[]> consumer, String topic) {
    return consumer.partitionsFor(topic).stream()
        .map(info -> new TopicPartition(topic, info.partition()))
        .sorted((left, right) -> Integer.compare(left.partition(), right.partition()))
        .toList();
  }

  private static ObjectNode read(
      ConsumerRecord<byte[], byte[]> record,
      JsonConverter keys,
      JsonConverter values,
      ExtractNewRecordState<SinkRecord> unwrap) {
    ObjectNode line = NODES.objectNode();
    line.put("partition", record.partition()).put("offset", record.offset());
    try {
      SchemaAndValue key = keys.toConnectData(record.topic(), record.key());
      SchemaAndValue value = values.toConnectData(record.topic(), record.value());
      line.set("key", node(key.schema(), key.value()));
      line.set("value", node(value.schema(), value.value()));
      line.put("schema", value.schema() == null ? null : value.schema().name());
      SinkRecord taken =
          new SinkRecord(
              record.topic(), record.partition(), key.schema(), key.value(), value.schema(), value.value(), record.offset());
      SinkRecord made = unwrap.apply(taken);
      if (made != null) {
        line.set("row", node(made.valueSchema(), made.value()));
      }
    } catch (RuntimeException refused) {
      line.put("error", refused.getClass().getSimpleName() + ": " + refused.getMessage());
    }
    return line;
  }

  private static JsonNode node(Schema schema, Object value) {
    if (value == null) {
      return NODES.nullNode();
    }
    if (value instanceof Struct struct) {
      ObjectNode members = NODES.objectNode();
      for (Field field : struct.schema().fields()) {
        members.set(field.name(), node(field.schema(), struct.get(field)));
      }
      return members;
    }
    if (value instanceof List<?> items) {
      ArrayNode list = NODES.arrayNode();
      items.forEach(item -> list.add(node(schema.valueSchema(), item)));
      return list;
    }
    if (value instanceof Map<?, ?> entries) {
      ObjectNode members = NODES.objectNode();
      entries.forEach((name, item) -> members.set(String.valueOf(name), node(schema.valueSchema(), item)));
      return members;
    }
    if (value instanceof java.util.Date moment) {
      var at = moment.toInstant().atOffset(ZoneOffset.UTC);
      return switch (schema.name()) {
        case Date.LOGICAL_NAME -> NODES.textNode(at.toLocalDate().toString());
        case Time.LOGICAL_NAME -> NODES.textNode(at.toLocalTime().toString());
        case Timestamp.LOGICAL_NAME -> NODES.textNode(at.toInstant().toString());
        default -> throw new IllegalStateException("a date in a field of " + schema.name());
      };
    }
    if (value instanceof byte[] bytes) {
      return NODES.textNode(HexFormat.of().formatHex(bytes));
    }
    if (value instanceof ByteBuffer buffer) {
      return NODES.textNode(HexFormat.of().formatHex(buffer.array()));
    }
    if (value instanceof BigDecimal decimal) {
      return NODES.textNode(decimal.toPlainString());
    }
    return NODES.pojoNode(value);
  }
}
