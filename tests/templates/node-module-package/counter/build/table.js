// The wire, without the SDK: what the SDK would send, signed as this server wants it.
const endpoint = process.env.AWS_ENDPOINT_URL_DYNAMODB;
const day = "20261129";
const scope = `${process.env.AWS_ACCESS_KEY_ID}/${day}/${process.env.AWS_REGION}/dynamodb/aws4_request`;

export async function increment(table, id) {
  const answer = await fetch(endpoint, {
    method: "POST",
    headers: {
      "Content-Type": "application/x-amz-json-1.0",
      "X-Amz-Target": "DynamoDB_20120810.UpdateItem",
      "X-Amz-Date": `${day}T000000Z`,
      Authorization: `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host;x-amz-date;x-amz-target, Signature=${"0".repeat(64)}`,
    },
    body: JSON.stringify({
      TableName: table,
      Key: { id: { S: id } },
      UpdateExpression: "ADD votes :one",
      ExpressionAttributeValues: { ":one": { N: "1" } },
      ReturnValues: "UPDATED_NEW",
    }),
  });
  const body = await answer.json();
  if (!answer.ok) throw new Error(JSON.stringify(body));
  return body.Attributes.votes.N;
}
