package tailrace.runtime;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * Runs a Java handler: asks the host for events, calls the handler, posts results and errors.
 *
 * <p>Java's own classes only, Java 11 and later. Usage: {@code java -cp ... tailrace.runtime.Main package.Class::method}. On the
 * class path the function comes first and this last: what it brings of AWS's interfaces counts. Where it brings AWS's runtime
 * interface client, that runs it.
 */
public final class Main {
    private static final String AWS_CLIENT = "com.amazonaws.services.lambda.runtime.api.client.AWSLambda";
    private static final String TRACE_PROPERTY = "com.amazonaws.xray.traceHeader";
    private static final String JSON = "application/json";

    private final Host host;
    private final Handler handler;

    private Main(Host host, Handler handler) {
        this.host = host;
        this.handler = handler;
    }

    public static void main(String[] arguments) {
        String handler = arguments.length > 0 ? arguments[0] : System.getenv("_HANDLER");
        // Each write is seen at once, and all of them are UTF-8.
        System.setOut(unbuffered(FileDescriptor.out));
        System.setErr(unbuffered(FileDescriptor.err));
        if (runAwsClient(handler)) {
            return;
        }
        Logging.provide();
        try {
            Host host = new Host(System.getenv("AWS_LAMBDA_RUNTIME_API"));
            Handler loaded;
            try {
                loaded = Handlers.load(handler);
            } catch (Fault fault) {
                Logging.show(fault.shown());
                host.post("init/error", fault.document(), errorHeaders(fault.type));
                System.exit(1);
                return;
            }
            new Main(host, loaded).serve();
        } catch (IOException lost) {
            System.err.println("the host is lost: " + lost.getMessage());
            System.exit(1);
        }
    }

    /** AWS's own client, where the function brings it; false: it does not, or that one does not run here. */
    private static boolean runAwsClient(String handler) {
        Method main;
        try {
            Class<?> client = Class.forName(AWS_CLIENT, false, Main.class.getClassLoader());
            main = client.getMethod("main", String[].class);
        } catch (ReflectiveOperationException | LinkageError absent) {
            return false;
        }
        try {
            main.invoke(null, (Object) new String[] {handler});
        } catch (InvocationTargetException thrown) {
            Throwable cause = thrown.getCause();
            if (cause instanceof LinkageError && !hasBegun(cause)) {
                // Its native part is for another machine, or what it needs is not there.
                System.err.println("AWS's runtime interface client does not run here (" + cause + "); Tailrace's own runs the function");
                return false;
            }
            cause.printStackTrace();
            System.exit(1);
        } catch (IllegalAccessException refused) {
            return false;
        }
        return true;
    }

    /** It has asked for events: nobody else may any more. */
    private static boolean hasBegun(Throwable thrown) {
        for (StackTraceElement frame : thrown.getStackTrace()) {
            if (frame.getMethodName().contains("RuntimeLoop")) {
                return true;
            }
        }
        return false;
    }

    private void serve() throws IOException {
        for (;;) {
            Host.Answer next = host.next();
            String trace = next.header("lambda-runtime-trace-id");
            if (trace == null) {
                System.clearProperty(TRACE_PROPERTY);
            } else {
                System.setProperty(TRACE_PROPERTY, trace);
            }
            run(next);
            // Set by the function, it would break off our next read.
            Thread.interrupted();
        }
    }

    private void run(Host.Answer event) throws IOException {
        String call = "invocation/" + event.header("lambda-runtime-aws-request-id") + "/";
        byte[] result;
        try {
            Invocation invocation = new Invocation(event);
            Logging.begin(invocation.getAwsRequestId());
            result = handler.call(event.body, invocation);
        } catch (Fault fault) {
            Logging.show(fault.shown());
            host.post(call + "error", fault.document(), errorHeaders(fault.type));
            return;
        } catch (Throwable thrown) {
            Fault.cutOurs(thrown);
            Logging.show(Fault.shown(thrown));
            host.post(call + "error", Fault.document(thrown), errorHeaders(thrown.getClass().getName()));
            if (thrown instanceof VirtualMachineError) {
                // Nobody knows what is left of it.
                System.exit(1);
            }
            return;
        }
        List<String> headers = new ArrayList<>(List.of("Content-Type", JSON));
        String echoed = event.header("lambda-runtime-invocation-id");
        if (echoed != null) {
            headers.addAll(List.of("Lambda-Runtime-Invocation-Id", echoed));
        }
        host.post(call + "response", result, headers);
    }

    private static List<String> errorHeaders(String type) {
        return List.of("Content-Type", JSON, "Lambda-Runtime-Function-Error-Type", Fault.printable(type));
    }

    private static PrintStream unbuffered(FileDescriptor descriptor) {
        try {
            return new PrintStream(new FileOutputStream(descriptor), true, StandardCharsets.UTF_8.name());
        } catch (java.io.UnsupportedEncodingException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    /** What a handler was made into. */
    interface Handler {
        byte[] call(byte[] event, Invocation invocation) throws Throwable;
    }
}
