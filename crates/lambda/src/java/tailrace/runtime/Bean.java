package tailrace.runtime;

import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Member;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Type;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * The properties of a class: its getters, setters and public fields, or the components of a record. Annotations are not looked
 * at, as AWS's own client does not look at those of the function. Source: docs/spec/lambda-runtime.md 7.6.
 */
final class Bean {
    private static final Map<Class<?>, Bean> KNOWN = new ConcurrentHashMap<>();

    /** The packages of AWS's events, whose members are written in several ways. */
    private static final List<String> EVENT_PACKAGES = List.of(
            "com.amazonaws.services.lambda.runtime.events", "com.amazonaws.services.dynamodbv2.model", "com.amazonaws.services.s3.event");

    /** Classes of events whose members begin with a capital in JSON. */
    private static final Set<String> CAPITALS = Set.of(
            "DynamodbEvent", "KinesisEvent", "S3EventNotification", "SNSEvent", "SQSEvent", "StreamRecord", "AttributeValue");

    /** One of AWS's events: a date there is a number of seconds. */
    final boolean isEvent;
    final Map<String, Getter> getters = new LinkedHashMap<>();
    private final Map<String, Setter> setters = new LinkedHashMap<>();
    private final Map<String, Setter> settersInSmall = new LinkedHashMap<>();
    /** Of a record: in the order of its components. */
    private final List<Setter> components = new ArrayList<>();
    private final Class<?> of;
    private Constructor<?> constructor;

    private Bean(Class<?> of) {
        this.of = of;
        isEvent = EVENT_PACKAGES.stream().anyMatch(name -> of.getName().startsWith(name + "."));
        if (isRecord()) {
            addComponents();
        } else {
            addGetters();
            addSetters();
            addFields();
            try {
                constructor = of.getDeclaredConstructor();
                constructor.setAccessible(true);
            } catch (NoSuchMethodException none) {
                constructor = null;
            }
        }
        setters.forEach((name, setter) -> settersInSmall.putIfAbsent(name.toLowerCase(Locale.ROOT), setter));
    }

    static Bean of(Class<?> of) {
        return KNOWN.computeIfAbsent(of, Bean::new);
    }

    /** What a member of an object is set with; null: the class has none such. */
    Setter setter(String name) {
        Setter setter = setters.get(name);
        return setter == null && isEvent ? settersInSmall.get(name.toLowerCase(Locale.ROOT)) : setter;
    }

    /** A new object with these values. */
    Object make(Map<Setter, Object> values) {
        try {
            if (!components.isEmpty() || isRecord()) {
                Object[] arguments = new Object[components.size()];
                for (int n = 0; n < arguments.length; n++) {
                    Setter component = components.get(n);
                    Object value = values.get(component);
                    arguments[n] = value == null ? Reading.nothing(Types.raw(component.type)) : value;
                }
                return constructor.newInstance(arguments);
            }
            if (constructor == null) {
                String why = ": it has no constructor without arguments";
                throw new IllegalArgumentException("Cannot construct an instance of " + of.getName() + why);
            }
            Object made = constructor.newInstance();
            for (Map.Entry<Setter, Object> value : values.entrySet()) {
                value.getKey().set(made, value.getValue());
            }
            return made;
        } catch (InvocationTargetException thrown) {
            throw new IllegalArgumentException("Cannot construct an instance of " + of.getName(), thrown.getCause());
        } catch (ReflectiveOperationException thrown) {
            throw new IllegalArgumentException("Cannot construct an instance of " + of.getName(), thrown);
        }
    }

    private boolean isRecord() {
        // Records are younger than the language that this is written in.
        return of.getSuperclass() != null && of.getSuperclass().getName().equals("java.lang.Record");
    }

    private void addComponents() {
        List<Class<?>> types = new ArrayList<>();
        for (Field field : of.getDeclaredFields()) {
            if (Modifier.isStatic(field.getModifiers())) {
                continue;
            }
            types.add(field.getType());
            Setter component = new Setter(field, field.getGenericType());
            components.add(component);
            setters.put(field.getName(), component);
            try {
                getters.put(field.getName(), new Getter(accessible(of.getDeclaredMethod(field.getName()))));
            } catch (NoSuchMethodException none) {
                throw new IllegalArgumentException(of.getName() + " is no record", none);
            }
        }
        try {
            constructor = of.getDeclaredConstructor(types.toArray(new Class<?>[0]));
            constructor.setAccessible(true);
        } catch (NoSuchMethodException none) {
            throw new IllegalArgumentException(of.getName() + " is no record", none);
        }
    }

