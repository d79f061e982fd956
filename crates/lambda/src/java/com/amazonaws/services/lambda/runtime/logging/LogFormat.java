package com.amazonaws.services.lambda.runtime.logging;

/** How lines of the log are written. */
public enum LogFormat {
    JSON,
    TEXT;

    public static LogFormat fromString(String format) {
        try {
            return LogFormat.valueOf(format.toUpperCase(java.util.Locale.ROOT));
        } catch (RuntimeException unknown) {
            throw new IllegalArgumentException("Invalid log format: '" + format + "' expected one of [JSON, TEXT]");
        }
    }
}
