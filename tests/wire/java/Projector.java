package shop;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.amazonaws.services.lambda.runtime.events.DynamodbEvent;
import com.amazonaws.services.lambda.runtime.events.StreamsEventResponse;
import com.amazonaws.services.lambda.runtime.events.models.dynamodb.AttributeValue;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Prints each record, and answers with those whose key begins with "bad" as failed. */
public class Projector implements RequestHandler<DynamodbEvent, StreamsEventResponse> {
    @Override
    public StreamsEventResponse handleRequest(DynamodbEvent event, Context context) {
        List<StreamsEventResponse.BatchItemFailure> failures = new ArrayList<>();
        for (DynamodbEvent.DynamodbStreamRecord record : event.getRecords()) {
            String key = record.getDynamodb().getKeys().get("pk").getS();
            Map<String, AttributeValue> image = record.getDynamodb().getNewImage();
            AttributeValue attribute = image == null ? null : image.get("v");
            long age = System.currentTimeMillis() - record.getDynamodb().getApproximateCreationDateTime().getTime();
            boolean isFresh = age > -60_000 && age < 60_000;
            System.out.println("SAW " + record.getEventName() + " " + key + " " + attribute + " " + isFresh
                    + " " + record.getDynamodb().getStreamViewType() + " " + record.getEventSourceARN().contains(":table/things/stream/"));
            if (key.startsWith("bad")) {
                failures.add(new StreamsEventResponse.BatchItemFailure(record.getDynamodb().getSequenceNumber()));
            }
        }
        return new StreamsEventResponse(failures);
    }
}
