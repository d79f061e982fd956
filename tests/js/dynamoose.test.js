// Dynamoose: a table that it makes and keeps up to date with its models, and what an application does with them.
// Rows: docs/spec/dynamodb-api.md 2.5, 5, 6, 7.1, 7.4, 8.2.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import dynamoose from "dynamoose";
import { startServer } from "./server.js";

const day = 24 * 60 * 60 * 1000;
let server, client, Order;

const schema = (more) => new dynamoose.Schema({
  customer: { type: String, hashKey: true },
  number: { type: Number, rangeKey: true },
  status: { type: String, default: "new", enum: ["new", "paid", "sent"], index: { name: "byStatus", rangeKey: "number", project: true } },
  total: { type: Number, default: 0, index: { name: "byTotal", type: "local", project: ["status"] } },
  lines: { type: Array, schema: [{ type: Object, schema: { what: String, count: Number } }] },
  labels: { type: Set, schema: [String] },
  ...more,
}, { timestamps: true });

const settings = {
  throughput: "ON_DEMAND",
  tags: { team: "shop", stage: "test" },
  expires: { ttl: day, attribute: "expires", items: { returnExpired: false } },
  streamOptions: { enabled: true, type: "NEW_AND_OLD_IMAGES" },
  update: true,
  waitForActive: { enabled: true, check: { frequency: 20, timeout: 20_000 } },
};

/** Defines the model and its table anew, as another start of the application does, and waits for the table. */
async function start(definition, more) {
  const model = dynamoose.model(`Order${start.count += 1}`, definition);
  const table = new dynamoose.Table("orders", [model], { ...settings, ...more, initialize: false });
  await table.initialize();
  return model;
}
start.count = 0;

before(async () => {
  server = await startServer();
  client = new dynamoose.aws.ddb.DynamoDB(server.options);
  dynamoose.aws.ddb.set(client);
  Order = await start(schema());
});

after(async () => {
  client.destroy();
  assert.equal(await server.stop(), 0);
});

const numbers = (found) => found.map((order) => order.number);

test("the table is made with its indexes, tags, stream and time to live", async () => {
  const { Table: table } = await client.describeTable({ TableName: "orders" });
  assert.equal(table.BillingModeSummary.BillingMode, "PAY_PER_REQUEST");
  assert.deepEqual(table.GlobalSecondaryIndexes.map(({ IndexName, IndexStatus }) => [IndexName, IndexStatus]), [["byStatus", "ACTIVE"]]);
  assert.deepEqual(table.LocalSecondaryIndexes[0].Projection, { ProjectionType: "INCLUDE", NonKeyAttributes: ["status"] });
  assert.equal(table.StreamSpecification.StreamViewType, "NEW_AND_OLD_IMAGES");
  const { Tags: tags } = await client.listTagsOfResource({ ResourceArn: table.TableArn });
  assert.deepEqual(Object.fromEntries(tags.map(({ Key, Value }) => [Key, Value])), settings.tags);
  const { TimeToLiveDescription: ttl } = await client.describeTimeToLive({ TableName: "orders" });
  assert.equal(ttl.AttributeName, "expires");
  assert.match(ttl.TimeToLiveStatus, /^ENABL(ED|ING)$/);
});

test("items are created once, read, updated by condition and deleted", async () => {
  await Order.create({ customer: "ann", number: 1, total: 5, lines: [{ what: "pen", count: 2 }], labels: new Set(["gift"]) });
  await assert.rejects(Order.create({ customer: "ann", number: 1 }), { name: "ConditionalCheckFailedException", message: "The conditional request failed" });
  const found = await Order.get({ customer: "ann", number: 1 }, { consistent: true });
  assert.deepEqual([found.status, found.total, [...found.labels]], ["new", 5, ["gift"]]);
  assert.deepEqual(found.lines, [{ what: "pen", count: 2 }]);
  assert.ok(found.createdAt instanceof Date);
  assert.ok(found.expires - Date.now() > day / 2);

  const condition = new dynamoose.Condition().filter("status").eq("new").filter("total").between(1, 9);
  const updated = await Order.update(
    { customer: "ann", number: 1 },
    { $SET: { status: "paid" }, $ADD: { total: 3, labels: new Set(["rush"]) } },
    { condition },
  );
  assert.deepEqual([updated.status, updated.total, [...updated.labels].sort()], ["paid", 8, ["gift", "rush"]]);
  await assert.rejects(Order.update({ customer: "ann", number: 1 }, { total: 1 }, { condition }), { name: "ConditionalCheckFailedException" });
  const removed = await Order.update({ customer: "ann", number: 1 }, { $REMOVE: ["lines"] });
  assert.equal(removed.lines, undefined);

  found.status = "sent";
  await found.save();
  assert.equal((await Order.get({ customer: "ann", number: 1 })).status, "sent");
  await Order.delete({ customer: "ann", number: 1 }, { condition: new dynamoose.Condition().filter("status").eq("sent") });
  assert.equal(await Order.get({ customer: "ann", number: 1 }), undefined);
});

