interface Change {
  eventName: "INSERT" | "MODIFY" | "REMOVE";
  dynamodb: { NewImage?: Record<string, { S?: string; N?: string }> };
}

const total = (changes: Change[]): number =>
  changes.reduce((sum, change) => sum + Number(change.dynamodb.NewImage?.amount?.N ?? 0), 0);

export const handler = async (event: { Records: Change[] }) => {
  for (const change of event.Records) {
    console.log("%s %s", change.eventName, total([change]));
  }
  return { batchItemFailures: [] };
};
