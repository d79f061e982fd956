package com.amazonaws.services.lambda.runtime.logging;

/** How urgent a line of the log is. */
public enum LogLevel {
    UNDEFINED,
    TRACE,
    DEBUG,
    INFO,
    WARN,
    ERROR,
    FATAL;

    public static LogLevel fromString(String level) {
        try {
            return LogLevel.valueOf(level.toUpperCase(java.util.Locale.ROOT));
        } catch (RuntimeException unknown) {
            String levels = "[TRACE, DEBUG, INFO, WARN, ERROR, FATAL]";
            throw new IllegalArgumentException("Invalid log level: '" + level + "' expected one of " + levels);
        }
    }
}
