// The operations over the AWS SDK for JavaScript v3, errors included. Rows: docs/spec/dynamodb-api.md 2, 4, 5, 7.1; docs/spec/streams.md 3-8.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  BatchGetItemCommand, BatchWriteItemCommand, ConditionalCheckFailedException, CreateTableCommand, DeleteItemCommand,
  DeleteTableCommand, DescribeEndpointsCommand, DescribeLimitsCommand, DescribeTableCommand, DynamoDBClient,
  GetItemCommand, ListTablesCommand, PutItemCommand, QueryCommand, ResourceNotFoundException, ScanCommand,
  UpdateItemCommand, UpdateTableCommand,
} from "@aws-sdk/client-dynamodb";
import {
  DescribeStreamCommand, DynamoDBStreamsClient, GetRecordsCommand, GetShardIteratorCommand, ListStreamsCommand,
} from "@aws-sdk/client-dynamodb-streams";
import { DynamoDBDocumentClient, GetCommand, PutCommand } from "@aws-sdk/lib-dynamodb";
import { startServer } from "./server.js";

let server, client, streams;

before(async () => {
  server = await startServer();
  client = new DynamoDBClient(server.options);
  streams = new DynamoDBStreamsClient(server.options);
  await client.send(new CreateTableCommand({
    TableName: "music",
    AttributeDefinitions: [
      { AttributeName: "artist", AttributeType: "S" },
      { AttributeName: "year", AttributeType: "N" },
    ],
    KeySchema: [
      { AttributeName: "artist", KeyType: "HASH" },
      { AttributeName: "year", KeyType: "RANGE" },
    ],
    BillingMode: "PAY_PER_REQUEST",
    StreamSpecification: { StreamEnabled: true, StreamViewType: "NEW_AND_OLD_IMAGES" },
  }));
});

after(async () => {
  client.destroy();
  streams.destroy();
  assert.equal(await server.stop(), 0);
});

test("tables are described, listed, changed and deleted", async () => {
  const { Table } = await client.send(new DescribeTableCommand({ TableName: "music" }));
  assert.equal(Table.TableStatus, "ACTIVE");
  assert.ok(Table.CreationDateTime instanceof Date);
  await client.send(new CreateTableCommand({
    TableName: "short-lived",
    AttributeDefinitions: [{ AttributeName: "id", AttributeType: "B" }],
    KeySchema: [{ AttributeName: "id", KeyType: "HASH" }],
    ProvisionedThroughput: { ReadCapacityUnits: 1, WriteCapacityUnits: 1 },
  }));
  await client.send(new UpdateTableCommand({ TableName: "short-lived", BillingMode: "PAY_PER_REQUEST" }));
  assert.deepEqual((await client.send(new ListTablesCommand({}))).TableNames, ["music", "short-lived"]);
  await client.send(new DeleteTableCommand({ TableName: "short-lived" }));
  await assert.rejects(client.send(new DescribeTableCommand({ TableName: "short-lived" })), (error) => {
    assert.ok(error instanceof ResourceNotFoundException);
    assert.equal(error.message, "Requested resource not found: Table: short-lived not found");
    return true;
  });
});

