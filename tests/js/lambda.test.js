// The Lambda API over the AWS SDK for JavaScript v3: what its parsing makes of answers and errors. Rows:
// docs/spec/event-source-mapping.md 1, 2, 12.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";
import {
  GetEventSourceMappingCommand, GetFunctionCommand, InvalidParameterValueException, InvokeCommand, LambdaClient, ListEventSourceMappingsCommand,
  ListFunctionsCommand, ResourceNotFoundException, TagResourceCommand, UntagResourceCommand,
} from "@aws-sdk/client-lambda";
import { startServer } from "./server.js";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const MAPPING = `arn:aws:lambda:us-east-1:000000000000:event-source-mapping:${randomUUID()}`;

let server, client;

before(async () => {
  server = await startServer();
  client = new LambdaClient(server.options);
});

after(async () => {
  client.destroy();
  assert.equal(await server.stop(), 0);
});

/** The error of a call: its name, status and message, with an id such as Lambda's. */
async function refused(command) {
  const error = await client.send(command).then(() => assert.fail("it was taken"), (error) => error);
  assert.match(error.$metadata.requestId, UUID);
  assert.equal(error.$fault === "client" || error.$metadata.httpStatusCode >= 500, true, error.name);
  return { error, told: [error.$metadata.httpStatusCode, error.name, error.message] };
}

test("answers have the ids of Lambda", async () => {
  const { $metadata, Functions } = await client.send(new ListFunctionsCommand({}));
  assert.match($metadata.requestId, UUID);
  assert.deepEqual(Functions, []);
});

test("errors are of the classes of the SDK", async () => {
  const { error, told } = await refused(new GetEventSourceMappingCommand({ UUID: randomUUID() }));
  assert.ok(error instanceof ResourceNotFoundException);
  assert.equal(error.Type, "User");
  assert.deepEqual(told, [404, "ResourceNotFoundException", "The resource you requested does not exist."]);
  const unknown = await refused(new InvokeCommand({ FunctionName: "none" }));
  assert.ok(unknown.error instanceof ResourceNotFoundException);
  assert.equal(unknown.error.message, "Function not found: arn:aws:lambda:us-east-1:000000000000:function:none:$LATEST");
  const reserved = await refused(new TagResourceCommand({ Resource: MAPPING, Tags: {} }));
  assert.ok(reserved.error instanceof InvalidParameterValueException);
});

test("all that the model says is told at once, in its order", async () => {
  const of = async (command) => {
    const { told } = await refused(command);
    assert.deepEqual(told.slice(0, 2), [400, "ValidationException"], told[2]);
    return [told[2].split(":")[0], ...Array.from(told[2].matchAll(/at '([^']+)' failed/g), ([, member]) => member)];
  };
  const invoke = { FunctionName: "a b", InvocationType: "Other", LogType: "Other", Qualifier: "a b" };
  const many = (count) => (count === 1 ? "1 validation error detected" : `${count} validation errors detected`);
  assert.deepEqual(await of(new InvokeCommand(invoke)), [many(4), "functionName", "invocationType", "logType", "qualifier"]);
  assert.deepEqual(await of(new GetFunctionCommand({ FunctionName: "a b", Qualifier: "a b" })), [many(2), "functionName", "qualifier"]);
  const list = { EventSourceArn: "no arn", FunctionName: "a b", MaxItems: 0 };
  assert.deepEqual(await of(new ListEventSourceMappingsCommand(list)), [many(3), "eventSourceArn", "functionName", "maxItems"]);
  const functions = { MasterRegion: "a b", FunctionVersion: "ONE", MaxItems: 10_001 };
  assert.deepEqual(await of(new ListFunctionsCommand(functions)), [many(3), "masterRegion", "functionVersion", "maxItems"]);
  assert.deepEqual(await of(new TagResourceCommand({ Resource: "no arn", Tags: { "": "," } })), [many(3), "resource", "tags", "tags"]);
  assert.deepEqual(await of(new UntagResourceCommand({ Resource: MAPPING, TagKeys: ["a,b"] })), [many(1), "tagKeys"]);
});
