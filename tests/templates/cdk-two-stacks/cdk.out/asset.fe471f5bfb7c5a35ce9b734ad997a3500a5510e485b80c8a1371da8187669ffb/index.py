import os


def handler(event, context):
    for record in event["Records"]:
        print("COUNT", record["dynamodb"]["Keys"]["id"]["S"], "into", os.environ["TOTALS"])
