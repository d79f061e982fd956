"""Prints a line for every player whose score rose by more than the threshold."""

import os

THRESHOLD = int(os.environ.get("LEVEL_UP_THRESHOLD", "100"))


def handler(event, context):
    for record in event["Records"]:
        if record["eventName"] != "MODIFY":
            continue
        change = record["dynamodb"]
        before = score(change["OldImage"])
        after = score(change["NewImage"])
        if after - before > THRESHOLD:
            user = change["Keys"]["UserId"]["S"]
            print(f"User {user} just leveled up! ({before} -> {after})")


def score(image):
    return int(image.get("Score", {"N": "0"})["N"])
