import shared
def handler(event, context):
    print("RAN", shared.NAME, len(event["Records"]))
