package shop;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.amazonaws.services.lambda.runtime.RequestStreamHandler;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.List;
import java.util.Map;

/** Handlers whose types come from above, and those that cannot be made. */
public class Bases {
    public abstract static class Base<T> implements RequestHandler<List<T>, String> {
        @Override
        public String handleRequest(List<T> events, Context context) {
            return events.get(0).getClass().getSimpleName() + ": " + events.get(0);
        }
    }

    public static class OfLines extends Base<Orders.Line> {}

    public static class OfNumbers extends Base<Long> {}

    public static class Streamed implements RequestStreamHandler {
        @Override
        public void handleRequest(InputStream in, OutputStream out, Context context) throws IOException {
            out.write(("{\"bytes\":" + in.readAllBytes().length + "}").getBytes());
        }
    }

    public static class Mapped implements RequestHandler<Map<String, Object>, Object> {
        @Override
        public Object handleRequest(Map<String, Object> event, Context context) {
            event.replaceAll((name, value) -> value == null ? "null" : value.getClass().getSimpleName());
            return event;
        }
    }

    @SuppressWarnings("rawtypes")
    public static class Raw implements RequestHandler {
        @Override
        public Object handleRequest(Object event, Context context) {
            return event;
        }
    }

    public static class Open<T> implements RequestHandler<T, String> {
        @Override
        public String handleRequest(T event, Context context) {
            return "";
        }
    }

    public class Inner implements RequestHandler<String, String> {
        @Override
        public String handleRequest(String event, Context context) {
            return event;
        }
    }

    public static class WithArgument extends Open<String> {
        public WithArgument(String needed) {}
    }

    public static class Throwing extends Open<String> {
        public Throwing() {
            throw new IllegalStateException("no table is named");
        }
    }

    public static class Static extends Open<String> {
        static final int LENGTH = System.getenv("THERE_IS_NO_SUCH_VARIABLE").length();
    }
}
