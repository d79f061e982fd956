export const describe = ({ eventName, dynamodb }) => `${eventName} ${dynamodb.Keys.pk.S}`;