    private void addGetters() {
        for (Method method : of.getMethods()) {
            if (Modifier.isStatic(method.getModifiers()) || method.isBridge() || method.getParameterCount() > 0
                    || method.getDeclaringClass() == Object.class || method.getReturnType() == void.class) {
                continue;
            }
            String name = method.getName();
            boolean isFlag = method.getReturnType() == boolean.class || method.getReturnType() == Boolean.class;
            String property = name.startsWith("get") ? name.substring(3) : isFlag && name.startsWith("is") ? name.substring(2) : "";
            if (!property.isEmpty()) {
                // `getX` counts where there is `isX`, too.
                String written = written(property, method);
                if (name.startsWith("get") || !getters.containsKey(written)) {
                    getters.put(written, new Getter(accessible(method)));
                }
            }
        }
    }

    private void addSetters() {
        for (Class<?> from = of; from != null && from != Object.class; from = from.getSuperclass()) {
            for (Method method : from.getDeclaredMethods()) {
                String name = method.getName();
                if (!name.startsWith("set") || name.length() == 3 || method.getParameterCount() != 1 || method.isBridge()
                        || Modifier.isStatic(method.getModifiers())) {
                    continue;
                }
                String written = written(name.substring(3), method);
                Setter setter = new Setter(accessible(method), method.getGenericParameterTypes()[0]);
                // Of several the one that takes what the getter gives; of equal ones the nearest class's.
                Setter other = setters.get(written);
                if (other == null || fit(setter, written) > fit(other, written)) {
                    setters.put(written, setter);
                }
            }
        }
    }

    private int fit(Setter setter, String property) {
        Getter getter = getters.get(property);
        Class<?> takes = Types.raw(setter.type);
        if (getter == null) {
            return takes == String.class ? 1 : 0;
        }
        Class<?> gives = Types.raw(getter.type);
        return takes == gives ? 3 : takes.isAssignableFrom(gives) ? 2 : takes == String.class ? 1 : 0;
    }

    private void addFields() {
        for (Field field : of.getFields()) {
            int modifiers = field.getModifiers();
            if (Modifier.isStatic(modifiers) || Modifier.isTransient(modifiers)) {
                continue;
            }
            field.setAccessible(true);
            getters.putIfAbsent(field.getName(), new Getter(field));
            if (!Modifier.isFinal(modifiers)) {
                setters.putIfAbsent(field.getName(), new Setter(field, field.getGenericType()));
            }
        }
    }

    /** A property as JSON has it: as Java's beans name it, but for some of AWS's events. */
    private String written(String property, Method method) {
        if (isEvent && CAPITALS.contains(method.getDeclaringClass().getSimpleName())) {
            return property;
        }
        boolean isWord = property.length() > 1 && Character.isUpperCase(property.charAt(0)) && Character.isUpperCase(property.charAt(1));
        return isWord ? property : Character.toLowerCase(property.charAt(0)) + property.substring(1);
    }

    private static Method accessible(Method method) {
        method.setAccessible(true);
        return method;
    }

    /** What a property is read with. */
    static final class Getter {
        final Type type;
        private final Member member;

        Getter(Method method) {
            member = method;
            type = method.getGenericReturnType();
        }

        Getter(Field field) {
            member = field;
            type = field.getGenericType();
        }

        Object get(Object from) {
            try {
                return member instanceof Method ? ((Method) member).invoke(from) : ((Field) member).get(from);
            } catch (InvocationTargetException thrown) {
                throw new IllegalArgumentException(from.getClass().getName() + "." + member.getName(), thrown.getCause());
            } catch (IllegalAccessException refused) {
                throw new IllegalArgumentException(from.getClass().getName() + "." + member.getName(), refused);
            }
        }
    }

    /** What a property is set with; of a record a component. */
    static final class Setter {
        final Type type;
        private final Member member;

        Setter(Member member, Type type) {
            this.member = member;
            this.type = type;
        }

        String name() {
            return member.getName();
        }

        private void set(Object into, Object value) throws ReflectiveOperationException {
            if (value == null && Types.raw(type).isPrimitive()) {
                return;
            }
            if (member instanceof Method) {
                ((Method) member).invoke(into, value);
            } else {
                ((Field) member).set(into, value);
            }
        }
    }
}
