// dynamodb-admin: the web page that shows tables. The pages are asked as a browser asks them.
// Rows: docs/spec/dynamodb-api.md 2.5, 5, 7.1, 7.4, 8.2.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { DynamoDBClient, UpdateTimeToLiveCommand } from "@aws-sdk/client-dynamodb";
import { freePort, startServer } from "./server.js";

const program = new URL("node_modules/dynamodb-admin/dist/dynamodb-admin.js", import.meta.url).pathname;
let server, admin, url;

before(async () => {
  server = await startServer();
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  admin = spawn(process.execPath, [program, "--host", "127.0.0.1", "--port", String(port)], {
    env: { PATH: process.env.PATH, DYNAMO_ENDPOINT: server.options.endpoint },
    stdio: ["ignore", "pipe", "inherit"],
  });
  for await (const line of createInterface(admin.stdout)) if (line.includes("listening on")) break;
  admin.stdout.resume();
});

after(async () => {
  admin.kill();
  await once(admin, "exit");
  assert.equal(await server.stop(), 0);
});

async function ask(method, path, body) {
  const headers = body === undefined ? {} : { "content-type": "application/json" };
  const answer = await fetch(url + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
  return answer.headers.get("content-type")?.includes("json") ? JSON.parse(text) : text;
}

const items = (query) => ask("GET", `/tables/orders/items?${new URLSearchParams(query)}`);
const numbers = ({ Items }) => Items.map((found) => found.number);

test("a table is made, shown, filled, searched, changed and deleted", async () => {
  await ask("POST", "/create-table", {
    TableDefinition: {
      TableName: "orders", HashAttributeName: "customer", HashAttributeType: "S", RangeAttributeName: "number", RangeAttributeType: "N",
      ReadCapacityUnits: 3, WriteCapacityUnits: 3,
    },
    SecondaryIndexes: [
      { IndexName: "by-status", IndexType: "global", HashAttributeName: "status", HashAttributeType: "S", ReadCapacityUnits: 1, WriteCapacityUnits: 1 },
      { IndexName: "by-total", IndexType: "local", HashAttributeName: "customer", HashAttributeType: "S", RangeAttributeName: "total", RangeAttributeType: "N" },
    ],
  });
  assert.match(await ask("GET", "/"), /href=['"]\/tables\/orders['"]/);
  const [table] = await ask("GET", "/api/tables");
  assert.equal(table.TableStatus, "ACTIVE");
  assert.equal(table.GlobalSecondaryIndexes[0].IndexStatus, "ACTIVE");
  assert.match(await ask("GET", "/tables/orders/add-item"), /&#34;customer&#34;|"customer"/);

  for (let number = 1; number <= 30; number += 1) {
    const status = number % 2 ? "open" : "paid";
    const key = await ask("PUT", "/tables/orders/add-item", { customer: "ann", number, status, total: 100 - number, lines: [{ pen: 1.5 }, null] });
    assert.deepEqual(key, { customer: "ann", number });
  }

  const page = await ask("GET", "/tables/orders");
  for (const shown of ["orders", "by-status"]) assert.ok(page.includes(shown), shown);
  const first = await items({ pageSize: 20 });
  assert.deepEqual(numbers(first), Array.from({ length: 20 }, (_, i) => i + 1));
  assert.deepEqual(first.uniqueKeys.slice(0, 2), ["customer", "number"]);
  const second = await items({ pageSize: 20, startKey: decodeURIComponent(first.nextKey), pageNum: 2 });
  assert.deepEqual(numbers(second), Array.from({ length: 10 }, (_, i) => i + 21));
  assert.equal(second.nextKey, null);

  const filter = (name, operator, value, type = "S") => ({ [name]: { operator, value, type } });
  const query = (queryableSelection, ...filters) => items({ operationType: "query", queryableSelection, filters: JSON.stringify(Object.assign({}, ...filters)) });
  assert.deepEqual(numbers(await query("table", filter("customer", "=", "ann"), filter("number", ">", "27", "N"))), [28, 29, 30]);
  const paid = await query("by-status", filter("status", "=", "paid"), filter("total", "<", "75", "N"));
  assert.deepEqual(numbers(paid).sort((a, b) => a - b), [26, 28, 30]);
  assert.deepEqual(numbers(await items({ filters: JSON.stringify(filter("status", "begins_with", "op")), pageSize: 100 })).length, 15);

  const item = await ask("GET", "/tables/orders/items/ann,7");
  for (const shown of ["status", "open", "93", "pen"]) assert.ok(item.includes(shown), shown);
  const changed = { customer: "ann", number: 7, status: "lost" };
  assert.deepEqual(await ask("PUT", "/tables/orders/items/ann,7", changed), changed);
  assert.deepEqual(numbers(await query("by-status", filter("status", "=", "lost"))), [7]);
  await ask("DELETE", "/tables/orders/items/ann,7");
  assert.equal((await fetch(`${url}/tables/orders/items/ann,7`)).status, 404);

  const meta = await ask("GET", "/tables/orders/meta");
  for (const shown of ["by-status", "by-total", "arn:aws:dynamodb:us-east-1:"]) assert.ok(meta.includes(shown), shown);
  assert.match(await ask("GET", "/tables/orders/ttl"), />DISABLED</);
  const client = new DynamoDBClient(server.options);
  await client.send(new UpdateTimeToLiveCommand({ TableName: "orders", TimeToLiveSpecification: { AttributeName: "expires", Enabled: true } }));
  client.destroy();
  assert.match(await ask("GET", "/tables/orders/ttl"), />ENABL(ED|ING)<[^]*expires/);

  await ask("DELETE", "/tables/orders/all");
  assert.deepEqual(numbers(await items({})), []);
  await ask("DELETE", "/tables/orders");
  assert.deepEqual(await ask("GET", "/api/tables"), []);
});

test("what the server refuses is shown as it says it", async () => {
  const answer = await fetch(`${url}/tables/none/items`);
  assert.equal(answer.status, 500);
  assert.deepEqual(await answer.json(), { message: "Requested resource not found: Table: none not found" });
});
