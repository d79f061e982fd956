package tailrace.runtime;

import com.amazonaws.services.lambda.runtime.LambdaLogger;
import com.amazonaws.services.lambda.runtime.LambdaRuntimeInternal;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;

/** The logger of contexts, and what log4j is told of an invocation. */
final class Logging {
    /** Each call is an entry of the log on AWS: a line of its own, here. */
    static final LambdaLogger LOGGER = new LambdaLogger() {
        @Override
        public void log(String message) {
            log(String.valueOf(message).getBytes(StandardCharsets.UTF_8));
        }

        @Override
        public void log(byte[] message) {
            boolean hasEnd = message.length > 0 && message[message.length - 1] == '\n';
            byte[] line = hasEnd ? message : java.util.Arrays.copyOf(message, message.length + 1);
            line[line.length - 1] = '\n';
            System.out.write(line, 0, line.length);
        }
    };

    private static Method put;
    private static boolean looked;

    private Logging() {}

    /** AWS's appender of log4j writes the request's id, which it finds in log4j's own map. */
    static void begin(String requestId) {
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
                put.invoke(null, "AWSRequestId", requestId);
            }
        } catch (ReflectiveOperationException | LinkageError without) {
            // Its lines have no id then.
            put = null;
        }
    }
}
