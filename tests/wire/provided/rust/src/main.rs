//! Orders, typed: printed as they come; one is reported as failed, and one fails its batch.

use aws_lambda_events::event::dynamodb::{Event, EventRecord};
use aws_lambda_events::event::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::Deserialize;

#[derive(Deserialize)]
struct Order {
    pk: String,
    total: f64,
    tags: Vec<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(service_fn(handle)).await
}

async fn handle(event: LambdaEvent<Event>) -> Result<DynamoDbEventResponse, Error> {
    let mut response = DynamoDbEventResponse::default();
    for EventRecord { change, event_name, .. } in event.payload.records {
        let order: Order = serde_dynamo::from_item(change.new_image)?;
        println!("SAW {event_name} {} {} {}", order.pk, order.total, order.tags.join("+"));
        match order.pk.as_str() {
            "fails" => return Err("no good".into()),
            "reported" => {
                let mut failure = DynamoDbBatchItemFailure::default();
                failure.item_identifier = change.sequence_number;
                response.batch_item_failures.push(failure);
                break;
            }
            _ => {}
        }
    }
    Ok(response)
}