test("items are put, read, updated, queried, scanned and deleted", async () => {
  const key = { artist: { S: "Can" }, year: { N: "1971" } };
  await client.send(new PutItemCommand({ TableName: "music", Item: { ...key, title: { S: "Tago Mago" }, art: { B: new Uint8Array([0, 255]) } } }));
  const { Item } = await client.send(new GetItemCommand({ TableName: "music", Key: key, ConsistentRead: true }));
  assert.equal(Item.title.S, "Tago Mago");
  assert.deepEqual([...Item.art.B], [0, 255]);
  const updated = await client.send(new UpdateItemCommand({
    TableName: "music", Key: key, UpdateExpression: "ADD plays :one", ExpressionAttributeValues: { ":one": { N: "1" } }, ReturnValues: "UPDATED_NEW",
  }));
  assert.deepEqual(updated.Attributes, { plays: { N: "1" } });
  const found = await client.send(new QueryCommand({
    TableName: "music", KeyConditionExpression: "artist = :a AND #y < :y",
    ExpressionAttributeNames: { "#y": "year" }, ExpressionAttributeValues: { ":a": { S: "Can" }, ":y": { N: "2000" } },
  }));
  assert.equal(found.Count, 1);
  assert.equal((await client.send(new ScanCommand({ TableName: "music", Select: "COUNT" }))).Count, 1);
  await assert.rejects(
    client.send(new DeleteItemCommand({
      TableName: "music", Key: key, ConditionExpression: "plays > :n", ExpressionAttributeValues: { ":n": { N: "5" } },
      ReturnValuesOnConditionCheckFailure: "ALL_OLD",
    })),
    (error) => error instanceof ConditionalCheckFailedException && error.Item.plays.N === "1",
  );
  await client.send(new DeleteItemCommand({ TableName: "music", Key: key }));
  assert.equal((await client.send(new GetItemCommand({ TableName: "music", Key: key }))).Item, undefined);
});

test("batches", async () => {
  const item = (year) => ({ artist: { S: "batch" }, year: { N: String(year) } });
  const written = await client.send(new BatchWriteItemCommand({
    RequestItems: { music: [1, 2, 3].map((year) => ({ PutRequest: { Item: item(year) } })) },
  }));
  assert.deepEqual(written.UnprocessedItems, {});
  const read = await client.send(new BatchGetItemCommand({ RequestItems: { music: { Keys: [1, 2, 4].map(item) } } }));
  assert.deepEqual(read.Responses.music.map((found) => found.year.N).sort(), ["1", "2"]);
  await client.send(new BatchWriteItemCommand({
    RequestItems: { music: [1, 2, 3].map((year) => ({ DeleteRequest: { Key: item(year) } })) },
  }));
});

test("the document client reads what it writes", async () => {
  const documents = DynamoDBDocumentClient.from(client);
  const Item = { artist: "doc", year: 7, tags: ["a", { deep: true }], none: null };
  await documents.send(new PutCommand({ TableName: "music", Item }));
  assert.deepEqual((await documents.send(new GetCommand({ TableName: "music", Key: { artist: "doc", year: 7 } }))).Item, Item);
});

test("limits and endpoints", async () => {
  assert.equal((await client.send(new DescribeLimitsCommand({}))).TableMaxReadCapacityUnits, 40000);
  assert.equal((await client.send(new DescribeEndpointsCommand({}))).Endpoints[0].CachePeriodInMinutes, 1440);
});

test("the stream shows the changes", async () => {
  const key = { artist: { S: "streamed" }, year: { N: "1" } };
  const { Streams } = await streams.send(new ListStreamsCommand({ TableName: "music" }));
  const StreamArn = Streams[0].StreamArn;
  const { StreamDescription } = await streams.send(new DescribeStreamCommand({ StreamArn }));
  const iterators = [];
  for (const { ShardId } of StreamDescription.Shards) {
    const { ShardIterator } = await streams.send(new GetShardIteratorCommand({ StreamArn, ShardId, ShardIteratorType: "LATEST" }));
    iterators.push(ShardIterator);
  }
  await client.send(new PutItemCommand({ TableName: "music", Item: { ...key, v: { N: "1" } } }));
  await client.send(new PutItemCommand({ TableName: "music", Item: { ...key, v: { N: "2" } } }));
  const pages = await Promise.all(iterators.map((ShardIterator) => streams.send(new GetRecordsCommand({ ShardIterator }))));
  const records = pages.flatMap((page) => page.Records);
  assert.deepEqual(records.map((record) => record.eventName), ["INSERT", "MODIFY"]);
  assert.equal(records[1].dynamodb.OldImage.v.N, "1");
  assert.equal(records[1].dynamodb.NewImage.v.N, "2");
  assert.ok(pages.every((page) => page.NextShardIterator));
  await assert.rejects(streams.send(new GetRecordsCommand({ ShardIterator: "nonsense" })), { name: "ValidationException" });
});
