"""A model of tags. DynamoDB Local has none, so this stands in for the oracle. Source: docs/spec/dynamodb-api.md 8.3."""

from .client import Answer


class Tags:
    """The tags of every table of a round."""

    def __init__(self):
        self._tables = {}

    def answer(self, operation, request):
        """What AWS says to a request whose `ResourceArn` is the table's name. Refused requests change nothing."""
        tags = self._tables.setdefault(request["ResourceArn"], {})
        if operation == "TagResource":
            fault = _tags_fault(request["Tags"])
            if not fault:
                tags.update((tag["Key"], tag["Value"]) for tag in request["Tags"])
        elif operation == "UntagResource":
            fault = None if request["TagKeys"] else "Atleast one Tag Key needs to be provided as Input."
            for key in request["TagKeys"]:
                tags.pop(key, None)
        else:
            return Answer(200, {"Tags": [{"Key": key, "Value": value} for key, value in sorted(tags.items())]})
        return Answer(400, {"__type": "ValidationException", "message": fault}) if fault else Answer(200, {})


def list_all(endpoint, request):
    """Every page of the target's tags as one answer."""
    pages, tags = endpoint.pages("ListTagsOfResource", request, "NextToken", "NextToken"), []
    if pages[-1].error or any(len(page.body["Tags"]) != 10 for page in pages[:-1]):
        return pages[-1]
    for page in pages:
        tags += page.body["Tags"]
    return Answer(200, {"Tags": sorted(tags, key=lambda tag: tag["Key"])})


def _tags_fault(tags):
    if not tags:
        return "Atleast one Tag needs to be provided as Input."
    keys = [tag["Key"] for tag in tags]
    for key in keys:
        if "#" in key:
            return f"The Tag Key provided is invalid, Key: {key}"
        if key.startswith("aws:"):
            return f"Tag Key cannot be prefixed with aws:, Key: {key}"
        if keys.count(key) > 1:
            return f"Duplicate Tag Keys provided as input: Duplicate Tag Key found {key}"
    return None
