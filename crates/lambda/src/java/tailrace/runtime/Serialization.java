package tailrace.runtime;

import com.amazonaws.services.lambda.runtime.CustomPojoSerializer;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.lang.reflect.Type;
import java.lang.reflect.TypeVariable;
import java.nio.charset.StandardCharsets;
import java.util.Iterator;
import java.util.Map;
import java.util.ServiceLoader;

/** The way of one type between JSON and Java: the function's own serializer, where it brings one, or ours. */
abstract class Serialization {
    private static final byte[] NULL = {'n', 'u', 'l', 'l'};
    private static CustomPojoSerializer own;
    private static boolean looked;

    abstract Object from(byte[] json);

    abstract byte[] to(Object value);

    /** An event as the handler takes it. */
    final Object read(byte[] event) {
        try {
            return from(event);
        } catch (Throwable thrown) {
            Fault.cutOurs(thrown);
            throw new RuntimeException("An error occurred during JSON parsing", thrown);
        }
    }

    /** What the handler returned as JSON. */
    final byte[] write(Object value) {
        try {
            return to(value);
        } catch (Throwable thrown) {
            Fault.cutOurs(thrown);
            throw new RuntimeException("An error occurred during JSON serialization of response", thrown);
        }
    }

    static Serialization of(Type type, Map<TypeVariable<?>, Type> variables) throws Fault {
        Type resolved = Types.resolved(type, variables);
        boolean isVoid = resolved == void.class || resolved == Void.class;
        CustomPojoSerializer serializer = isVoid ? null : ownSerializer();
        return new Serialization() {
            @Override
            Object from(byte[] json) {
                if (isVoid) {
                    return null;
                }
                if (serializer != null) {
                    return serializer.fromJson(new ByteArrayInputStream(json), resolved);
                }
                return Reading.read(Json.parse(new String(json, StandardCharsets.UTF_8)), resolved, variables);
            }

            @Override
            byte[] to(Object value) {
                if (isVoid) {
                    return NULL;
                }
                if (serializer != null) {
                    ByteArrayOutputStream out = new ByteArrayOutputStream(1024);
                    serializer.toJson(value, out, resolved);
                    return out.toByteArray();
                }
                return Json.write(Writing.plain(value)).getBytes(StandardCharsets.UTF_8);
            }
        };
    }

    private static CustomPojoSerializer ownSerializer() throws Fault {
        if (looked) {
            return own;
        }
        looked = true;
        try {
            ClassLoader loader = Serialization.class.getClassLoader();
            Iterator<CustomPojoSerializer> all = ServiceLoader.load(CustomPojoSerializer.class, loader).iterator();
            own = all.hasNext() ? all.next() : null;
            if (own != null && all.hasNext()) {
                throw new Fault("Too many serializers provided inside the META-INF/services folder, only one is allowed", null);
            }
        } catch (java.util.ServiceConfigurationError | LinkageError thrown) {
            throw new Fault(String.valueOf(thrown.getMessage()), thrown);
        }
        return own;
    }
}
