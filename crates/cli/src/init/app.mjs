// Prints a line for every order that is paid.

export const handler = async (event) => {
  for (const { dynamodb: change } of event.Records) {
    if (status(change.NewImage) === "paid" && status(change.OldImage) !== "paid") {
      console.log(`ship order ${change.Keys.OrderId.S}`);
    }
  }
};

const status = (image) => image?.Status?.S;
