import { readFile } from "node:fs/promises";
import { increment } from "./table.js";

const { label } = JSON.parse(await readFile(new URL("../settings.json", import.meta.url), "utf8"));

export async function handler(event) {
  const inserts = event.Records.filter(({ eventName }) => eventName === "INSERT");
  for (const { dynamodb } of inserts) {
    const total = await increment(process.env.TOTALS, dynamodb.NewImage.for.S);
    console.log(label, dynamodb.NewImage.for.S, total);
  }
}
