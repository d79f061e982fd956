//! The operations on a table's Kinesis streaming destination. There is nothing here that fills one: a destination that was asked for is
//! told to have failed, and why. Source: docs/spec/dynamodb-api.md 2, 8.6.

use tailrace_api::tables::{
    DescribeKinesisStreamingDestinationAnswer, DescribeKinesisStreamingDestinationRequest, DestinationStatus,
    KinesisDataStreamDestination, KinesisStreamingConfiguration, KinesisStreamingDestinationAnswer,
    KinesisStreamingDestinationRequest,
};
use tailrace_core::ApiError;

use crate::caller::Caller;
use crate::db::Db;
use crate::tables::rules::invalid;
use crate::tables::settings::{self, KinesisDestination};
use crate::tables::{self, states};

/// Runs EnableKinesisStreamingDestination. The last destination that was asked for is kept.
///
/// # Errors
/// What the client is to read.
pub async fn enable_kinesis_streaming_destination(
    db: &Db,
    request: KinesisStreamingDestinationRequest,
    caller: &Caller<'_>,
) -> Result<KinesisStreamingDestinationAnswer, ApiError> {
    let KinesisStreamingDestinationRequest { table_name, stream_arn, configuration } = request;
    let table = tables::stored(db, &table_name).await?;
    if !is_kinesis_stream(&stream_arn) {
        return Err(invalid(format!("StreamArn is not the ARN of a Kinesis data stream: {stream_arn}")));
    }
    states::check_change_of_settings(&table, db.clock.now())?;
    let precision = configuration.and_then(|configuration| configuration.approximate_creation_date_time_precision);
    let asked = ("EnableKinesisStreamingDestination", caller);
    settings::change(db, &table, tables::no_such_table(&table_name), asked, |settings| {
        settings.kinesis_destination = Some(KinesisDestination { stream_arn: stream_arn.clone(), precision });
        Ok(())
    })
    .await?;
    Ok(KinesisStreamingDestinationAnswer {
        table_name,
        stream_arn,
        destination_status: DestinationStatus::Enabling,
        enable_kinesis_streaming_configuration: configuration.unwrap_or_default(),
    })
}

/// Runs DisableKinesisStreamingDestination: no destination is ever active, so a client's request is refused, as on AWS. Whoever is inside (a
/// template that does not name the stream any more) takes the destination out with it.
///
/// # Errors
/// What the client is to read.
pub async fn disable_kinesis_streaming_destination(
    db: &Db,
    request: KinesisStreamingDestinationRequest,
    caller: &Caller<'_>,
) -> Result<KinesisStreamingDestinationAnswer, ApiError> {
    let table = tables::stored(db, &request.table_name).await?;
    if caller.is_inside() {
        let KinesisStreamingDestinationRequest { table_name, stream_arn, .. } = request;
        let asked = ("DisableKinesisStreamingDestination", caller);
        settings::change(db, &table, tables::no_such_table(&table_name), asked, |settings| {
            settings.kinesis_destination.take_if(|destination| destination.stream_arn == stream_arn);
            Ok(())
        })
        .await?;
        return Ok(KinesisStreamingDestinationAnswer {
            table_name,
            stream_arn,
            destination_status: DestinationStatus::Disabling,
            enable_kinesis_streaming_configuration: KinesisStreamingConfiguration::default(),
        });
    }
    if request.configuration.is_some_and(|given| given.approximate_creation_date_time_precision.is_some()) {
        return Err(ApiError::validation(
            "Stream cannot be disabled using EnableKinesisStreamingConfiguration parameters",
        ));
    }
    Err(not_active("KinesisStreamingDestination must be ACTIVE to perform DISABLE operation."))
}

/// Runs UpdateKinesisStreamingDestination: no destination is ever active.
///
/// # Errors
/// What the client is to read.
pub async fn update_kinesis_streaming_destination(
    db: &Db,
    request: KinesisStreamingDestinationRequest,
    _caller: &Caller<'_>,
) -> Result<KinesisStreamingDestinationAnswer, ApiError> {
    let precision = request.configuration.and_then(|given| given.approximate_creation_date_time_precision);
    if precision.is_none() {
        return Err(ApiError::validation(
            "Streaming destination cannot be updated with given parameters: UpdateKinesisStreamingConfiguration cannot be \
             null or contain only null values",
        ));
    }
    tables::stored(db, &request.table_name).await?;
    Err(not_active("Kinesis streaming is not in ACTIVE state. Updates are only allowed in ACTIVE state."))
}

/// Runs DescribeKinesisStreamingDestination.
///
/// # Errors
/// What the client is to read.
pub async fn describe_kinesis_streaming_destination(
    db: &Db,
    request: DescribeKinesisStreamingDestinationRequest,
    _caller: &Caller<'_>,
) -> Result<DescribeKinesisStreamingDestinationAnswer, ApiError> {
    let table = tables::stored(db, &request.table_name).await?;
    let asked_for = settings::read(db, table.id).await?.kinesis_destination;
    let destinations = asked_for.map(|destination| KinesisDataStreamDestination {
        stream_arn: destination.stream_arn,
        destination_status: DestinationStatus::EnableFailed,
        destination_status_description: "Tailrace does not write to Kinesis data streams".to_owned(),
        approximate_creation_date_time_precision: destination.precision,
    });
    Ok(DescribeKinesisStreamingDestinationAnswer {
        table_name: request.table_name,
        kinesis_data_stream_destinations: destinations.into_iter().collect(),
    })
}

fn is_kinesis_stream(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    matches!(parts[..], ["arn", _, "kinesis", _, _, stream] if stream.starts_with("stream/"))
}

fn not_active(why: &str) -> ApiError {
    ApiError::validation(format!("Table is not in a valid state to enable Kinesis Streaming Destination: {why}"))
}
