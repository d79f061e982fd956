import { describe } from "./describe.mjs";

export const handler = async (event, context) => {
  for (const record of event.Records) {
    console.log(`${context.functionName.includes("StreamProcessor")} ${describe(record)}`);
  }
};
