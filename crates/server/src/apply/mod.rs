//! Makes the data directory what a template asks for: tables, functions, mappings. What is there already stays as it is;
//! a table whose key differs stops the start, since it cannot become what the template says.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tailrace_core::ErrorCode;
use tailrace_engine::{Db, RequestContext, Service};
use tailrace_lambda::Functions;

use crate::functions;
use crate::mappings::Mappings;
use crate::template::{AttributeType, KeyType, Plan, Source, TablePlan};

/// The ARNs of the streams of a plan's tables, by logical id.
pub struct Streams(BTreeMap<String, String>);

impl Streams {
    fn arn(&self, logical_id: &str) -> Option<String> {
        self.0.get(logical_id).cloned()
    }
}

/// Makes the tables and the functions of a plan.
///
/// # Errors
/// One line that names what cannot be made.
pub async fn tables_and_functions(plan: &Plan, db: &Db, functions: &Functions) -> Result<Streams, String> {
    let mut streams = Streams(BTreeMap::new());
    for table in &plan.tables {
        let described = ensure_table(db, table).await.map_err(|e| format!("table {}: {e}", table.name))?;
        if let Some(arn) = described["LatestStreamArn"].as_str() {
            streams.0.insert(table.logical_id.clone(), arn.to_owned());
        }
    }
    for function in &plan.functions {
        let config = function.config(|table| streams.arn(table)).ok_or_else(|| {
            format!("function {}: a variable names the stream of a table that has none", function.name)
        })?;
        functions::put(db.store().as_ref(), functions, config).await?;
    }
    Ok(streams)
}

/// Makes the mappings of a plan.
///
/// # Errors
/// One line that names what cannot be made.
pub async fn mappings(plan: &Plan, streams: &Streams, mappings: &Mappings) -> Result<(), String> {
    for mapping in &plan.mappings {
        let arn = match &mapping.source {
            Source::Arn(arn) => Some(arn.clone()),
            Source::StreamOf(table) => streams.arn(table),
        };
        let arn = arn.ok_or_else(|| format!("mapping {}: its table has no stream", mapping.logical_id))?;
        mappings.ensure(mapping, &arn).await.map_err(|e| format!("mapping {}: {e}", mapping.logical_id))?;
        mappings.function_changed(&mapping.function);
    }
    Ok(())
}

/// The table's description, once it is as planned.
async fn ensure_table(db: &Db, table: &TablePlan) -> Result<Value, String> {
    let request = create_request(table);
    let created = match call(db, "CreateTable", &request).await {
        Ok(answer) => return Ok(answer["TableDescription"].clone()),
        Err(error) => error,
    };
    if created.code != ErrorCode::ResourceInUseException {
        return Err(created.to_string());
    }
    let name = json!({ "TableName": table.name });
    let mut there = call(db, "DescribeTable", &name).await.map_err(|e| e.to_string())?["Table"].clone();
    if there["KeySchema"] != request["KeySchema"] {
        return Err("it exists with another key; delete it, or rename the one in the template".to_owned());
    }
    if let Some(view) = table.stream
        && there["StreamSpecification"]["StreamEnabled"] != json!(true)
    {
        let specification = json!({ "StreamEnabled": true, "StreamViewType": view.as_str() });
        let request = json!({ "TableName": table.name, "StreamSpecification": specification });
        there = call(db, "UpdateTable", &request).await.map_err(|e| e.to_string())?["TableDescription"].clone();
    }
    Ok(there)
}

async fn call(db: &Db, operation: &str, request: &Value) -> Result<Value, tailrace_core::ApiError> {
    let body = request.to_string();
    let answer = db.execute(Service::DynamoDb, operation, body.as_bytes(), &RequestContext::default()).await?;
    Ok(serde_json::from_slice(&answer).expect("invariant: an answer is JSON"))
}

fn create_request(table: &TablePlan) -> Value {
    let key_schema: Vec<Value> = table
        .key_schema
        .iter()
        .map(|(name, role)| {
            let role = match role {
                KeyType::Hash => "HASH",
                KeyType::Range => "RANGE",
            };
            json!({ "AttributeName": name, "KeyType": role })
        })
        .collect();
    let definitions: Vec<Value> = table
        .attribute_definitions
        .iter()
        .map(|(name, kind)| {
            let kind = match kind {
                AttributeType::S => "S",
                AttributeType::N => "N",
                AttributeType::B => "B",
            };
            json!({ "AttributeName": name, "AttributeType": kind })
        })
        .collect();
    let mut request = json!({ "TableName": table.name, "KeySchema": key_schema, "AttributeDefinitions": definitions });
    if table.pay_per_request {
        request["BillingMode"] = json!("PAY_PER_REQUEST");
    } else {
        let (read, write) = table.provisioned_throughput.unwrap_or((5, 5));
        request["BillingMode"] = json!("PROVISIONED");
        request["ProvisionedThroughput"] = json!({ "ReadCapacityUnits": read, "WriteCapacityUnits": write });
    }
    if let Some(view) = table.stream {
        request["StreamSpecification"] = json!({ "StreamEnabled": true, "StreamViewType": view.as_str() });
    }
    request
}
