'use strict';

exports.handler = (event, context, callback) => {
    context.callbackWaitsForEmptyEventLoop = false;
    setInterval(() => {}, 60000);
    event.Records.forEach((record) => {
        if (record.eventName == 'INSERT') {
            const who = record.dynamodb.NewImage.Username.S;
            setTimeout(() => {
                console.log('A new bark from ' + who);
                callback(null, `Successfully processed ${event.Records.length} records.`);
            }, 5);
        }
    });
};
