package tailrace.runtime;

import java.lang.reflect.Array;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Date;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;

/**
 * Makes JSON values of objects, by the rules of the serializer that AWS's client has: what is null is left out, and what is there
 * and empty is null.
 */
final class Writing {
    private int depth;

    private Writing() {}

    /** The value of {@link Json} for an object. */
    static Object plain(Object value) {
        return new Writing().value(value, false);
    }

    private Object value(Object value, boolean inSeconds) {
        if (value == null || value instanceof String || value instanceof Boolean) {
            return value;
        }
        if (value instanceof Number) {
            double number = ((Number) value).doubleValue();
            boolean isNone = (value instanceof Double || value instanceof Float) && (Double.isNaN(number) || Double.isInfinite(number));
            return isNone ? value.toString() : value;
        }
        if (value instanceof byte[]) {
            return Base64.getEncoder().encodeToString((byte[]) value);
        }
        if (value instanceof char[]) {
            return new String((char[]) value);
        }
        if (value instanceof ByteBuffer) {
            ByteBuffer buffer = ((ByteBuffer) value).duplicate();
            byte[] bytes = new byte[buffer.remaining()];
            buffer.get(bytes);
            return Base64.getEncoder().encodeToString(bytes);
        }
        if (value instanceof Date) {
            long millis = ((Date) value).getTime();
            return inSeconds ? (Object) (millis / 1000.0) : (Object) millis;
        }
        if (value instanceof Instant) {
            Instant instant = (Instant) value;
            return BigDecimal.valueOf(instant.getEpochSecond()).add(BigDecimal.valueOf(instant.getNano(), 9));
        }
        if (value instanceof Optional) {
            return value(((Optional<?>) value).orElse(null), inSeconds);
        }
        if (value instanceof OptionalInt) {
            return ((OptionalInt) value).isPresent() ? ((OptionalInt) value).getAsInt() : null;
        }
        if (value instanceof OptionalLong) {
            return ((OptionalLong) value).isPresent() ? ((OptionalLong) value).getAsLong() : null;
        }
        if (value instanceof OptionalDouble) {
            return ((OptionalDouble) value).isPresent() ? ((OptionalDouble) value).getAsDouble() : null;
        }
        if (value instanceof Enum) {
            return ((Enum<?>) value).name();
        }
        if (value instanceof Class) {
            return ((Class<?>) value).getName();
        }
        if (value instanceof Map || value instanceof Iterable || value instanceof Iterator || value.getClass().isArray() || isBean(value)) {
            if (++depth > Json.DEPTH_MAX) {
                throw new IllegalArgumentException("it is nested deeper than " + Json.DEPTH_MAX + ", or in a circle");
            }
            Object made = value instanceof Map ? map((Map<?, ?>) value, inSeconds) : isBean(value) ? object(value) : list(value, inSeconds);
            depth--;
            return made;
        }
        return value.toString();
    }

    /** Neither a collection nor a class of Java's own or of a kind that is written as a text. */
    private static boolean isBean(Object value) {
        String name = value.getClass().getName();
        boolean isText = value instanceof CharSequence || name.startsWith("org.joda.time.") || name.startsWith("java.");
        return !(isText || value instanceof Map || value instanceof Iterable || value instanceof Iterator || value.getClass().isArray());
    }

    private Map<String, Object> map(Map<?, ?> map, boolean inSeconds) {
        Map<String, Object> made = new LinkedHashMap<>();
        map.forEach((key, value) -> {
            if (value != null) {
                made.put(key instanceof Enum ? ((Enum<?>) key).name() : String.valueOf(key), value(value, inSeconds));
            }
        });
        return made;
    }

    private List<Object> list(Object value, boolean inSeconds) {
        List<Object> made = new ArrayList<>();
        if (value.getClass().isArray()) {
            for (int n = 0; n < Array.getLength(value); n++) {
                made.add(value(Array.get(value, n), inSeconds));
            }
        } else {
            Iterator<?> elements = value instanceof Iterator ? (Iterator<?>) value : ((Iterable<?>) value).iterator();
            while (elements.hasNext()) {
                made.add(value(elements.next(), inSeconds));
            }
        }
        return made;
    }

    private Map<String, Object> object(Object value) {
        Bean bean = Bean.of(value.getClass());
        Map<String, Object> made = new LinkedHashMap<>();
        bean.getters.forEach((name, getter) -> {
            Object property = getter.get(value);
            if (property != null) {
                made.put(name, value(property, bean.isEvent));
            }
        });
        return made;
    }
}
