package tailrace.runtime;

import java.lang.reflect.GenericArrayType;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.lang.reflect.TypeVariable;
import java.lang.reflect.WildcardType;
import java.util.HashMap;
import java.util.Map;

/** Types of the Java language, with what stands for their variables. */
final class Types {
    private Types() {}

    /** The class of a type. */
    static Class<?> raw(Type type) {
        if (type instanceof Class) {
            return (Class<?>) type;
        }
        if (type instanceof ParameterizedType) {
            return raw(((ParameterizedType) type).getRawType());
        }
        if (type instanceof GenericArrayType) {
            return java.lang.reflect.Array.newInstance(raw(((GenericArrayType) type).getGenericComponentType()), 0).getClass();
        }
        if (type instanceof WildcardType) {
            return raw(((WildcardType) type).getUpperBounds()[0]);
        }
        return raw(((TypeVariable<?>) type).getBounds()[0]);
    }

    /** The type with its outer variable, if it is one, replaced by what stands for it. */
    static Type resolved(Type type, Map<TypeVariable<?>, Type> variables) {
        Type found = type;
        while (found instanceof TypeVariable && variables.containsKey(found)) {
            found = variables.get(found);
        }
        return found;
    }

    /** The n-th argument that a type gives to a generic class or interface above it; null: it gives none. */
    static Type argument(Type type, Class<?> generic, int n, Map<TypeVariable<?>, Type> variables) {
        Map<TypeVariable<?>, Type> all = variables(type, variables);
        return n < generic.getTypeParameters().length ? all.get(generic.getTypeParameters()[n]) : null;
    }

    /** What stands for the variables of a type and of all that is above it, in addition to those that are known around it. */
    static Map<TypeVariable<?>, Type> variables(Type type, Map<TypeVariable<?>, Type> around) {
        Map<TypeVariable<?>, Type> variables = new HashMap<>(around);
        collect(type, variables);
        return variables;
    }

    private static void collect(Type type, Map<TypeVariable<?>, Type> variables) {
        if (type == null) {
            return;
        }
        Class<?> raw = raw(type);
        if (type instanceof ParameterizedType) {
            Type[] arguments = ((ParameterizedType) type).getActualTypeArguments();
            for (int n = 0; n < arguments.length; n++) {
                Type argument = resolved(arguments[n], variables);
                if (argument != raw.getTypeParameters()[n]) {
                    variables.put(raw.getTypeParameters()[n], argument);
                }
            }
        }
        collect(raw.getGenericSuperclass(), variables);
        for (Type above : raw.getGenericInterfaces()) {
            collect(above, variables);
        }
    }
}
