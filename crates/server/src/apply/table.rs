//! One table of a template against the table that is there: what stops the start, what is changed, what is told.
//!
//! Pure: descriptions and requests as JSON, in the words of the API.

use serde_json::{Value, json};

use crate::template::{AttributeType, KeyType, TablePlan};

/// What a table needs to become what the template says.
#[derive(Debug, Default, PartialEq)]
pub struct Changes {
    /// Requests of UpdateTable, in order.
    pub updates: Vec<Value>,
    /// What is told: one line each.
    pub notices: Vec<String>,
}

/// Compares the plan with the description of the table that is there.
///
/// # Errors
/// One line: the table cannot become what the template says without a loss.
pub fn changes(table: &TablePlan, there: &Value) -> Result<Changes, String> {
    let (name, at) = (&table.name, format!("Resources.{}.Properties", table.logical_id));
    let request = create_request(table);
    let (has, wants) = (key(there), key(&request));
    if has != wants {
        return Err(format!(
            "{at}.KeySchema: the key of the table {name} is {has}, and the template asks for {wants}; a key cannot be \
             changed: delete the table with its items, or name another table in the template"
        ));
    }
    let mut changes = Changes::default();
    let view_there = there["StreamSpecification"]["StreamViewType"].as_str();
    match (view_there, table.stream.map(|view| view.as_str())) {
        (Some(has), Some(wants)) if has != wants => {
            return Err(format!(
                "{at}.StreamSpecification.StreamViewType: the stream of the table {name} is {has}, and the template asks for \
                 {wants}; that takes a new stream, and cuts the readers of this one off: write {has} in the template, or \
                 disable the stream first (UpdateTable with StreamEnabled false)"
            ));
        }
        (Some(has), None) => changes.notices.push(format!(
            "{at}: the table {name} has a stream ({has}) that the template does not ask for; it is kept"
        )),
        _ => {}
    }
    let mut update = |wish: Value| {
        let mut request = json!({ "TableName": name });
        if let (Value::Object(request), Value::Object(wish)) = (&mut request, wish) {
            request.extend(wish);
        }
        changes.updates.push(request);
    };
    let on_demand_there = there["BillingModeSummary"]["BillingMode"] == json!("PAY_PER_REQUEST");
    let units = &request["ProvisionedThroughput"];
    let is_same = |has: &Value, wants: &Value| {
        let members = wants.as_object().into_iter().flatten();
        members.into_iter().all(|(member, value)| has[member] == *value)
    };
    if table.pay_per_request && !on_demand_there {
        update(json!({ "BillingMode": "PAY_PER_REQUEST" }));
    } else if !table.pay_per_request && on_demand_there {
        update(json!({ "BillingMode": "PROVISIONED", "ProvisionedThroughput": units }));
    } else if table.provisioned_throughput.is_some() && !is_same(&there["ProvisionedThroughput"], units) {
        update(json!({ "ProvisionedThroughput": units }));
    }
    if let Some(view) = table.stream
        && view_there.is_none()
    {
        let specification = json!({ "StreamEnabled": true, "StreamViewType": view.as_str() });
        update(json!({ "StreamSpecification": specification }));
    }
    Ok(changes)
}

/// The key of a description or of a request, for a reader: `a (S, HASH), b (N, RANGE)`.
fn key(table: &Value) -> String {
    let list = |member: &str| table[member].as_array().into_iter().flatten();
    let element = |element: &Value| {
        let of_it = |definition: &&Value| definition["AttributeName"] == element["AttributeName"];
        let kind = list("AttributeDefinitions").find(of_it).and_then(|definition| definition["AttributeType"].as_str());
        let text = |member: &str| element[member].as_str().unwrap_or_default().to_owned();
        format!("{} ({}, {})", text("AttributeName"), kind.unwrap_or("?"), text("KeyType"))
    };
    list("KeySchema").map(element).collect::<Vec<_>>().join(", ")
}

/// The CreateTable request of a plan.
pub fn create_request(table: &TablePlan) -> Value {
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
