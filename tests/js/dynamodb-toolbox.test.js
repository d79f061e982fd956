// DynamoDB-Toolbox: a table with an index of each kind, entities, conditions, batches and transactions.
// Rows: docs/spec/dynamodb-api.md 2.5, 5, 6, 7.4.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ConditionalCheckFailedException, CreateTableCommand, DynamoDBClient, TransactionCanceledException } from "@aws-sdk/client-dynamodb";
import { DynamoDBDocumentClient } from "@aws-sdk/lib-dynamodb";
import {
  $add, $append, $remove, BatchDeleteRequest, BatchGetCommand, BatchGetRequest, BatchPutRequest, BatchWriteCommand,
  ConditionCheck, DeleteItemCommand, DeletePartitionCommand, DeleteTransaction, Entity, GetItemCommand, GetTransaction, PutItemCommand,
  PutTransaction, QueryCommand, ScanCommand, Table, UpdateItemCommand, UpdateTransaction, executeBatchGet, executeBatchWrite,
  executeTransactGet, executeTransactWrite, item, list, map, number, set, string,
} from "dynamodb-toolbox";
import { startServer } from "./server.js";

let server, client, pokedex, pokemon, trainers;

before(async () => {
  server = await startServer();
  client = new DynamoDBClient(server.options);
  pokedex = new Table({
    documentClient: DynamoDBDocumentClient.from(client),
    name: "pokedex",
    partitionKey: { name: "trainer", type: "string" },
    sortKey: { name: "name", type: "string" },
    indexes: {
      byKind: { type: "global", partitionKey: { name: "kind", type: "string" }, sortKey: { name: "level", type: "number" } },
      byLevel: { type: "local", sortKey: { name: "level", type: "number" } },
    },
  });
  const key = (...names) => names.map((AttributeName, i) => ({ AttributeName, KeyType: ["HASH", "RANGE"][i] }));
  await client.send(new CreateTableCommand({
    TableName: "pokedex",
    AttributeDefinitions: Object.entries({ trainer: "S", name: "S", kind: "S", level: "N" })
      .map(([AttributeName, AttributeType]) => ({ AttributeName, AttributeType })),
    KeySchema: key("trainer", "name"),
    GlobalSecondaryIndexes: [{ IndexName: "byKind", KeySchema: key("kind", "level"), Projection: { ProjectionType: "ALL" } }],
    LocalSecondaryIndexes: [{ IndexName: "byLevel", KeySchema: key("trainer", "level"), Projection: { ProjectionType: "ALL" } }],
    BillingMode: "PAY_PER_REQUEST",
  }));
  pokemon = new Entity({
    name: "Pokemon",
    table: pokedex,
    schema: item({
      trainer: string().key(),
      name: string().key(),
      kind: string(),
      level: number().default(1),
      moves: list(string()).default(() => []),
      types: set(string()).optional(),
      stats: map({ hp: number(), note: string().optional() }).optional(),
    }),
  });
  trainers = new Entity({
    name: "Trainer",
    table: pokedex,
    schema: item({ trainer: string().key(), name: string().key().default("#trainer"), badges: number().default(0) }),
  });
});

after(async () => {
  client.destroy();
  assert.equal(await server.stop(), 0);
});

const put = (each, options = {}) => pokemon.build(PutItemCommand).item(each).options(options).send();
const get = async (trainer, name) => (await pokemon.build(GetItemCommand).key({ trainer, name }).options({ consistent: true }).send()).Item;
const names = ({ Items }) => Items.map((found) => found.name);
const whole = ({ created, modified, entity, ...attributes }) => attributes;

test("items are put, read, updated by condition and deleted", async () => {
  const pikachu = { trainer: "ash", name: "pikachu", kind: "electric", level: 5, moves: ["spark"], types: new Set(["e"]), stats: { hp: 9 } };
  await put(pikachu, { condition: { attr: "name", exists: false } });
  await assert.rejects(put(pikachu, { condition: { attr: "name", exists: false } }), ConditionalCheckFailedException);
  assert.deepEqual(whole(await get("ash", "pikachu")), pikachu);

  const { Attributes } = await pokemon.build(UpdateItemCommand)
    .item({ trainer: "ash", name: "pikachu", level: $add(2), moves: $append(["bolt"]), types: $add(new Set(["f"])), stats: { hp: $add(-4), note: "tired" } })
    .options({ condition: { and: [{ attr: "level", lt: 6 }, { attr: "moves", contains: "spark" }] }, returnValues: "ALL_NEW" })
    .send();
  assert.deepEqual(whole(Attributes), { ...pikachu, level: 7, moves: ["spark", "bolt"], types: new Set(["e", "f"]), stats: { hp: 5, note: "tired" } });
  await assert.rejects(
    pokemon.build(UpdateItemCommand).item({ trainer: "ash", name: "pikachu", types: $remove() }).options({ condition: { attr: "level", gt: 7 } }).send(),
    ConditionalCheckFailedException,
  );

  const deleted = await pokemon.build(DeleteItemCommand).key({ trainer: "ash", name: "pikachu" })
    .options({ condition: { attr: "kind", beginsWith: "elec" }, returnValues: "ALL_OLD" }).send();
  assert.equal(deleted.Attributes.level, 7);
  assert.equal(await get("ash", "pikachu"), undefined);
});

