package tailrace.runtime;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.amazonaws.services.lambda.runtime.RequestStreamHandler;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Type;
import java.lang.reflect.TypeVariable;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;

/**
 * Makes a handler of its name: `package.Class`, which implements one of the two interfaces, or `package.Class::method`, whose
 * parameters say what it is. Source: docs/spec/lambda-runtime.md 7.6.
 */
final class Handlers {
    private Handlers() {}

    static Main.Handler load(String name) throws Fault {
        String[] parts = name == null ? new String[0] : name.split("::", -1);
        if (parts.length == 0 || parts.length > 2 || Arrays.asList(parts).contains("")) {
            throw new Fault("Invalid handler: `" + name + "'", null);
        }
        Class<?> found;
        try {
            found = Class.forName(parts[0], true, Handlers.class.getClassLoader());
        } catch (ClassNotFoundException | NoClassDefFoundError absent) {
            // By its slashes or with other capitals, the name is that of another class.
            boolean itself = absent instanceof ClassNotFoundException || String.valueOf(absent.getMessage()).contains("wrong name");
            throw itself ? new Fault("Class not found: " + parts[0] + notBuilt(parts[0]), absent) : unloadable(parts[0], absent);
        } catch (Throwable thrown) {
            throw unloadable(parts[0], thrown);
        }
        return parts.length == 2 ? ofMethod(found, parts[1]) : ofClass(found);
    }

    private static Fault unloadable(String name, Throwable thrown) {
        Throwable cause = thrown instanceof ExceptionInInitializerError && thrown.getCause() != null ? thrown.getCause() : thrown;
        String hint = "";
        if (thrown instanceof UnsupportedClassVersionError) {
            hint = "\nthis Java is " + System.getProperty("java.version") + " (" + System.getProperty("java.home")
                    + "): a later one in PATH runs it";
        } else if (thrown instanceof NoClassDefFoundError) {
            hint = "\nthe function's package lacks it: it belongs into its jar, or into lib beside its classes";
        }
        return new Fault("Error loading class " + name + (cause.getMessage() == null ? "" : ": " + cause.getMessage()) + hint, cause);
    }

    /** What helps where the code is that of a project that nobody has built. */
    private static String notBuilt(String name) {
        String root = System.getenv("LAMBDA_TASK_ROOT");
        File folder = new File(root == null ? "." : root);
        String[][] builds = {
            {"pom.xml", "mvn package"}, {"build.gradle", "gradle build"}, {"build.gradle.kts", "gradle build"},
            {"build.sbt", "sbt assembly"}
        };
        for (String[] build : builds) {
            if (new File(folder, build[0]).isFile()) {
                return "\n" + folder + " has a " + build[0] + " and is not built: run `sam build` where SAM builds the function, or `"
                        + build[1] + "` and let CodeUri name the jar";
            }
        }
        return "\nthere is no " + name.replace('.', '/') + ".class in " + folder + " or in a jar of its lib folder";
    }

    private static Main.Handler ofClass(Class<?> found) throws Fault {
        if (RequestStreamHandler.class.isAssignableFrom(found)) {
            RequestStreamHandler handler = (RequestStreamHandler) instance(found);
            return (event, context) -> {
                ByteArrayOutputStream out = new ByteArrayOutputStream(1024);
                handler.handleRequest(new ByteArrayInputStream(event), out, context);
                return out.toByteArray();
            };
        }
        if (!RequestHandler.class.isAssignableFrom(found)) {
            throw new Fault("Class does not implement an appropriate handler interface: " + found.getName(), null);
        }
        String vague = "Class " + found.getName() + " does not implement RequestHandler with concrete type parameters";
        Map<TypeVariable<?>, Type> variables = Types.variables(found, Map.of());
        Type[] types = new Type[2];
        for (int n = 0; n < 2; n++) {
            types[n] = Types.resolved(RequestHandler.class.getTypeParameters()[n], variables);
            if (types[n] == RequestHandler.class.getTypeParameters()[n]) {
                throw new Fault(vague, null);
            }
            if (types[n] instanceof TypeVariable && Types.raw(types[n]) == Object.class) {
                throw new Fault(vague + ": parameter " + types[n] + " has no upper bound.", null);
            }
        }
        @SuppressWarnings("unchecked")
        RequestHandler<Object, Object> handler = (RequestHandler<Object, Object>) instance(found);
        Serialization input = Serialization.of(types[0], variables);
        Serialization output = Serialization.of(types[1], variables);
        return (event, context) -> output.write(handler.handleRequest(input.read(event), context));
    }

