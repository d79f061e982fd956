// ElectroDB: a single-table design of two entities and a collection, as an application uses it.
// Rows: docs/spec/dynamodb-api.md 2.5, 5, 6, 7.4.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { CreateTableCommand, DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { DynamoDBDocumentClient, ScanCommand } from "@aws-sdk/lib-dynamodb";
import { Entity, Service } from "electrodb";
import { startServer } from "./server.js";

const table = "electro";
let server, client, tasks, employees, service;

before(async () => {
  server = await startServer();
  client = new DynamoDBClient(server.options);
  const key = (...names) => names.map((AttributeName, i) => ({ AttributeName, KeyType: ["HASH", "RANGE"][i] }));
  await client.send(new CreateTableCommand({
    TableName: table,
    AttributeDefinitions: ["pk", "sk", "gsi1pk", "gsi1sk"].map((AttributeName) => ({ AttributeName, AttributeType: "S" })),
    KeySchema: key("pk", "sk"),
    GlobalSecondaryIndexes: [{ IndexName: "gsi1", KeySchema: key("gsi1pk", "gsi1sk"), Projection: { ProjectionType: "ALL" } }],
    BillingMode: "PAY_PER_REQUEST",
  }));
  tasks = new Entity({
    model: { entity: "task", version: "1", service: "work" },
    attributes: {
      team: { type: "string", required: true },
      task: { type: "string", required: true },
      employee: { type: "string", required: true },
      status: { type: ["open", "closed"], default: "open" },
      points: { type: "number", default: 0 },
      comments: { type: "list", items: { type: "map", properties: { by: { type: "string" }, text: { type: "string" } } } },
      tags: { type: "set", items: "string" },
    },
    indexes: {
      byTeam: { pk: { field: "pk", composite: ["team"] }, sk: { field: "sk", composite: ["task"] } },
      byEmployee: {
        index: "gsi1",
        collection: "workload",
        pk: { field: "gsi1pk", composite: ["employee"] },
        sk: { field: "gsi1sk", composite: ["status", "task"] },
      },
    },
  });
  employees = new Entity({
    model: { entity: "employee", version: "1", service: "work" },
    attributes: { employee: { type: "string", required: true }, name: { type: "string" } },
    indexes: {
      byEmployee: { pk: { field: "pk", composite: ["employee"] }, sk: { field: "sk", composite: [] } },
      workload: {
        index: "gsi1",
        collection: "workload",
        pk: { field: "gsi1pk", composite: ["employee"] },
        sk: { field: "gsi1sk", composite: [] },
      },
    },
  });
  service = new Service({ tasks, employees }, { client, table });
});

beforeEach(async () => {
  for (const entity of [tasks, employees]) {
    const { data } = await entity.scan.go({ pages: "all" });
    if (data.length > 0) await entity.delete(data).go();
  }
  const { Count } = await DynamoDBDocumentClient.from(client).send(new ScanCommand({ TableName: table }));
  assert.equal(Count, 0);
});

after(async () => {
  client.destroy();
  assert.equal(await server.stop(), 0);
});

const task = (number, more) => ({ team: "green", task: `t${number}`, employee: "ann", ...more });

test("what is created is read, once only, and updated by its conditions", async () => {
  const { data: created } = await tasks.create(task(1, { comments: [{ by: "bob", text: "?" }], tags: ["a"] })).go();
  assert.deepEqual(created, task(1, { status: "open", points: 0, comments: [{ by: "bob", text: "?" }], tags: ["a"] }));
  await assert.rejects(tasks.create(task(1)).go(), (error) => {
    assert.equal(error.cause.name, "ConditionalCheckFailedException");
    assert.match(error.message, /The conditional request failed/);
    return true;
  });

  const { data: patched } = await tasks.patch({ team: "green", task: "t1" })
    .add({ points: 3, tags: ["b"] })
    .data((attributes, { set }) => set(attributes.comments[0].text, "why?"))
    .where(({ status, points }, { eq, lt }) => `${eq(status, "open")} AND ${lt(points, 3)}`)
    .go({ response: "all_new" });
  assert.equal(patched.points, 3);
  assert.deepEqual(patched.comments, [{ by: "bob", text: "why?" }]);
  assert.deepEqual(patched.tags, ["a", "b"]);
  await assert.rejects(tasks.patch({ team: "green", task: "none" }).set({ points: 1 }).go(), /The conditional request failed/);
  await assert.rejects(
    tasks.remove({ team: "green", task: "t1" }).where(({ points }, { eq }) => eq(points, 0)).go(),
    /The conditional request failed/,
  );

  const { data: appended } = await tasks.update({ team: "green", task: "t1" })
    .append({ comments: [{ by: "ann", text: "!" }] }).delete({ tags: ["a"] }).remove(["status"]).go({ response: "updated_new" });
  assert.deepEqual(appended.comments, [{ by: "bob", text: "why?" }, { by: "ann", text: "!" }]);
  assert.deepEqual(appended.tags, ["b"]);

  const { data: upserted } = await tasks.upsert(task(2)).add({ points: 8 }).go({ response: "all_new" });
  assert.equal(upserted.points, 8);
  const { data: removed } = await tasks.remove({ team: "green", task: "t2" }).go({ response: "all_old" });
  assert.equal(removed.points, 8);
  assert.equal((await tasks.get({ team: "green", task: "t2" }).go()).data, null);
});