test("the table and its indexes are queried, filtered, paged and scanned", async () => {
  const many = Array.from({ length: 20 }, (_, i) => ({ trainer: "misty", name: `p${i + 10}`, kind: i % 2 ? "water" : "ice", level: 100 - i }));
  await executeBatchWrite(pokedex.build(BatchWriteCommand).requests(...many.map((each) => pokemon.build(BatchPutRequest).item(each))));
  const query = (asked) => pokedex.build(QueryCommand).entities(pokemon).query(asked);

  assert.deepEqual(names(await query({ partition: "misty", range: { between: ["p12", "p14"] } }).send()), ["p12", "p13", "p14"]);
  assert.deepEqual(names(await query({ index: "byLevel", partition: "misty", range: { gt: 97 } }).options({ reverse: true }).send()), ["p10", "p11", "p12"]);
  assert.deepEqual(
    names(await query({ index: "byKind", partition: "water", range: { lte: 85 } }).options({ filters: { Pokemon: { attr: "name", ne: "p25" } } }).send()),
    ["p29", "p27"],
  );

  const seen = [];
  let exclusiveStartKey;
  do {
    const page = await query({ index: "byKind", partition: "ice" }).options({ limit: 3, exclusiveStartKey }).send();
    seen.push(...names(page));
    exclusiveStartKey = page.LastEvaluatedKey;
  } while (exclusiveStartKey);
  assert.deepEqual(seen, ["p28", "p26", "p24", "p22", "p20", "p18", "p16", "p14", "p12", "p10"]);

  const { Count } = await pokedex.build(ScanCommand).entities(pokemon)
    .options({ maxPages: Infinity, filters: { Pokemon: { attr: "level", gte: 90 } } }).send();
  assert.equal(Count, 11);
  await pokedex.build(DeletePartitionCommand).entities(pokemon).query({ partition: "misty" }).send();
  assert.deepEqual(names(await query({ index: "byKind", partition: "water" }).send()), []);
});

test("batches read and delete", async () => {
  const request = (build, name) => build.key({ trainer: "brock", name });
  for (const name of ["geodude", "onix"]) await put({ trainer: "brock", name, kind: "rock" });
  const { Responses } = await executeBatchGet(
    pokedex.build(BatchGetCommand).requests(...["onix", "none", "geodude"].map((name) => request(pokemon.build(BatchGetRequest), name))),
  );
  assert.deepEqual(Responses[0].map((found) => found?.name), ["onix", undefined, "geodude"]);
  await executeBatchWrite(
    pokedex.build(BatchWriteCommand).requests(...["onix", "geodude"].map((name) => request(pokemon.build(BatchDeleteRequest), name))),
  );
  assert.equal(await get("brock", "onix"), undefined);
});

test("transactions write all or nothing and say why", async () => {
  const mew = { trainer: "ash", name: "mew", kind: "psychic" };
  await executeTransactWrite(
    trainers.build(PutTransaction).item({ trainer: "ash", badges: 1 }),
    pokemon.build(PutTransaction).item(mew).options({ condition: { attr: "name", exists: false } }),
  );
  await assert.rejects(
    executeTransactWrite(
      trainers.build(ConditionCheck).key({ trainer: "ash" }).condition({ attr: "badges", gte: 8 }),
      pokemon.build(UpdateTransaction).item({ ...mew, level: $add(1) }),
    ),
    (error) => {
      assert.ok(error instanceof TransactionCanceledException);
      assert.deepEqual(error.CancellationReasons.map(({ Code }) => Code), ["ConditionalCheckFailed", "None"]);
      return true;
    },
  );
  await executeTransactWrite(
    { clientRequestToken: "toolbox-1" },
    trainers.build(UpdateTransaction).item({ trainer: "ash", badges: $add(7) }),
    pokemon.build(DeleteTransaction).key({ trainer: "ash", name: "mew" }).options({ condition: { attr: "level", eq: 1 } }),
  );
  const { Responses } = await executeTransactGet(
    trainers.build(GetTransaction).key({ trainer: "ash" }),
    pokemon.build(GetTransaction).key({ trainer: "ash", name: "mew" }),
  );
  assert.equal(Responses[0].Item.badges, 8);
  assert.equal(Responses[1].Item, undefined);
});
