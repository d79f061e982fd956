exports.handler = async (event) => {
  for (const { eventName, dynamodb } of event.Records) {
    console.log(eventName, dynamodb.NewImage.id.S, "of", process.env.TABLE);
  }
};
