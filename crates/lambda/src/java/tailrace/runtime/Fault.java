package tailrace.runtime;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * A handler that cannot be loaded; and the documents of errors. Source: docs/spec/lambda-runtime.md 4, 7.6.
 *
 * <p>Making a document cannot fail, whatever the exception's own methods do.
 */
final class Fault extends Exception {
    private static final long serialVersionUID = 1L;
    private static final String OURS = Main.class.getPackageName() + ".";
    /** The type that the host is told where the document, as on AWS, has none. */
    private static final String NO_TYPE = "Runtime.BadFunctionCode";

    /** The `errorType`. */
    final String type;
    private final boolean hasType;

    Fault(String message, Throwable cause) {
        super(message, cause);
        hasType = cause != null;
        type = hasType ? cause.getClass().getName() : NO_TYPE;
    }

    /** AWS tells neither a trace nor, where no exception is behind it, a type. */
    byte[] document() {
        return bytes(getMessage(), hasType ? type : null, null);
    }

    /** What is printed. */
    String shown() {
        Throwable cause = getCause();
        if (cause == null) {
            return getMessage();
        }
        cutOurs(cause);
        return getMessage() + ": " + type + "\n" + trace(cause);
    }

    static byte[] document(Throwable thrown) {
        List<Object> trace = new ArrayList<>();
        for (StackTraceElement frame : frames(thrown)) {
            trace.add(frame.toString());
        }
        return bytes(words(thrown), thrown.getClass().getName(), trace);
    }

    static String shown(Throwable thrown) {
        return words(thrown) + ": " + thrown.getClass().getName() + "\n" + trace(thrown);
    }

    /** A text as a header may have it. */
    static String printable(String text) {
        return text.replaceAll("[^\\x20-\\x7e]", "?");
    }

    /** Takes our own frames, and those below them, out of the traces of an exception and of its causes. */
    static void cutOurs(Throwable thrown) {
        cutOurs(thrown, Collections.newSetFromMap(new IdentityHashMap<>()));
    }

    private static void cutOurs(Throwable thrown, Set<Throwable> seen) {
        if (thrown == null || !seen.add(thrown)) {
            return;
        }
        try {
            StackTraceElement[] frames = thrown.getStackTrace();
            for (int n = 0; n < frames.length; n++) {
                if (frames[n].getClassName().startsWith(OURS)) {
                    thrown.setStackTrace(java.util.Arrays.copyOf(frames, n));
                    break;
                }
            }
            cutOurs(thrown.getCause(), seen);
            for (Throwable suppressed : thrown.getSuppressed()) {
                cutOurs(suppressed, seen);
            }
        } catch (RuntimeException itsOwn) {
            // Methods of the function's: the trace stays as it is.
        }
    }

    /** What an exception says of itself; its name where it says nothing. */
    private static String words(Throwable thrown) {
        try {
            String words = thrown.getLocalizedMessage();
            return words == null ? thrown.getClass().getName() : words;
        } catch (RuntimeException itsOwn) {
            return thrown.getClass().getName();
        }
    }

    private static StackTraceElement[] frames(Throwable thrown) {
        try {
            return thrown.getStackTrace();
        } catch (RuntimeException itsOwn) {
            return new StackTraceElement[0];
        }
    }

    private static String trace(Throwable thrown) {
        StringWriter text = new StringWriter();
        try {
            thrown.printStackTrace(new PrintWriter(text, true));
        } catch (RuntimeException itsOwn) {
            text.append(thrown.getClass().getName());
        }
        return text.toString();
    }

    private static byte[] bytes(String message, String type, List<Object> trace) {
        Map<String, Object> document = new LinkedHashMap<>();
        document.put("errorMessage", message);
        if (type != null) {
            document.put("errorType", type);
        }
        if (trace != null) {
            document.put("stackTrace", trace);
        }
        return Json.write(document).getBytes(StandardCharsets.UTF_8);
    }
}