test("batches, queries by each index, pages and scans", async () => {
  const orders = Array.from({ length: 24 }, (_, i) => ({ customer: "bob", number: i + 1, total: 100 - i, status: i % 2 ? "paid" : "sent" }));
  assert.deepEqual((await Order.batchPut(orders)).unprocessedItems, []);
  const got = await Order.batchGet(orders.slice(0, 3).map(({ customer, number }) => ({ customer, number })));
  assert.deepEqual(numbers(got).sort(), [1, 2, 3]);

  assert.deepEqual(numbers(await Order.query("customer").eq("bob").where("number").between(3, 5).exec()), [3, 4, 5]);
  assert.deepEqual(numbers(await Order.query("status").eq("paid").sort("descending").limit(3).exec()), [24, 22, 20]);
  const byTotal = await Order.query("customer").eq("bob").where("total").lt(80).using("byTotal").exec();
  assert.deepEqual(numbers(byTotal), [24, 23, 22]);
  assert.equal((await Order.query("status").eq("sent").filter("total").ge(90).count().exec()).count, 6);

  const seen = [];
  let lastKey;
  do {
    const query = Order.query("status").eq("sent").limit(5);
    const page = await (lastKey ? query.startAt(lastKey) : query).exec();
    seen.push(...numbers(page));
    lastKey = page.lastKey;
  } while (lastKey);
  assert.deepEqual(seen, orders.filter(({ status }) => status === "sent").map(({ number }) => number));
  assert.equal((await Order.scan("total").lt(90).all().exec()).length, 13);
  assert.equal((await Order.scan().parallel(3).all().exec()).length, 24);
  assert.deepEqual((await Order.batchDelete(orders.map(({ customer, number }) => ({ customer, number })))).unprocessedItems, []);
  assert.equal((await Order.scan().count().exec()).count, 0);
});

test("transactions write all or nothing and say why", async () => {
  await Order.create({ customer: "cid", number: 1 });
  await dynamoose.transaction([
    Order.transaction.update({ customer: "cid", number: 1 }, { $SET: { status: "paid" } }),
    Order.transaction.create({ customer: "cid", number: 2 }),
  ]);
  await assert.rejects(
    dynamoose.transaction([
      Order.transaction.delete({ customer: "cid", number: 2 }),
      Order.transaction.condition({ customer: "cid", number: 1 }, new dynamoose.Condition().filter("status").eq("new")),
    ]),
    (error) => {
      assert.equal(error.name, "TransactionCanceledException");
      assert.deepEqual(error.CancellationReasons.map(({ Code }) => Code), ["None", "ConditionalCheckFailed"]);
      return true;
    },
  );
  const read = await dynamoose.transaction([
    Order.transaction.get({ customer: "cid", number: 1 }),
    Order.transaction.get({ customer: "cid", number: 2 }),
  ]);
  assert.deepEqual(read.map(({ number, status }) => [number, status]), [[1, "paid"], [2, "new"]]);
});

test("the next start adds and deletes indexes, tags and the stream, and finds the items by them", async () => {
  await Order.create({ customer: "dan", number: 1, total: 7 });
  const grown = await start(
    schema({ city: { type: String, index: { name: "byCity" } }, status: String }),
    { tags: { team: "shop", stage: "live" }, streamOptions: { enabled: false } },
  );
  const { Table: table } = await client.describeTable({ TableName: "orders" });
  assert.deepEqual(table.GlobalSecondaryIndexes.map(({ IndexName, IndexStatus }) => [IndexName, IndexStatus]), [["byCity", "ACTIVE"]]);
  assert.equal(table.StreamSpecification?.StreamEnabled ?? false, false);
  const { Tags: tags } = await client.listTagsOfResource({ ResourceArn: table.TableArn });
  assert.deepEqual(Object.fromEntries(tags.map(({ Key, Value }) => [Key, Value])), { team: "shop", stage: "live" });
  await grown.update({ customer: "dan", number: 1 }, { city: "Ghent" });
  assert.deepEqual(numbers(await grown.query("city").eq("Ghent").exec()), [1]);
});

test("what expired is gone", async () => {
  await client.putItem({ TableName: "orders", Item: { customer: { S: "eve" }, number: { N: "1" }, expires: { N: String(Math.floor(Date.now() / 1000) - 60) } } });
  const end = Date.now() + 30_000;
  while ((await client.query({ TableName: "orders", KeyConditionExpression: "customer = :c", ExpressionAttributeValues: { ":c": { S: "eve" } } })).Count > 0) {
    assert.ok(Date.now() < end, "waited in vain for the item to expire");
    await delay(20);
  }
});
