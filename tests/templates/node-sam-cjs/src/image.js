module.exports.image = (record) => JSON.stringify(record.dynamodb.NewImage);
