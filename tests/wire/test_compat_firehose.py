"""COMPAT.md's tables of Firehose against the service's model and against the server."""


import botocore
import botocore.exceptions
import pytest

from conftest import REPOSITORY
from service_model import model_of

STATES = {"done", "differs", "refused"}


MODEL = model_of("firehose", "2015-08-04")


def tables():
    """The rows of the tables of the section: operations, parameters, members of the destinations."""
    section = (REPOSITORY / "COMPAT.md").read_text().split("\n## Firehose\n")[1].split("\n## ")[0]
    found = [[]]
    for line in section.splitlines():
        if line.startswith("|"):
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        elif found[-1]:
            found.append([])
    return [table[2:] for table in found if table]


def test_every_operation_parameter_and_member_of_the_model_has_a_row():
    operations, parameters, *destinations = tables()
    assert [name for name, _, _ in operations] == sorted(MODEL["operations"])
    for row in (*operations, *(row for members in destinations for row in members)):
        assert row[1] in STATES and (row[1] == "done" or row[2]), row
    for row in parameters:
        assert row[2] in STATES and (row[2] == "done" or row[3]), row
    for name, operation in MODEL["operations"].items():
        told = [parameter for owner, of_row, _, _ in parameters if owner == name for parameter in of_row.split(", ")]
        assert sorted(told) == sorted(MODEL["shapes"][operation["input"]["shape"]]["members"]), name
    kinds = tuple(f"{of}DestinationConfiguration" for of in ("ExtendedS3", "HttpEndpoint", "Amazonopensearchservice", "Redshift"))
    for kind, members in zip(kinds, destinations, strict=True):
        told = [member for of_row, _, _ in members for member in of_row.split(", ")]
        assert sorted(told) == sorted(MODEL["shapes"][kind]["members"]), kind


def test_what_is_said_to_be_refused_is(shared_server):
    client = shared_server.client("firehose")
    base = {"BucketARN": "arn:aws:s3:::lake", "RoleARN": "arn:aws:iam::000000000000:role/r"}
    client.create_delivery_stream(DeliveryStreamName="compat", ExtendedS3DestinationConfiguration=base)
    named = {"UpdateDestination": {"CurrentDeliveryStreamVersionId": "1", "DestinationId": "destinationId-000000000001"}}
    calls = {"CreateDeliveryStream": client.create_delivery_stream, "UpdateDestination": client.update_destination}
    filled = {
        "KinesisStreamSourceConfiguration": {
            "KinesisStreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/s", "RoleARN": base["RoleARN"]
        },
    }
    for owner, row, state, _ in tables()[1]:
        for parameter in row.split(", ") if state == "refused" else ():
            arguments = {"DeliveryStreamName": "compat" if owner == "UpdateDestination" else "none", **named.get(owner, {})}
            arguments[parameter] = filled.get(parameter, {})
            if parameter.endswith("SourceConfiguration"):
                arguments["ExtendedS3DestinationConfiguration"] = base
            with pytest.raises(botocore.exceptions.ClientError) as caught:
                calls[owner](**arguments)
            assert caught.value.response["Error"]["Code"] == "InvalidArgumentException", parameter
    assert "none" not in client.list_delivery_streams(Limit=10000)["DeliveryStreamNames"]
