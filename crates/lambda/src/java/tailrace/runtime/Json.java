package tailrace.runtime;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * JSON text and its values: LinkedHashMap, ArrayList, String, Boolean, Integer, Long, BigInteger, {@link Decimal} and null.
 *
 * <p>It knows no types of the function's: see {@link Reading} and {@link Writing}.
 */
final class Json {
    /** What is nested deeper is refused: it would take the stack. Far above what an item can hold. */
    static final int DEPTH_MAX = 1000;

    private final String text;
    private int at;
    private int depth;

    private Json(String text) {
        this.text = text;
    }

    /** A number that is no whole one, digit by digit. */
    static final class Decimal extends Number {
        private static final long serialVersionUID = 1L;
        private final String digits;

        Decimal(String digits) {
            this.digits = digits;
        }

        BigDecimal exact() {
            return new BigDecimal(digits);
        }

        @Override
        public double doubleValue() {
            return Double.parseDouble(digits);
        }

        @Override
        public float floatValue() {
            return Float.parseFloat(digits);
        }

        @Override
        public int intValue() {
            return (int) doubleValue();
        }

        @Override
        public long longValue() {
            return (long) doubleValue();
        }

        @Override
        public String toString() {
            return digits;
        }
    }

    /** A text that is no JSON. */
    static final class Malformed extends RuntimeException {
        private static final long serialVersionUID = 1L;

        Malformed(String message) {
            super(message);
        }
    }

    static Object parse(String text) {
        Json json = new Json(text);
        Object value = json.value();
        json.space();
        if (json.at < text.length()) {
            throw json.malformed("there is more behind the value");
        }
        return value;
    }

    private Object value() {
        space();
        if (at == text.length()) {
            throw malformed("a value is missing");
        }
        switch (text.charAt(at)) {
            case '{':
                return object();
            case '[':
                return array();
            case '"':
                return string();
            case 't':
                return word("true", Boolean.TRUE);
            case 'f':
                return word("false", Boolean.FALSE);
            case 'n':
                return word("null", null);
            default:
                return number();
        }
    }

    private Map<String, Object> object() {
        Map<String, Object> object = new LinkedHashMap<>();
        open();
        if (!closes('}')) {
            do {
                space();
                if (at == text.length() || text.charAt(at) != '"') {
                    throw malformed("a name is missing");
                }
                String name = string();
                space();
                take(':');
                object.put(name, value());
            } while (goesOn('}'));
        }
        depth--;
        return object;
    }

    private List<Object> array() {
        List<Object> array = new ArrayList<>();
        open();
        if (!closes(']')) {
            do {
                array.add(value());
            } while (goesOn(']'));
        }
        depth--;
        return array;
    }

    private void open() {
        at++;
        if (++depth > DEPTH_MAX) {
            throw malformed("it is nested deeper than " + DEPTH_MAX);
        }
    }

    private boolean closes(char end) {
        space();
        boolean closes = at < text.length() && text.charAt(at) == end;
        if (closes) {
            at++;
        }
        return closes;
    }

    private boolean goesOn(char end) {
        space();
        if (at < text.length() && text.charAt(at) == ',') {
            at++;
            return true;
        }
        take(end);
        return false;
    }

    private void take(char wanted) {
        if (at == text.length() || text.charAt(at) != wanted) {
            throw malformed("'" + wanted + "' is missing");
        }
        at++;
    }

    private String string() {
        int start = ++at;
        while (at < text.length() && text.charAt(at) != '"' && text.charAt(at) != '\\') {
            at++;
        }
        if (at < text.length() && text.charAt(at) == '"') {
            return text.substring(start, at++);
        }
        StringBuilder string = new StringBuilder(text.substring(start, at));
        for (;;) {
            if (at == text.length()) {
                throw malformed("a string does not end");
            }
            char c = text.charAt(at++);
            if (c == '"') {
                return string.toString();
            }
            string.append(c == '\\' ? escaped() : c);
        }
    }

    private char escaped() {
        char c = at < text.length() ? text.charAt(at++) : '\0';
        switch (c) {
            case '"':
            case '\\':
            case '/':
                return c;
            case 'b':
                return '\b';
            case 'f':
                return '\f';
            case 'n':
                return '\n';
            case 'r':
                return '\r';
            case 't':
                return '\t';
            case 'u':
                try {
                    at += 4;
                    return (char) Integer.parseInt(text.substring(at - 4, at), 16);
                } catch (RuntimeException none) {
                    throw malformed("an escape is malformed");
                }
            default:
                throw malformed("an escape is malformed");
        }
    }

    private Object word(String word, Object value) {
        if (!text.startsWith(word, at)) {
            throw malformed("a value is malformed");
        }
        at += word.length();
        return value;
    }

    private Number number() {
        int start = at;
        boolean whole = true;
        while (at < text.length() && "+-0123456789.eE".indexOf(text.charAt(at)) >= 0) {
            whole &= ".eE".indexOf(text.charAt(at)) < 0;
            at++;
        }
        String digits = text.substring(start, at);
        try {
            if (!whole) {
                return new Decimal(new BigDecimal(digits).toString());
            }
            BigInteger exact = new BigInteger(digits);
            return exact.bitLength() < 32 ? (Number) exact.intValue() : exact.bitLength() < 64 ? (Number) exact.longValue() : exact;
        } catch (NumberFormatException none) {
            throw malformed("a value is malformed");
        }
    }

    private void space() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private Malformed malformed(String why) {
        return new Malformed("no JSON: " + why + " (at character " + at + ")");
    }

    /** The text of values as {@link #parse} makes them; other numbers as they write themselves. */
    static String write(Object value) {
        StringBuilder out = new StringBuilder();
        write(value, out);
        return out.toString();
    }

    private static void write(Object value, StringBuilder out) {
        if (value instanceof Map) {
            String between = "{";
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
                out.append(between);
                string(entry.getKey().toString(), out);
                out.append(':');
                write(entry.getValue(), out);
                between = ",";
            }
            out.append(between.equals("{") ? "{}" : "}");
        } else if (value instanceof List) {
            String between = "[";
            for (Object element : (List<?>) value) {
                out.append(between);
                write(element, out);
                between = ",";
            }
            out.append(between.equals("[") ? "[]" : "]");
        } else if (value == null || value instanceof Boolean || value instanceof Number) {
            out.append(value);
        } else {
            string(value.toString(), out);
        }
    }

    private static void string(String text, StringBuilder out) {
        out.append('"');
        for (int n = 0; n < text.length(); n++) {
            char c = text.charAt(n);
            switch (c) {
                case '"':
                case '\\':
                    out.append('\\').append(c);
                    break;
                case '\n':
                    out.append("\\n");
                    break;
                case '\r':
                    out.append("\\r");
                    break;
                case '\t':
                    out.append("\\t");
                    break;
                default:
                    if (c < ' ') {
                        out.append(String.format("\\u%04x", (int) c));
                    } else {
                        out.append(c);
                    }
            }
        }
        out.append('"');
    }
}
