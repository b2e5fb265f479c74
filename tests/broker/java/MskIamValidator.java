import java.io.IOException;
import java.io.Reader;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeParseException;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import javax.security.auth.callback.Callback;
import javax.security.auth.callback.UnsupportedCallbackException;
import javax.security.auth.login.AppConfigurationEntry;
import org.apache.kafka.common.security.auth.AuthenticateCallbackHandler;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerExtensionsValidatorCallback;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerToken;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallback;

/**
 * The broker's side of a login to AWS MSK by IAM, for one region and the access keys of a file.
 *
 * <p>A token is a presigned request in base64url: {@code https://kafka.REGION.amazonaws.com/?Action=…&X-Amz-…}. It is
 * accepted when it asks for what MSK asks for, is in time, and has the signature (version 4) that is computed here again
 * with the key's secret. The principal is the access key. A refusal reaches the client as one word in
 * {@code {"status":"…"}}.
 *
 * <p>Options of the listener's sasl.jaas.config: {@code mskRegion}, and {@code mskKeys}, a properties file with
 * {@code KEY.secret} for each access key and {@code KEY.token} for a temporary one. Each decision is a line on stderr.
 */
public final class MskIamValidator implements AuthenticateCallbackHandler {
  private static final String SERVICE = "kafka-cluster";
  private static final String TERMINATOR = "aws4_request";
  private static final String ALGORITHM = "AWS4-HMAC-SHA256";
  private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss'Z'");
  private static final Duration LONGEST_LIFE = Duration.ofMinutes(15);
  private static final Duration CLOCKS_MAY_DIFFER = Duration.ofMinutes(5);
  /** Not signed: the signature itself, and what the client appends after it has signed. */
  private static final Set<String> UNSIGNED = Set.of("X-Amz-Signature", "User-Agent");

  private final Properties keys = new Properties();
  private String region;