    /** The longest list of parameters goes first; a last one that is the context counts twice, as on AWS. */
    private static final Comparator<Method> LONGEST_FIRST = Comparator.comparing(Method::isBridge).thenComparing(method -> {
        Class<?>[] parameters = method.getParameterTypes();
        return -(parameters.length + (endsWithContext(parameters) ? 1 : 0));
    });

    private static Main.Handler ofMethod(Class<?> found, String name) throws Fault {
        List<Method> methods = new ArrayList<>();
        try {
            for (Method method : found.getMethods()) {
                if (method.getName().equals(name)) {
                    methods.add(method);
                }
            }
        } catch (NoClassDefFoundError absent) {
            throw new Fault("Error loading method " + name + " on class " + found.getName(), absent);
        }
        methods.sort(LONGEST_FIRST);
        for (Method method : methods) {
            Class<?>[] parameters = method.getParameterTypes();
            int count = parameters.length - (endsWithContext(parameters) ? 1 : 0);
            boolean in = count > 0 && parameters[0] == InputStream.class;
            boolean out = count > 0 && parameters[count - 1] == OutputStream.class;
            if ((in || out) && count == (in ? 1 : 0) + (out ? 1 : 0)) {
                return ofStreamMethod(found, method, in, out);
            }
            if (!in && !out && count <= 1 && !Arrays.asList(parameters).subList(0, count).contains(Context.class)) {
                return ofPlainMethod(found, method, count);
            }
        }
        throw new Fault("No public method named " + name + " with appropriate method signature found on class " + found.getName(), null);
    }

    private static boolean endsWithContext(Class<?>[] parameters) {
        return parameters.length > 0 && parameters[parameters.length - 1] == Context.class;
    }

    private static Main.Handler ofStreamMethod(Class<?> found, Method method, boolean in, boolean out) throws Fault {
        Object instance = instanceFor(found, method);
        return (event, context) -> {
            ByteArrayOutputStream answer = new ByteArrayOutputStream(1024);
            List<Object> arguments = new ArrayList<>();
            if (in) {
                arguments.add(new ByteArrayInputStream(event));
            }
            if (out) {
                arguments.add(answer);
            }
            call(method, instance, arguments, context);
            return answer.toByteArray();
        };
    }

    private static Main.Handler ofPlainMethod(Class<?> found, Method method, int count) throws Fault {
        Object instance = instanceFor(found, method);
        Map<TypeVariable<?>, Type> variables = Types.variables(found, Map.of());
        Serialization input = count == 0 ? null : Serialization.of(method.getGenericParameterTypes()[0], variables);
        Serialization output = Serialization.of(method.getGenericReturnType(), variables);
        return (event, context) -> {
            List<Object> arguments = new ArrayList<>();
            if (input != null) {
                arguments.add(input.read(event));
            }
            return output.write(call(method, instance, arguments, context));
        };
    }

    private static Object call(Method method, Object instance, List<Object> arguments, Invocation context) throws Throwable {
        if (endsWithContext(method.getParameterTypes())) {
            arguments.add(context);
        }
        try {
            return method.invoke(instance, arguments.toArray());
        } catch (InvocationTargetException thrown) {
            throw thrown.getCause() == null ? thrown : thrown.getCause();
        }
    }

    /** What the method is called on; null: it is a static one. */
    private static Object instanceFor(Class<?> found, Method method) throws Fault {
        // A public method of a class that is not public is none to reflection.
        method.setAccessible(true);
        return Modifier.isStatic(method.getModifiers()) ? null : instance(found);
    }

    private static Object instance(Class<?> found) throws Fault {
        Constructor<?> constructor;
        try {
            constructor = found.getConstructor();
        } catch (NoSuchMethodException none) {
            boolean inner = found.getEnclosingClass() != null && !Modifier.isStatic(found.getModifiers());
            String why = inner ? " cannot be instantiated because it is a non-static inner class"
                    : " has no public zero-argument constructor";
            throw new Fault("Class " + found.getName() + why, new Exception("Class " + found.getName() + why, inner ? null : none));
        } catch (LinkageError absent) {
            throw unloadable(found.getName(), absent);
        }
        try {
            constructor.setAccessible(true);
            return constructor.newInstance();
        } catch (InvocationTargetException thrown) {
            Throwable cause = thrown.getCause() == null ? thrown : thrown.getCause();
            String words = cause.getLocalizedMessage();
            throw new Fault(words == null ? cause.getClass().getName() : words, cause);
        } catch (ReflectiveOperationException | LinkageError thrown) {
            throw unloadable(found.getName(), thrown);
        }
    }
}
