def one(event, context):
    for record in event["Records"]:
        print("ONE", record["dynamodb"]["NewImage"]["kind"]["S"])


def three(event, context):
    for record in event["Records"]:
        print("THREE", record["dynamodb"]["NewImage"]["kind"]["S"])
    return {"batchItemFailures": []}