  @Override
  public void configure(Map<String, ?> configs, String mechanism, List<AppConfigurationEntry> jaas) {
    Map<String, ?> options = jaas.get(0).getOptions();
    region = (String) options.get("mskRegion");
    try (Reader file = Files.newBufferedReader(Path.of((String) options.get("mskKeys")))) {
      keys.load(file);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  @Override
  public void handle(Callback[] callbacks) throws UnsupportedCallbackException {
    for (Callback callback : callbacks) {
      if (callback instanceof OAuthBearerValidatorCallback login) {
        decide(login);
      } else if (callback instanceof OAuthBearerExtensionsValidatorCallback extensions) {
        extensions.inputExtensions().map().keySet().forEach(extensions::valid);
      } else {
        throw new UnsupportedCallbackException(callback);
      }
    }
  }

  private void decide(OAuthBearerValidatorCallback login) {
    try {
      OAuthBearerToken token = validate(login.tokenValue());
      login.token(token);
      long left = token.lifetimeMs() - System.currentTimeMillis();
      System.err.println("MskIamValidator: " + token.principalName() + " accepted for " + left + " ms");
    } catch (Refused refused) {
      login.error(refused.getMessage(), null, null);
      System.err.println("MskIamValidator: refused, " + refused.getMessage());
    }
  }

  private OAuthBearerToken validate(String value) throws Refused {
    URI url = presigned(value);
    String host = "kafka." + region + ".amazonaws.com";
    require("https".equals(url.getScheme()) && host.equals(url.getHost()), "wrong_host:" + url.getHost());
    Map<String, String> query = query(url);
    require("kafka-cluster:Connect".equals(query.get("Action")), "wrong_action");
    require(ALGORITHM.equals(query.get("X-Amz-Algorithm")), "wrong_algorithm");
    require("host".equals(query.get("X-Amz-SignedHeaders")), "wrong_signed_headers");

    Instant signedAt = signedAt(query);
    Instant expires = signedAt.plus(life(query));
    require(signedAt.isBefore(Instant.now().plus(CLOCKS_MAY_DIFFER)), "token_from_the_future");
    require(Instant.now().isBefore(expires), "token_expired");

    // the access key, then the scope that the signature is made for: day, region, service, a fixed word
    String[] credential = query.getOrDefault("X-Amz-Credential", "").split("/", 2);
    String accessKey = credential[0];
    String scope = String.join("/", query.get("X-Amz-Date").substring(0, 8), region, SERVICE, TERMINATOR);
    require(credential.length == 2 && scope.equals(credential[1]), "wrong_scope");
    String secret = keys.getProperty(accessKey + ".secret");
    require(secret != null, "unknown_access_key");
    String sessionToken = keys.getProperty(accessKey + ".token");
    require(Objects.equals(sessionToken, query.get("X-Amz-Security-Token")), "wrong_session_token");

    String expected = signature(secret, host, query, scope);
    String given = query.getOrDefault("X-Amz-Signature", "");
    require(MessageDigest.isEqual(utf8(expected), utf8(given)), "signature_mismatch");
    return new Accepted(value, accessKey, signedAt.toEpochMilli(), expires.toEpochMilli());
  }

  private static URI presigned(String value) throws Refused {
    try {
      return URI.create(new String(Base64.getUrlDecoder().decode(value), StandardCharsets.UTF_8));
    } catch (IllegalArgumentException error) {
      throw new Refused("not_a_presigned_url");
    }
  }

  /** The parameters in the order in which they are signed. */
  private static Map<String, String> query(URI url) throws Refused {
    require(url.getRawQuery() != null, "no_query");
    Map<String, String> found = new TreeMap<>();
    for (String pair : url.getRawQuery().split("&")) {
      String[] both = pair.split("=", 2);
      found.put(decoded(both[0]), both.length == 2 ? decoded(both[1]) : "");
    }
    return found;
  }

  private static Instant signedAt(Map<String, String> query) throws Refused {
    try {
      return LocalDateTime.parse(query.getOrDefault("X-Amz-Date", ""), TIME).toInstant(ZoneOffset.UTC);
    } catch (DateTimeParseException error) {
      throw new Refused("wrong_date");
    }
  }

  private static Duration life(Map<String, String> query) throws Refused {
    try {
      Duration life = Duration.ofSeconds(Long.parseLong(query.getOrDefault("X-Amz-Expires", "")));
      require(!life.isNegative() && life.compareTo(LONGEST_LIFE) <= 0, "wrong_expires");
      return life;
    } catch (NumberFormatException error) {
      throw new Refused("wrong_expires");
    }
  }

  private static String signature(String secret, String host, Map<String, String> query, String scope) {
    String signed = query.entrySet().stream()
        .filter(parameter -> !UNSIGNED.contains(parameter.getKey()))
        .map(parameter -> encoded(parameter.getKey()) + "=" + encoded(parameter.getValue()))
        .collect(Collectors.joining("&"));
    String request = String.join("\n", "GET", "/", signed, "host:" + host, "", "host", sha256(""));
    String toSign = String.join("\n", ALGORITHM, query.get("X-Amz-Date"), scope, sha256(request));
    byte[] key = utf8("AWS4" + secret);
    for (String part : scope.split("/")) {
      key = hmac(key, part);
    }
    return HexFormat.of().formatHex(hmac(key, toSign));
  }

  private static String decoded(String text) {
    return URLDecoder.decode(text, StandardCharsets.UTF_8);
  }

  /** As RFC 3986 has it, which AWS signs by; Java's encoder is that of HTML forms. */
  private static String encoded(String text) {
    String form = URLEncoder.encode(text, StandardCharsets.UTF_8);
    return form.replace("+", "%20").replace("*", "%2A").replace("%7E", "~");
  }

  private static byte[] utf8(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  private static String sha256(String text) {
    try {
      return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(utf8(text)));
    } catch (GeneralSecurityException error) {
      throw new IllegalStateException(error);
    }
  }

  private static byte[] hmac(byte[] key, String text) {
    try {
      Mac mac = Mac.getInstance("HmacSHA256");
      mac.init(new SecretKeySpec(key, "HmacSHA256"));
      return mac.doFinal(utf8(text));
    } catch (GeneralSecurityException error) {
      throw new IllegalStateException(error);
    }
  }

  private static void require(boolean holds, String otherwise) throws Refused {
    if (!holds) {
      throw new Refused(otherwise);
    }
  }

  @Override
  public void close() {}

  private static final class Refused extends Exception {
    private static final long serialVersionUID = 1L;

    Refused(String why) {
      super(why);
    }
  }

  private record Accepted(String value, String principalName, Long startTimeMs, long lifetimeMs)
      implements OAuthBearerToken {
    @Override
    public Set<String> scope() {
      return Set.of();
    }
  }
}
