def handler(event, context):
    for record in event["Records"]:
        print("SEEN", record["eventName"], record["dynamodb"]["Keys"]["pk"]["S"], "by", context.function_name)
