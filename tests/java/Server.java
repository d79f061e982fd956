import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Comparator;
import java.util.function.BooleanSupplier;

import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.awscore.client.builder.AwsClientBuilder;
import software.amazon.awssdk.regions.Region;

/** The real binary on a free loopback port and a data directory of its own, for the tests of this folder. */
final class Server implements AutoCloseable {
    private static final Duration WAIT_MAX = Duration.ofSeconds(120);
    private static final String BINARY = System.getenv().getOrDefault("TAILRACE_BINARY", "target/debug/tailrace");

    private final Path folder = Files.createTempDirectory("tailrace-java-");
    private final URI url;
    private final Process process;

    Server() throws Exception {
        int port;
        try (ServerSocket free = new ServerSocket(0, 0, InetAddress.getLoopbackAddress())) {
            port = free.getLocalPort();
        }
        url = URI.create("http://127.0.0.1:" + port);
        process = new ProcessBuilder(
                        BINARY, "serve", "--port", String.valueOf(port), "--data-dir", folder.resolve("data").toString())
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        HttpRequest request = HttpRequest.newBuilder(url.resolve("/health/ready")).build();
        try (HttpClient client = HttpClient.newHttpClient()) {
            waitUntil("the server to be ready", () -> {
                if (!process.isAlive()) {
                    throw new IllegalStateException("the server ended with " + process.exitValue());
                }
                try {
                    return client.send(request, HttpResponse.BodyHandlers.discarding()).statusCode() == 200;
                } catch (IOException notYet) {
                    return false;
                } catch (InterruptedException stop) {
                    throw new IllegalStateException(stop);
                }
            });
        }
    }

    /** A client of this server. */
    <B extends AwsClientBuilder<B, C>, C> C client(B builder) {
        return builder.endpointOverride(url)
                .region(Region.US_EAST_1)
                .credentialsProvider(StaticCredentialsProvider.create(AwsBasicCredentials.create("tailrace", "tailrace")))
                .overrideConfiguration(settings -> settings.retryStrategy(strategy -> strategy.maxAttempts(1)))
                .build();
    }

    /** Asks until the answer is true; fails with {@code what} when time is up. */
    static void waitUntil(String what, BooleanSupplier condition) {
        long end = System.nanoTime() + WAIT_MAX.toNanos();
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() > end) {
                throw new AssertionError("waited " + WAIT_MAX + " in vain for " + what);
            }
            try {
                Thread.sleep(10);
            } catch (InterruptedException stop) {
                throw new IllegalStateException(stop);
            }
        }
    }

    @Override
    public void close() throws Exception {
        process.destroy();
        int status = process.waitFor();
        try (var files = Files.walk(folder)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
        if (status != 0) {
            throw new AssertionError("the server ended with " + status);
        }
    }
}
