import os


def on_change(event, context):
    print(os.environ["GREETING"], os.environ["ENCODED"], [record["eventName"] for record in event["Records"]])
