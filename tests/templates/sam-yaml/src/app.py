import os


def handler(event, context):
    for record in event["Records"]:
        print(record["eventName"], record["dynamodb"]["Keys"]["pk"]["S"], "of", os.environ["TABLE_NAME"])