test("indexes are queried with sort keys, filters and cursors, and over entities", async () => {
  const many = Array.from({ length: 40 }, (_, i) => task(String(i).padStart(2, "0"), { points: i, status: i % 2 ? "open" : "closed" }));
  assert.deepEqual((await tasks.put(many).go()).unprocessed, []);
  await employees.create({ employee: "ann", name: "Ann" }).go();

  const names = ({ data }) => data.map((found) => found.task);
  assert.deepEqual(names(await tasks.query.byTeam({ team: "green" }).between({ task: "t05" }, { task: "t08" }).go()), ["t05", "t06", "t07", "t08"]);
  assert.deepEqual(names(await tasks.query.byTeam({ team: "green" }).begins({ task: "t3" }).go({ order: "desc", limit: 2 })), ["t39", "t38"]);

  const seen = [];
  let cursor = null;
  do {
    const page = await tasks.query.byEmployee({ employee: "ann", status: "open" }).go({ limit: 7, cursor });
    assert.ok(page.data.length <= 7);
    seen.push(...names(page));
    cursor = page.cursor;
  } while (cursor !== null);
  assert.deepEqual(seen, many.filter(({ status }) => status === "open").map((open) => open.task));
  const rich = await tasks.query.byEmployee({ employee: "ann" }).where(({ points }, { gte }) => gte(points, 38)).go({ pages: "all" });
  assert.deepEqual(names(rich), ["t38", "t39"]);

  const { data } = await service.collections.workload({ employee: "ann" }).go({ pages: "all" });
  assert.equal(data.tasks.length, 40);
  assert.deepEqual(data.employees, [{ employee: "ann", name: "Ann" }]);

  await tasks.patch({ team: "green", task: "t01" }).set({ employee: "bob", status: "closed" }).go();
  assert.deepEqual(names(await tasks.query.byEmployee({ employee: "bob", status: "closed" }).go()), ["t01"]);
  assert.equal((await tasks.query.byEmployee({ employee: "ann", status: "open" }).go({ pages: "all" })).data.length, 19);
});

test("batches go past their limits", async () => {
  const many = Array.from({ length: 120 }, (_, i) => task(1000 + i));
  assert.deepEqual((await tasks.put(many).go({ concurrent: 3 })).unprocessed, []);
  const keys = [...many, task(9)].map((each) => ({ team: each.team, task: each.task }));
  const { data, unprocessed } = await tasks.get(keys).go({ concurrent: 2 });
  assert.deepEqual(unprocessed, []);
  assert.equal(data.length, 120);
  assert.deepEqual((await tasks.delete(keys).go({ concurrent: 3 })).unprocessed, []);
  assert.deepEqual((await tasks.scan.go({ pages: "all" })).data, []);
});

test("transactions write all or nothing and say why", async () => {
  const written = await service.transaction.write(({ tasks, employees }) => [
    employees.create({ employee: "ann", name: "Ann" }).commit(),
    tasks.create(task(1)).commit(),
    tasks.upsert(task(2)).add({ points: 1 }).commit(),
  ]).go({ token: "electro-1" });
  assert.equal(written.canceled, false);

  const refused = await service.transaction.write(({ tasks, employees }) => [
    employees.check({ employee: "ann" }).where(({ name }, { eq }) => eq(name, "Ann")).commit(),
    tasks.patch({ team: "green", task: "t2" }).set({ status: "closed" }).commit(),
    tasks.create(task(1)).commit({ response: "all_old" }),
  ]).go();
  assert.equal(refused.canceled, true);
  assert.deepEqual(refused.data.map(({ rejected, code }) => [rejected, code]), [
    [false, "None"], [false, "None"], [true, "ConditionalCheckFailed"],
  ]);
  assert.equal(refused.data[2].item.task, "t1");

  const read = await service.transaction.get(({ tasks, employees }) => [
    tasks.get({ team: "green", task: "t2" }).commit(),
    employees.get({ employee: "ann" }).commit(),
    employees.get({ employee: "bob" }).commit(),
  ]).go();
  assert.equal(read.data[0].item.status, "open");
  assert.equal(read.data[1].item.name, "Ann");
  assert.equal(read.data[2].item, null);
});
