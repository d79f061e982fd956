def run(event, context):
    for record in event["Records"]:
        print("FORWARD", record["eventName"], record["dynamodb"]["Keys"]["at"]["N"], "by", context.function_name)
