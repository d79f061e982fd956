"""Prints a line for every order that is paid."""


def handler(event, context):
    for record in event["Records"]:
        change = record["dynamodb"]
        order = change["Keys"]["OrderId"]["S"]
        if status(change.get("NewImage")) == "paid" != status(change.get("OldImage")):
            print(f"ship order {order}")


def status(image):
    return (image or {}).get("Status", {}).get("S")
