// Prints a line for every player whose score rose by more than the threshold.

const threshold = Number(process.env.LEVEL_UP_THRESHOLD ?? 100);
const score = (image) => Number(image.Score?.N ?? 0);

export const handler = async (event) => {
  for (const { eventName, dynamodb } of event.Records) {
    if (eventName !== "MODIFY") continue;
    const [before, after] = [score(dynamodb.OldImage), score(dynamodb.NewImage)];
    if (after - before > threshold) {
      console.log(`User ${dynamodb.Keys.UserId.S} just leveled up! (${before} -> ${after})`);
    }
  }
};
