exports.handler = async (event) => {
  const table = process.env.STREAM.split("/")[1];
  for (const record of event.Records) console.log("TELL " + record.dynamodb.Keys.id.S + " of " + table);
};
