exports.handler = async (event) => { console.log("RAN node " + event.Records.length); };
