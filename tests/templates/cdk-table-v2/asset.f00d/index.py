import os


def handler(event, context):
    print("RAN", len(event["Records"]), os.environ["TABLE"], os.environ["TOPIC_ARN"])
