"""Code of functions and content of layers in buckets of a store that speaks S3, as `sam package` and `serverless` leave them.

Rows: docs/spec/lambda-runtime.md 8.
"""

import io
import os
import pathlib
import re
import sys
import zipfile

import pytest

from conftest import REPOSITORY, wait_until

sys.path.insert(0, str(REPOSITORY / "tests"))
from services import s3 as s3_service  # noqa: E402

pytestmark = pytest.mark.skipif(s3_service.is_left_out(), reason="the tests that need Go are left out")

TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: things
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}]
      KeySchema: [{AttributeName: pk, KeyType: HASH}]
      StreamSpecification: {StreamViewType: NEW_IMAGE}
  Layer:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: s3://artifacts/layers/words.zip}
  Function:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.11
      Handler: app.handler
      CodeUri: {Bucket: artifacts, Key: 0123/code.zip}
      Layers: [!Ref Layer]
      Events:
        Stream:
          Type: DynamoDB
          Properties: {Stream: !GetAtt Table.StreamArn, StartingPosition: TRIM_HORIZON}
  Unused:
    Type: AWS::Lambda::Function
    Properties:
      Runtime: python3.11
      Handler: app.handler
      Code: {S3Bucket: artifacts, S3Key: none.zip}
"""
KEYS = {"AWS_ACCESS_KEY_ID": s3_service.ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": s3_service.SECRET_KEY, "AWS_REGION": "us-east-1"}


def archive(name, text):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr(name, text)
    return data.getvalue()


def code(word):
    return archive("app.py", f"import words\ndef handler(event, context):\n    print('{word}', words.WORD, len(event['Records']))\n")


@pytest.fixture(scope="module")
def store():
    with s3_service.running() as running:
        running.client().create_bucket(Bucket="artifacts")
        yield running


@pytest.fixture
def project(store, tmp_path):
    folder = tmp_path / "application"
    folder.mkdir()
    (folder / "template.yaml").write_text(TEMPLATE)
    client = store.client()
    client.put_object(Bucket="artifacts", Key="0123/code.zip", Body=code("FIRST"))
    client.put_object(Bucket="artifacts", Key="layers/words.zip", Body=archive("python/words.py", "WORD = 'there'\n"))
    return folder


def kept(tmp_path):
    return sorted(path.name for path in (tmp_path / "data/functions/objects").glob("*/*/*"))


def test_the_code_of_a_function_comes_from_a_bucket(start, store, project, tmp_path):
    options = {"command": "up", "positional": [project], "env": {**KEYS, "AWS_ENDPOINT_URL_S3": store.url}}
    server = start(**options)
    server.client().put_item(TableName="things", Item={"pk": {"S": "a"}})
    wait_until(lambda: "FIRST there 1" in server.output(), "the handler of the bucket")
    # A function that nothing uses does not stop the start.
    assert "Unused" in server.output() and "has no object s3://artifacts/none.zip" in server.output()
    assert kept(tmp_path) == ["code.zip", "words.zip"]
    assert server.stop() == 0

    # Another version under the same key is fetched by the next start, and the old one goes.
    store.client().put_object(Bucket="artifacts", Key="0123/code.zip", Body=code("SECOND"))
    server = start(**options)
    server.client().put_item(TableName="things", Item={"pk": {"S": "b"}})
    wait_until(lambda: "SECOND there 1" in server.output(), "the new version")
    assert kept(tmp_path) == ["code.zip", "words.zip"]
    assert server.stop() == 0

    # Where the store does not answer, what was fetched is used, and that is told.
    server = start(**{**options, "env": {**KEYS, "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}})
    server.client().put_item(TableName="things", Item={"pk": {"S": "c"}})
    wait_until(lambda: "SECOND there 1" in server.output(), "the version that is here")
    assert re.search(r"s3://artifacts/0123/code.zip: .*what was fetched before is used", server.output())
    assert server.stop() == 0


def test_code_that_cannot_be_fetched_stops_the_start(start, store, project, tmp_path):
    def fails(*arguments, env):
        server = start(*arguments, command="up", positional=[project], env=env, ready=False, data_dir=tmp_path / f"d{len(arguments)}")
        assert server.process.wait(300) == 1
        return server.output()

    # No store: nothing is asked of anybody, and both ways out are named.
    text = fails(env={**KEYS, "AWS_ENDPOINT_URL_S3": ""})
    assert "--resource artifacts=DIR" in text and "--s3-endpoint URL" in text
    store.client().delete_object(Bucket="artifacts", Key="0123/code.zip")
    text = fails("--s3-endpoint", store.url, env=KEYS)
    assert "Resources.Function.Properties.CodeUri: function Function: " in text, text
    assert f"{store.url} has no object s3://artifacts/0123/code.zip" in text
    text = fails("--s3-endpoint", store.url, "--quiet", env={**KEYS, "AWS_SECRET_ACCESS_KEY": "wrong"})
    assert "SignatureDoesNotMatch" in text, text


def test_an_object_that_is_too_large_or_no_archive_is_told(start, store, project, tmp_path):
    path = pathlib.Path(store.folder) / "data/artifacts/0123/code.zip"
    options = {"command": "up", "positional": [project], "env": {**KEYS, "AWS_ENDPOINT_URL_S3": store.url}, "ready": False}
    store.client().put_object(Bucket="artifacts", Key="0123/code.zip", Body=b"PK\x03\x04 no archive")
    server = start(**options)
    assert server.process.wait(300) == 1
    assert "code.zip" in server.output() and "archive" in server.output(), server.output()
    # A file of the store's that has no bytes on its disk, but a length.
    os.truncate(path, 251 << 20)
    server = start(**options)
    assert server.process.wait(300) == 1
    assert "262144000 at most are fetched" in server.output(), server.output()
    assert not list((tmp_path / "data/functions/objects").glob("*/fetching"))
