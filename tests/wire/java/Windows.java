package shop;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.amazonaws.services.lambda.runtime.events.DynamodbTimeWindowEvent;
import com.amazonaws.services.lambda.runtime.events.TimeWindowEventResponse;
import java.util.HashMap;
import java.util.Map;

/** Counts the records of a window in its state. */
public class Windows implements RequestHandler<DynamodbTimeWindowEvent, TimeWindowEventResponse> {
    @Override
    public TimeWindowEventResponse handleRequest(DynamodbTimeWindowEvent event, Context context) {
        Map<String, String> state = new HashMap<>(event.getState() == null ? Map.of() : event.getState());
        int count = Integer.parseInt(state.getOrDefault("count", "0")) + event.getRecords().size();
        state.put("count", String.valueOf(count));
        if (event.getIsFinalInvokeForWindow()) {
            System.out.println("WINDOW of " + count + ", " + event.getShardId().startsWith("shardId-"));
        }
        return TimeWindowEventResponse.builder().withState(state).build();
    }
}
