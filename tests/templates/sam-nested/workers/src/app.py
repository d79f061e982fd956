import os


def handler(event, context):
    name = context.function_name
    print("RAN", name, os.environ["TABLE"], os.environ["FROM_STREAM"], len(event["Records"]))
