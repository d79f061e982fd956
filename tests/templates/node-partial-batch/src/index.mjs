const seen = new Set();

export const handler = async (event) => {
  for (const record of event.Records) {
    const sequenceNumber = record.dynamodb.SequenceNumber;
    try {
      await work(record);
    } catch (error) {
      console.warn("failed", error.message);
      return { batchItemFailures: [{ itemIdentifier: sequenceNumber }] };
    }
  }
  return { batchItemFailures: [] };
};

async function work({ eventID, dynamodb }) {
  const key = dynamodb.Keys.pk.S;
  if (key === "bad" && !seen.has(eventID)) {
    seen.add(eventID);
    throw new Error(key);
  }
  console.log("done", key);
}
