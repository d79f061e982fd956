package tailrace.runtime;

import java.lang.reflect.Array;
import java.lang.reflect.GenericArrayType;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Modifier;
import java.lang.reflect.Type;
import java.lang.reflect.TypeVariable;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collection;
import java.util.Date;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.UUID;

/**
 * Makes objects of JSON values, by the rules of the serializer that AWS's client has: members that a class does not know are
 * passed over, one value stands for a list of one, an empty text for no object, a number for a text and the reverse.
 */
final class Reading {
    /** Concrete classes for the interfaces that handlers name. */
    private static final List<Class<?>> COLLECTIONS =
            List.of(ArrayList.class, LinkedHashSet.class, TreeSet.class, ArrayDeque.class);
    private static final List<Class<?>> MAPS = List.of(LinkedHashMap.class, TreeMap.class);

    /** Dates are seconds: inside of one of AWS's events. */
    private final boolean inSeconds;

    private Reading(boolean inSeconds) {
        this.inSeconds = inSeconds;
    }

    static Object read(Object json, Type type, Map<TypeVariable<?>, Type> variables) {
        return new Reading(false).value(json, type, variables);
    }

    private Object value(Object json, Type declared, Map<TypeVariable<?>, Type> around) {
        Type type = Types.resolved(declared, around);
        Class<?> raw = Types.raw(type);
        if (raw == Optional.class) {
            return Optional.ofNullable(json == null ? null : value(json, argument(type, Optional.class, 0, around), around));
        }
        if (json == null) {
            return nothing(raw);
        }
        if (raw.isInstance(json) && (raw == String.class || raw == Boolean.class)) {
            return json;
        }
        if (raw == Object.class || raw == Number.class || raw == java.io.Serializable.class) {
            return natural(json);
        }
        if (Map.class.isAssignableFrom(raw)) {
            return map(json, type, raw, around);
        }
        if (raw == byte[].class || raw == ByteBuffer.class) {
            byte[] bytes = Base64.getDecoder().decode(text(json, raw));
            return raw == byte[].class ? bytes : ByteBuffer.wrap(bytes);
        }
        if (raw.isArray() || Collection.class.isAssignableFrom(raw) || raw == Iterable.class) {
            return list(json, type, raw, around);
        }
        if (json instanceof List && ((List<?>) json).size() <= 1) {
            // One in a list stands for itself, and none for nothing.
            return ((List<?>) json).isEmpty() ? nothing(raw) : value(((List<?>) json).get(0), type, around);
        }
        if (json instanceof Map) {
            return object((Map<?, ?>) json, type, raw, around);
        }
        return scalar(json, raw);
    }

    /** What stands for null: zero, where there is no null. */
    static Object nothing(Class<?> raw) {
        return raw.isPrimitive() ? Array.get(Array.newInstance(raw, 1), 0) : null;
    }

    /** A value for a handler that asks for no type. */
    private static Object natural(Object json) {
        if (json instanceof Json.Decimal) {
            return ((Json.Decimal) json).doubleValue();
        }
        if (json instanceof List) {
            @SuppressWarnings("unchecked")
            List<Object> list = (List<Object>) json;
            list.replaceAll(Reading::natural);
        } else if (json instanceof Map) {
            @SuppressWarnings("unchecked")
            Map<String, Object> map = (Map<String, Object>) json;
            map.replaceAll((name, value) -> natural(value));
        }
        return json;
    }

    private static Type argument(Type type, Class<?> generic, int n, Map<TypeVariable<?>, Type> around) {
        Type argument = Types.argument(type, generic, n, around);
        return argument == null ? Object.class : argument;
    }

