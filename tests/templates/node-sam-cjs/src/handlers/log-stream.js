const { image } = require("../image");

exports.logStreamHandler = async (event, context) => {
  event.Records.forEach((record) => {
    console.info(`${process.env.SAMPLE_TABLE}:`, image(record));
  });
  return { batch: event.Records.length };
};
