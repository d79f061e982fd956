package tailrace.runtime;

import com.amazonaws.services.lambda.runtime.Client;
import com.amazonaws.services.lambda.runtime.ClientContext;
import com.amazonaws.services.lambda.runtime.CognitoIdentity;
import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.LambdaLogger;
import java.util.HashMap;
import java.util.Map;

/** The second argument of a handler. */
final class Invocation implements Context {
    private final Host.Answer event;
    private final long deadlineMs;
    private final CognitoIdentity identity;
    private final ClientContext client;

    Invocation(Host.Answer event) {
        this.event = event;
        String deadline = event.header("lambda-runtime-deadline-ms");
        deadlineMs = deadline == null ? 0 : Long.parseLong(deadline);
        Map<?, ?> identityJson = object("lambda-runtime-cognito-identity");
        identity = identityJson == null ? null : new Identity(identityJson);
        Map<?, ?> clientJson = object("lambda-runtime-client-context");
        client = clientJson == null ? null : new ClientOf(clientJson);
    }

    private Map<?, ?> object(String header) {
        String text = event.header(header);
        Object value = text == null || text.isEmpty() ? null : Json.parse(text);
        return value instanceof Map ? (Map<?, ?>) value : null;
    }

    @Override
    public String getAwsRequestId() {
        return event.header("lambda-runtime-aws-request-id");
    }

    @Override
    public String getLogGroupName() {
        return System.getenv("AWS_LAMBDA_LOG_GROUP_NAME");
    }

    @Override
    public String getLogStreamName() {
        return System.getenv("AWS_LAMBDA_LOG_STREAM_NAME");
    }

    @Override
    public String getFunctionName() {
        return System.getenv("AWS_LAMBDA_FUNCTION_NAME");
    }

    @Override
    public String getFunctionVersion() {
        return System.getenv("AWS_LAMBDA_FUNCTION_VERSION");
    }

    @Override
    public String getInvokedFunctionArn() {
        return event.header("lambda-runtime-invoked-function-arn");
    }

    /** Of the newest interfaces; the others do without. */
    public String getTenantId() {
        return event.header("lambda-runtime-aws-tenant-id");
    }

    /** As above. */
    public String getXrayTraceId() {
        return event.header("lambda-runtime-trace-id");
    }

    @Override
    public CognitoIdentity getIdentity() {
        return identity;
    }

    @Override
    public ClientContext getClientContext() {
        return client;
    }

    @Override
    public int getRemainingTimeInMillis() {
        return (int) Math.max(deadlineMs - System.currentTimeMillis(), 0);
    }

    @Override
    public int getMemoryLimitInMB() {
        return Integer.parseInt(System.getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"));
    }

    @Override
    public LambdaLogger getLogger() {
        return Logging.LOGGER;
    }

    private static String text(Map<?, ?> map, String name) {
        Object value = map.get(name);
        return value == null ? null : value.toString();
    }

    /** The caller's identity. */
    private static final class Identity implements CognitoIdentity {
        private final Map<?, ?> json;

        Identity(Map<?, ?> json) {
            this.json = json;
        }

        @Override
        public String getIdentityId() {
            return text(json, "cognitoIdentityId");
        }

        @Override
        public String getIdentityPoolId() {
            return text(json, "cognitoIdentityPoolId");
        }
    }

    /** What a client application says about itself. */
    private static final class ClientOf implements ClientContext, Client {
        private final Map<?, ?> json;
        private final Map<?, ?> client;

        ClientOf(Map<?, ?> json) {
            this.json = json;
            client = json.get("client") instanceof Map ? (Map<?, ?>) json.get("client") : null;
        }

        @Override
        public Client getClient() {
            return client == null ? null : this;
        }

        @Override
        public Map<String, String> getCustom() {
            return texts("custom");
        }

        @Override
        public Map<String, String> getEnvironment() {
            return texts("env");
        }

        private Map<String, String> texts(String name) {
            if (!(json.get(name) instanceof Map)) {
                return null;
            }
            Map<String, String> texts = new HashMap<>();
            ((Map<?, ?>) json.get(name)).forEach((key, value) -> texts.put(key.toString(), value == null ? null : value.toString()));
            return texts;
        }

        @Override
        public String getInstallationId() {
            return text(client, "installation_id");
        }

        @Override
        public String getAppTitle() {
            return text(client, "app_title");
        }

        @Override
        public String getAppVersionName() {
            return text(client, "app_version_name");
        }

        @Override
        public String getAppVersionCode() {
            return text(client, "app_version_code");
        }

        @Override
        public String getAppPackageName() {
            return text(client, "app_package_name");
        }
    }
}