    private Object map(Object json, Type type, Class<?> raw, Map<TypeVariable<?>, Type> around) {
        if (!(json instanceof Map)) {
            if (json.equals("") || json.equals(List.of())) {
                return null;
            }
            throw wrong(json, raw);
        }
        Type keys = argument(type, Map.class, 0, around);
        Type values = argument(type, Map.class, 1, around);
        @SuppressWarnings("unchecked")
        Map<Object, Object> map = (Map<Object, Object>) instance(raw, MAPS);
        Class<?> rawKeys = Types.raw(keys);
        ((Map<?, ?>) json).forEach((key, value) ->
                map.put(rawKeys == Object.class ? key : scalar(key, rawKeys), value(value, values, around)));
        return map;
    }

    private Object list(Object json, Type type, Class<?> raw, Map<TypeVariable<?>, Type> around) {
        if (json.equals("")) {
            return null;
        }
        List<?> elements = json instanceof List ? (List<?>) json : Arrays.asList(json);
        if (raw.isArray()) {
            Type of = type instanceof GenericArrayType ? ((GenericArrayType) type).getGenericComponentType() : raw.getComponentType();
            Object array = Array.newInstance(raw.getComponentType(), elements.size());
            for (int n = 0; n < elements.size(); n++) {
                Array.set(array, n, value(elements.get(n), of, around));
            }
            return array;
        }
        Type of = argument(type, Iterable.class, 0, around);
        @SuppressWarnings("unchecked")
        Collection<Object> list = (Collection<Object>) instance(raw, COLLECTIONS);
        for (Object element : elements) {
            list.add(value(element, of, around));
        }
        return list;
    }

    private static Object instance(Class<?> raw, List<Class<?>> usual) {
        if (!raw.isInterface() && !Modifier.isAbstract(raw.getModifiers())) {
            return Bean.of(raw).make(Map.of());
        }
        for (Class<?> candidate : usual) {
            if (raw.isAssignableFrom(candidate)) {
                return Bean.of(candidate).make(Map.of());
            }
        }
        throw new IllegalArgumentException("Cannot construct an instance of " + raw.getName());
    }

    private Object object(Map<?, ?> json, Type type, Class<?> raw, Map<TypeVariable<?>, Type> around) {
        if (raw.isPrimitive() || raw.isEnum() || raw.getName().startsWith("java.")) {
            throw wrong(json, raw);
        }
        if (raw.isInterface() || Modifier.isAbstract(raw.getModifiers())) {
            throw new IllegalArgumentException("Cannot construct an instance of " + raw.getName() + ": it is abstract");
        }
        Bean bean = Bean.of(raw);
        Reading inner = bean.isEvent == inSeconds ? this : new Reading(bean.isEvent);
        Map<TypeVariable<?>, Type> variables = Types.variables(type, around);
        Map<Bean.Setter, Object> values = new IdentityHashMap<>();
        json.forEach((name, value) -> {
            Bean.Setter setter = bean.setter(name.toString());
            if (setter != null) {
                try {
                    values.put(setter, inner.value(value, setter.type, variables));
                } catch (RuntimeException thrown) {
                    throw new IllegalArgumentException(raw.getName() + "[\"" + name + "\"]: " + thrown.getMessage(), thrown);
                }
            }
        });
        return bean.make(values);
    }

    private Object scalar(Object json, Class<?> raw) {
        if (raw == String.class || raw == CharSequence.class) {
            return text(json, raw);
        }
        if (json.equals("")) {
            return nothing(raw);
        }
        if (raw == boolean.class || raw == Boolean.class) {
            return flag(json, raw);
        }
        if (raw == char.class || raw == Character.class) {
            String text = text(json, raw);
            return text.charAt(0);
        }
        if (raw.isPrimitive() || Number.class.isAssignableFrom(raw)) {
            return number(json, raw);
        }
        if (raw.isEnum()) {
            for (Object constant : raw.getEnumConstants()) {
                if (((Enum<?>) constant).name().equals(json)) {
                    return constant;
                }
            }
            return null;
        }
        if (raw == Date.class) {
            return date(json);
        }
        if (raw == Instant.class && json instanceof Number) {
            BigDecimal seconds = new BigDecimal(json.toString());
            long whole = seconds.setScale(0, java.math.RoundingMode.FLOOR).longValueExact();
            return Instant.ofEpochSecond(whole, seconds.subtract(BigDecimal.valueOf(whole)).movePointRight(9).longValue());
        }
        return parsed(text(json, raw), raw);
    }

