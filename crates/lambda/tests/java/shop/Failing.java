package shop;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Handlers that fail, each in its own way. */
public class Failing {
    public Object run(Map<String, Object> event) throws Exception {
        switch ((String) event.get("how")) {
            case "throws":
                throw new IllegalStateException("no good", new java.io.IOException("the reason"));
            case "says nothing":
                throw new UnsupportedOperationException();
            case "cannot be described":
                throw new Undescribed();
            case "exits":
                System.exit(3);
                return null;
            case "ends":
                System.exit(0);
                return null;
            case "is killed":
                new ProcessBuilder("/bin/sh", "-c", "kill -9 " + ProcessHandle.current().pid()).start();
                Thread.sleep(60_000);
                return null;
            case "hangs":
                for (;;) {
                    Thread.sleep(60_000);
                }
            case "takes all memory":
                List<long[]> all = new ArrayList<>();
                for (;;) {
                    all.add(new long[100_000]);
                }
            case "goes too deep":
                return run(event);
            case "goes in a circle":
                List<Object> circle = new ArrayList<>();
                circle.add(circle);
                return circle;
            case "interrupts itself":
                Thread.currentThread().interrupt();
                return "done";
            default:
                return ProcessHandle.current().pid();
        }
    }

    public Object numbers(List<Integer> numbers) {
        return numbers;
    }

    static class Undescribed extends RuntimeException {
        @Override
        public String getMessage() {
            throw new IllegalStateException("nor does this");
        }

        @Override
        public String toString() {
            throw new IllegalStateException("nor does this");
        }
    }
}
