// Orders, typed: printed as they come; one is reported as failed, and one fails its batch.
package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

func handle(_ context.Context, event events.DynamoDBEvent) (response events.DynamoDBEventResponse, err error) {
	for _, record := range event.Records {
		order := record.Change.NewImage
		pk := order["pk"].String()
		total, err := order["total"].Float()
		if err != nil {
			return response, err
		}
		var tags []string
		for _, tag := range order["tags"].List() {
			tags = append(tags, tag.String())
		}
		fmt.Println("SAW", record.EventName, pk, total, strings.Join(tags, "+"))
		switch pk {
		case "fails":
			return response, errors.New("no good")
		case "reported":
			failure := events.DynamoDBBatchItemFailure{ItemIdentifier: record.Change.SequenceNumber}
			response.BatchItemFailures = append(response.BatchItemFailures, failure)
			return response, nil
		}
	}
	return response, nil
}

func main() {
	lambda.Start(handle)
}