    private static String text(Object json, Class<?> raw) {
        if (json instanceof Map || json instanceof List) {
            throw wrong(json, raw);
        }
        return json.toString();
    }

    private static Object flag(Object json, Class<?> raw) {
        if (json instanceof Boolean) {
            return json;
        }
        if (json.equals("true") || json.equals("True") || json.equals("TRUE")) {
            return true;
        }
        if (json.equals("false") || json.equals("False") || json.equals("FALSE")) {
            return false;
        }
        if (json instanceof Integer) {
            return (Integer) json != 0;
        }
        throw wrong(json, raw);
    }

    private static Object number(Object json, Class<?> raw) {
        BigDecimal exact;
        try {
            exact = new BigDecimal(json.toString().trim());
        } catch (NumberFormatException none) {
            if (raw == double.class || raw == Double.class) {
                return Double.valueOf(json.toString());
            }
            throw wrong(json, raw);
        }
        if (raw == BigDecimal.class) {
            return exact;
        }
        if (raw == double.class || raw == Double.class) {
            return exact.doubleValue();
        }
        if (raw == float.class || raw == Float.class) {
            return exact.floatValue();
        }
        BigInteger whole = exact.toBigInteger();
        try {
            if (raw == BigInteger.class) {
                return whole;
            } else if (raw == long.class || raw == Long.class) {
                return whole.longValueExact();
            } else if (raw == int.class || raw == Integer.class) {
                return whole.intValueExact();
            } else if (raw == short.class || raw == Short.class) {
                return whole.shortValueExact();
            } else if (raw == byte.class || raw == Byte.class) {
                return whole.byteValueExact();
            }
        } catch (ArithmeticException outside) {
            throw new IllegalArgumentException("Numeric value (" + json + ") out of range of " + raw.getName(), outside);
        }
        throw wrong(json, raw);
    }

    private Date date(Object json) {
        if (json instanceof Number) {
            BigDecimal number = new BigDecimal(json.toString());
            return new Date((inSeconds ? number.movePointRight(3) : number).longValue());
        }
        return Date.from(java.time.OffsetDateTime.parse(json.toString()).toInstant());
    }

    /** A class that makes itself of a text. */
    private static Object parsed(String text, Class<?> raw) {
        if (raw == UUID.class) {
            return UUID.fromString(text);
        }
        try {
            if (raw.getName().startsWith("java.time.")) {
                boolean isZone = raw.getSimpleName().startsWith("Zone") && !raw.getSimpleName().equals("ZonedDateTime");
                return isZone ? raw.getMethod("of", String.class).invoke(null, text)
                        : raw.getMethod("parse", CharSequence.class).invoke(null, text);
            }
            if (raw == java.net.URI.class || raw == java.net.URL.class) {
                return raw.getConstructor(String.class).newInstance(text);
            }
            if (raw.getName().equals("org.joda.time.DateTime")) {
                return raw.getConstructor(Object.class).newInstance(text);
            }
        } catch (InvocationTargetException thrown) {
            throw new IllegalArgumentException("Cannot make " + raw.getName() + " of \"" + text + "\"", thrown.getCause());
        } catch (ReflectiveOperationException none) {
            throw wrong(text, raw);
        }
        throw wrong(text, raw);
    }

    private static IllegalArgumentException wrong(Object json, Class<?> raw) {
        String kind = json instanceof Map ? "an object" : json instanceof List ? "an array" : json instanceof String ? "a string"
                : json instanceof Boolean ? "a boolean" : "a number";
        return new IllegalArgumentException("Cannot deserialize value of type " + raw.getName() + " from " + kind);
    }
}
