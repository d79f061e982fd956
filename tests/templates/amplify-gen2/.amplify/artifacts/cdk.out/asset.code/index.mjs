export const handler = async (event) => {
  for (const { eventName, dynamodb } of event.Records) {
    console.log('SEEN', eventName, dynamodb.Keys.id.S);
  }
};
