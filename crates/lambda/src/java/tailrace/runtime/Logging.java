package tailrace.runtime;

import com.amazonaws.services.lambda.runtime.LambdaLogger;
import com.amazonaws.services.lambda.runtime.LambdaRuntime;
import com.amazonaws.services.lambda.runtime.LambdaRuntimeInternal;
import com.amazonaws.services.lambda.runtime.logging.LogLevel;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;

/** The logger of contexts and of code that has none, and what log4j is told of an invocation. Source: docs/spec/lambda-runtime.md 10. */
final class Logging {
    private static final boolean IS_JSON = "JSON".equalsIgnoreCase(System.getenv("AWS_LAMBDA_LOG_FORMAT"));
    /** The place of the lowest level that is written. */
    private static final int LEAST = least(System.getenv("AWS_LAMBDA_LOG_LEVEL"));
    private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'").withZone(ZoneOffset.UTC);

    /** Each call is an entry of the log on AWS: a line of its own, here. Bytes are written as they are. */
    static final LambdaLogger LOGGER = new LambdaLogger() {
        @Override
        public void log(String message) {
            log(message, LogLevel.UNDEFINED);
        }

        @Override
        public void log(byte[] message) {
            log(message, LogLevel.UNDEFINED);
        }

        // The interfaces of older functions have no levels.
        public void log(String message, LogLevel level) {
            if (isWritten(level)) {
                write(text(String.valueOf(message), level).getBytes(StandardCharsets.UTF_8));
            }
        }

        public void log(byte[] message, LogLevel level) {
            if (isWritten(level)) {
                write(message == null ? new byte[] {'n', 'u', 'l', 'l'} : message);
            }
        }
    };

    private static volatile String requestId;
    private static Method put;
    private static boolean looked;

    private Logging() {}

    /** Has code without a context find the same logger. */
    static void provide() {
        try {
            Field logger = LambdaRuntime.class.getDeclaredField("logger");
            logger.setAccessible(true);
            logger.set(null, LOGGER);
        } catch (ReflectiveOperationException | RuntimeException | LinkageError another) {
            // It prints what it is given.
            return;
        }
    }

    /** AWS's appender of log4j writes the request's id, which it finds in log4j's own map. */
    static void begin(String id) {
        requestId = id;
        if (!LambdaRuntimeInternal.getUseLog4jAppender()) {
            return;
        }
        try {
            if (!looked) {
                looked = true;
                ClassLoader loader = Logging.class.getClassLoader();
                put = Class.forName("org.apache.logging.log4j.ThreadContext", true, loader).getMethod("put", String.class, String.class);
            }
            if (put != null) {
                put.invoke(null, "AWSRequestId", id);
            }
        } catch (ReflectiveOperationException | LinkageError without) {
            // Its lines have no id then.
            put = null;
        }
    }

    /** Prints an error: as one line whose inner breaks the host turns back, or as JSON. */
    static void show(String error) {
        String text = error.stripTrailing().replace("\r", "");
        if (!IS_JSON) {
            write(text.replace('\n', '\r').getBytes(StandardCharsets.UTF_8));
        } else if (isWritten(LogLevel.ERROR)) {
            write(text(text, LogLevel.ERROR).getBytes(StandardCharsets.UTF_8));
        }
    }

    private static int least(String level) {
        try {
            return LogLevel.valueOf(level.toUpperCase(Locale.ROOT)).ordinal();
        } catch (RuntimeException none) {
            return LogLevel.UNDEFINED.ordinal();
        }
    }

    private static boolean isWritten(LogLevel level) {
        return level == null || level == LogLevel.UNDEFINED || level.ordinal() >= LEAST;
    }

    private static String text(String message, LogLevel level) {
        if (!IS_JSON) {
            return level == null || level == LogLevel.UNDEFINED ? message : "[" + level + "] " + message;
        }
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("timestamp", TIME.format(Instant.now()));
        line.put("message", message);
        line.put("level", String.valueOf(level == null ? LogLevel.UNDEFINED : level));
        if (requestId != null) {
            line.put("AWSRequestId", requestId);
        }
        return Json.write(line);
    }

    private static void write(byte[] message) {
        boolean hasEnd = message.length > 0 && message[message.length - 1] == '\n';
        byte[] line = hasEnd ? message : Arrays.copyOf(message, message.length + 1);
        line[line.length - 1] = '\n';
        System.out.write(line, 0, line.length);
    }
}
