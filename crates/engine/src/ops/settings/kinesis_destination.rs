//! The operations on a table's Kinesis streaming destinations. Where nothing delivers to one (the server knows of no endpoint), a destination
//! that is asked for is told to have failed, and why. Source: docs/spec/dynamodb-api.md 2, 8.6, sinks.md 5.

use tailrace_api::tables::{
    DescribeKinesisStreamingDestinationAnswer, DescribeKinesisStreamingDestinationRequest, DestinationStatus,
    KinesisStreamingConfiguration, KinesisStreamingDestinationAnswer, KinesisStreamingDestinationRequest,
    UpdateKinesisStreamingDestinationAnswer,
};
use tailrace_core::ApiError;
use tailrace_core::data_stream::DataStreamArn;
use tailrace_core::limits::KINESIS_DESTINATIONS_MAX;

use crate::caller::Caller;
use crate::db::Db;
use crate::tables::destinations;
use crate::tables::rules::invalid;
use crate::tables::settings::{self, KinesisDestination};
use crate::tables::{self, states};

/// Runs EnableKinesisStreamingDestination. For whoever is inside (a template) one that is being switched off is off.
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
    // An ARN of something else fails later, as a stream that is not there does; a template is told at once.
    let is_stream = DataStreamArn::read(&stream_arn).is_some();
    if !is_stream && (caller.is_inside() || !is_arn(&stream_arn)) {
        return Err(invalid(format!("StreamArn is not the ARN of a Kinesis data stream: {stream_arn}")));
    }
    states::check_change_of_settings(&table, db.clock.now())?;
    let precision = configuration.and_then(|configuration| configuration.approximate_creation_date_time_precision);
    let (asked, consumer) = (("EnableKinesisStreamingDestination", caller), db.rng.uuid());
    let delivers = db.settings.kinesis_destinations;
    destinations::change(db, &table_name, asked, |draft| {
        if draft.destinations.iter().filter(|other| other.is_in_the_way(caller)).count() >= KINESIS_DESTINATIONS_MAX
            || draft.destination(&stream_arn).is_some_and(|destination| destination.is_in_the_way(caller))
        {
            return Err(not_in_state(
                "EnableKinesisStreamingDestination must be DISABLED or ENABLE_FAILED to perform ENABLE operation.",
            ));
        }
        let (status, capture) = match delivers && is_stream {
            true => (DestinationStatus::Enabling, Some(draft.open(&consumer))),
            false => (DestinationStatus::EnableFailed, None),
        };
        draft.put(KinesisDestination { stream_arn: stream_arn.clone(), precision, status, capture });
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

/// Runs DisableKinesisStreamingDestination. For whoever is inside (a template that does not name the stream any more) the state does not matter,
/// and a destination that failed goes.
///
/// # Errors
/// What the client is to read.
pub async fn disable_kinesis_streaming_destination(
    db: &Db,
    request: KinesisStreamingDestinationRequest,
    caller: &Caller<'_>,
) -> Result<KinesisStreamingDestinationAnswer, ApiError> {
    use DestinationStatus::{Active, Disabled, Disabling, EnableFailed, Enabling, Updating};
    let KinesisStreamingDestinationRequest { table_name, stream_arn, configuration } = request;
    tables::stored(db, &table_name).await?;
    if configuration.is_some_and(|given| given.approximate_creation_date_time_precision.is_some()) {
        return Err(ApiError::validation(
            "Stream cannot be disabled using EnableKinesisStreamingConfiguration parameters",
        ));
    }
    let asked = ("DisableKinesisStreamingDestination", caller);
    destinations::change(db, &table_name, asked, |draft| {
        let status = draft.destination(&stream_arn).map(|destination| destination.status);
        match (status, caller.is_inside()) {
            (Some(Active | Disabling), _) | (Some(Enabling | Updating), true) => {
                let Some(destination) = draft.destination(&stream_arn) else { return Ok(()) };
                destination.status = Disabling;
                if let Some(capture) = destination.capture.clone() {
                    draft.close(&capture);
                }
            }
            (Some(EnableFailed), true) => draft.destinations.retain(|other| other.stream_arn != stream_arn),
            (Some(Disabled) | None, true) => {}
            _ => return Err(not_in_state("KinesisStreamingDestination must be ACTIVE to perform DISABLE operation.")),
        }
        Ok(())
    })
    .await?;
    Ok(KinesisStreamingDestinationAnswer {
        table_name,
        stream_arn,
        destination_status: Disabling,
        enable_kinesis_streaming_configuration: KinesisStreamingConfiguration::default(),
    })
}

/// Runs UpdateKinesisStreamingDestination. For whoever is inside, one that is not ACTIVE yet will do.
///
/// # Errors
/// What the client is to read.
pub async fn update_kinesis_streaming_destination(
    db: &Db,
    request: KinesisStreamingDestinationRequest,
    caller: &Caller<'_>,
) -> Result<UpdateKinesisStreamingDestinationAnswer, ApiError> {
    let KinesisStreamingDestinationRequest { table_name, stream_arn, configuration } = request;
    let Some(precision) = configuration.and_then(|given| given.approximate_creation_date_time_precision) else {
        return Err(ApiError::validation(
            "Streaming destination cannot be updated with given parameters: UpdateKinesisStreamingConfiguration cannot be \
             null or contain only null values",
        ));
    };
    let asked = ("UpdateKinesisStreamingDestination", caller);
    destinations::change(db, &table_name, asked, |draft| {
        let uuid = draft.table_uuid().to_owned();
        let Some(destination) = draft.destination(&stream_arn) else {
            return Err(not_in_state(&format!(
                "No streaming destination with streamArn: {stream_arn} found for table with tableName: {table_name}"
            )));
        };
        let is_on_the_way = matches!(destination.status, DestinationStatus::Enabling | DestinationStatus::Updating);
        if destination.status != DestinationStatus::Active && !(is_on_the_way && caller.is_inside()) {
            return Err(not_in_state(
                "Kinesis streaming is not in ACTIVE state. Updates are only allowed in ACTIVE state.",
            ));
        }
        if destination.precision.unwrap_or_default() == precision {
            let name = precision.name();
            return Err(ApiError::validation(format!(
                "Invalid Request: Precision is already set to the desired value of {name} for tableId: {uuid}, kdsArn: {stream_arn}"
            )));
        }
        destination.precision = Some(precision);
        if destination.status == DestinationStatus::Active {
            destination.status = DestinationStatus::Updating;
        }
        Ok(())
    })
    .await?;
    Ok(UpdateKinesisStreamingDestinationAnswer {
        table_name,
        stream_arn,
        destination_status: DestinationStatus::Updating,
        update_kinesis_streaming_configuration: KinesisStreamingConfiguration {
            approximate_creation_date_time_precision: Some(precision),
        },
    })
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
    let destinations = settings::read(db, table.id).await?.kinesis_destinations;
    Ok(DescribeKinesisStreamingDestinationAnswer {
        table_name: request.table_name,
        kinesis_data_stream_destinations: destinations.into_iter().map(KinesisDestination::describe).collect(),
    })
}

impl KinesisDestination {
    /// No other one can be switched on because of it.
    fn is_in_the_way(&self, caller: &Caller<'_>) -> bool {
        self.is_live() && !(self.status == DestinationStatus::Disabling && caller.is_inside())
    }
}

fn is_arn(text: &str) -> bool {
    text.starts_with("arn:") && text.splitn(6, ':').count() == 6
}

fn not_in_state(why: &str) -> ApiError {
    ApiError::validation(format!("Table is not in a valid state to enable Kinesis Streaming Destination: {why}"))
}
