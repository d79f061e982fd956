import os


def process(event, context):
    print("PROCESSED", event["Records"][0]["dynamodb"]["NewImage"]["id"]["S"], os.environ["KEY"], os.environ["ROLE"])
