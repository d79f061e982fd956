package tailrace.runtime;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** The host, over one kept-alive HTTP/1.1 connection. Every answer there has a Content-Length. */
final class Host {
    private static final String PREFIX = "/2018-06-01/runtime/";
    private static final int BUFFER_BYTES = 65536;
    /** More than the host writes in a line, names of functions and clients' contexts included. */
    private static final int LINE_BYTES_MAX = 65536;

    private final String address;
    private final InputStream in;
    private final OutputStream out;

    Host(String address) throws IOException {
        this.address = address;
        int colon = address.indexOf(':');
        Socket socket = new Socket(address.substring(0, colon), Integer.parseInt(address.substring(colon + 1)));
        socket.setTcpNoDelay(true);
        in = new BufferedInputStream(socket.getInputStream(), BUFFER_BYTES);
        out = socket.getOutputStream();
    }

    /** Waits for the next event. */
    Answer next() throws IOException {
        Answer answer = call("GET", "invocation/next", null, List.of());
        if (answer.status != 200) {
            throw new IOException("it answered " + answer.status + " to a request for the next event");
        }
        return answer;
    }

    /** Posts; the headers are names and values by turns. */
    void post(String path, byte[] body, List<String> headers) throws IOException {
        Answer answer = call("POST", path, body, headers);
        if (answer.status != 202) {
            throw new IOException("it answered " + answer.status + ": " + new String(answer.body, StandardCharsets.UTF_8));
        }
    }

    private Answer call(String method, String path, byte[] body, List<String> headers) throws IOException {
        StringBuilder head = new StringBuilder(method + " " + PREFIX + path + " HTTP/1.1\r\nHost: " + address);
        head.append("\r\nUser-Agent: tailrace-java/").append(System.getProperty("java.version"));
        if (body != null) {
            head.append("\r\nContent-Length: ").append(body.length);
        }
        for (int n = 0; n < headers.size(); n += 2) {
            head.append("\r\n").append(headers.get(n)).append(": ").append(headers.get(n + 1));
        }
        byte[] headBytes = head.append("\r\n\r\n").toString().getBytes(StandardCharsets.ISO_8859_1);
        if (body != null && body.length < BUFFER_BYTES) {
            ByteArrayOutputStream whole = new ByteArrayOutputStream(headBytes.length + body.length);
            whole.write(headBytes);
            whole.write(body);
            whole.writeTo(out);
        } else {
            out.write(headBytes);
            if (body != null) {
                out.write(body);
            }
        }
        return answer();
    }

    private Answer answer() throws IOException {
        String[] statusLine = line().split(" ", 3);
        if (statusLine.length < 2) {
            throw new IOException("it does not speak HTTP");
        }
        Map<String, String> headers = new HashMap<>();
        for (String line = line(); !line.isEmpty(); line = line()) {
            int colon = line.indexOf(':');
            headers.put(line.substring(0, colon).trim().toLowerCase(Locale.ROOT), line.substring(colon + 1).trim());
        }
        int length = Integer.parseInt(headers.getOrDefault("content-length", "0"));
        byte[] body = in.readNBytes(length);
        if (body.length != length) {
            throw closed();
        }
        int status = Integer.parseInt(statusLine[1]);
        return status == 100 ? answer() : new Answer(status, headers, body);
    }

    private String line() throws IOException {
        ByteArrayOutputStream line = new ByteArrayOutputStream(128);
        for (int read = in.read(); read != '\n'; read = in.read()) {
            if (read < 0) {
                throw closed();
            }
            if (line.size() >= LINE_BYTES_MAX) {
                throw new IOException("it wrote a line without an end");
            }
            line.write(read);
        }
        String text = new String(line.toByteArray(), StandardCharsets.UTF_8);
        return text.endsWith("\r") ? text.substring(0, text.length() - 1) : text;
    }

    private static IOException closed() {
        return new EOFException("it closed the connection");
    }

    /** An answer of the host. */
    static final class Answer {
        final int status;
        final byte[] body;
        private final Map<String, String> headers;

        Answer(int status, Map<String, String> headers, byte[] body) {
            this.status = status;
            this.headers = headers;
            this.body = body;
        }

        /** A header by its name in small letters; null: it is not there. */
        String header(String name) {
            return headers.get(name);
        }
    }
}
