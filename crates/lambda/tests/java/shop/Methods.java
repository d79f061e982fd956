package shop;

import com.amazonaws.services.lambda.runtime.Context;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.List;
import java.util.Map;

/** Methods that are handlers, one of each form. */
public class Methods {
    private int calls;

    public String none() {
        return "none";
    }

    public int counts(String event) {
        return ++calls;
    }

    public Integer plus(Map<String, Object> event) {
        return (Integer) event.get("n") + 1;
    }

    public static String fixed(String event, Context context) {
        return event + " " + context.getFunctionName();
    }

    public String onlyContext(Context context) {
        return context.getFunctionVersion();
    }

    public long sum(List<Long> numbers) {
        return numbers.stream().mapToLong(Long::longValue).sum();
    }

    public void nothing(Object event) {}

    public Object same(Object event) {
        return event;
    }

    public void wrapped(InputStream in, OutputStream out, Context context) throws IOException {
        out.write('[');
        in.transferTo(out);
        out.write(']');
    }

    public void copied(InputStream in, OutputStream out) throws IOException {
        in.transferTo(out);
    }

    public void written(OutputStream out) throws IOException {
        out.write("7".getBytes());
    }

    public void read(InputStream in, Context context) throws IOException {
        System.out.println("read " + in.readAllBytes().length);
    }

    public String many(Map<String, Object> event) {
        return "without a context";
    }

    public String many(Map<String, Object> event, Context context) {
        return "with a context";
    }

    public String many(String one, String two, String three) {
        return "too many";
    }

    public String unusable(String one, String two) {
        return "unusable";
    }
}
