package shop;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.LambdaRuntime;
import com.amazonaws.services.lambda.runtime.logging.LogLevel;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/** What a handler is told, and what it prints. */
public class Told {
    public Map<String, Object> context(Map<String, Object> event, Context context) {
        Map<String, Object> told = new HashMap<>();
        told.put("event", event);
        told.put("id", context.getAwsRequestId());
        told.put("arn", context.getInvokedFunctionArn());
        told.put("name", context.getFunctionName());
        told.put("version", context.getFunctionVersion());
        told.put("memory", context.getMemoryLimitInMB());
        told.put("group", context.getLogGroupName());
        told.put("stream", context.getLogStreamName().matches("\\d{4}/\\d\\d/\\d\\d/\\[\\$LATEST\\][0-9a-f]{32}"));
        told.put("remaining", context.getRemainingTimeInMillis() > 0 && context.getRemainingTimeInMillis() <= 7000);
        told.put("custom", context.getClientContext().getCustom());
        told.put("identity", context.getIdentity().getIdentityId() + context.getIdentity().getIdentityPoolId());
        told.put("trace", System.getProperty("com.amazonaws.xray.traceHeader").startsWith("Root=1-"));
        told.put("runtime", System.getenv("AWS_EXECUTION_ENV"));
        told.put("own", System.getenv("OWN"));
        told.put("root", Path.of("").toAbsolutePath().toString().equals(System.getenv("LAMBDA_TASK_ROOT")));
        told.put("temporary", System.getProperty("java.io.tmpdir").equals(System.getenv("TMPDIR")));
        told.put("home", System.getProperty("user.home").equals(System.getenv("TMPDIR")));
        return told;
    }

    public void prints(Object event, Context context) {
        System.out.println("Gr\u00fc\u00dfe");
        System.out.print("a piece, ");
        System.out.println("and its end");
        context.getLogger().log("logged");
        context.getLogger().log("logged with a level\n", LogLevel.INFO);
        LambdaRuntime.getLogger().log("logged without a context\n");
        System.err.println("an error");
    }

    public void logs(Object event, Context context) {
        System.out.println("printed");
        context.getLogger().log("bytes as they are".getBytes());
        context.getLogger().log("of no level");
        context.getLogger().log("too little", LogLevel.INFO);
        context.getLogger().log("Gr\u00fc\u00dfe\nin two lines", LogLevel.WARN);
        LambdaRuntime.getLogger().log("without a context", LogLevel.ERROR);
        throw new IllegalStateException("no good");
    }
}
