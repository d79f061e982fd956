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
    changes.updates = updates(table, &request, there);
    let warm = (&there["WarmThroughput"], &request["WarmThroughput"]);
    if any_member(warm.1, warm.0, |wants, has| wants < has) {
        let notice = format!("{at}.WarmThroughput: the table {name} has more; it cannot be decreased, and is kept");
        changes.notices.push(notice);
    } else if any_member(warm.1, warm.0, |wants, has| wants > has) {
        // A member that is left out is asked for with its least value.
        let both = |member: &str| if warm.1[member].is_null() { &warm.0[member] } else { &warm.1[member] };
        let (read, write) = (both("ReadUnitsPerSecond"), both("WriteUnitsPerSecond"));
        let wants = json!({ "ReadUnitsPerSecond": read, "WriteUnitsPerSecond": write });
        changes.updates.push(json!({ "TableName": name, "WarmThroughput": wants }));
    }
    Ok(changes)
}

/// One request for each thing that differs: the API takes few of them together.
fn updates(table: &TablePlan, request: &Value, there: &Value) -> Vec<Value> {
    let mut updates = Vec::new();
    let mut update = |members: &[(&str, &Value)]| {
        let mut update = json!({ "TableName": table.name });
        for (member, value) in members {
            update[*member] = (*value).clone();
        }
        updates.push(update);
    };
    let on_demand_there = there["BillingModeSummary"]["BillingMode"] == json!("PAY_PER_REQUEST");
    let (mode, units) = (&request["BillingMode"], &request["ProvisionedThroughput"]);
    match (table.pay_per_request, on_demand_there) {
        (true, false) => update(&[("BillingMode", mode)]),
        (false, true) => update(&[("BillingMode", mode), ("ProvisionedThroughput", units)]),
        (false, false) if table.provisioned_throughput.is_some() && !holds(&there["ProvisionedThroughput"], units) => {
            update(&[("ProvisionedThroughput", units)]);
        }
        _ => {}
    }
    let class_there = there["TableClassSummary"]["TableClass"].as_str().unwrap_or("STANDARD");
    if table.class.is_some_and(|class| class != class_there) {
        update(&[("TableClass", &request["TableClass"])]);
    }
    for member in ["OnDemandThroughput", "DeletionProtectionEnabled"] {
        if !holds(&there[member], &request[member]) {
            update(&[(member, &request[member])]);
        }
    }
    if table.stream.is_some() && there["StreamSpecification"]["StreamEnabled"] != json!(true) {
        update(&[("StreamSpecification", &request["StreamSpecification"])]);
    }
    updates
}

/// Whether all that a request says is so already.
fn holds(has: &Value, wants: &Value) -> bool {
    match wants {
        Value::Null => true,
        Value::Object(members) => members.iter().all(|(name, wants)| has[name] == *wants),
        wants => has == wants,
    }
}

/// Whether a number of `one` and the same of `other` are as `is` says.
fn any_member(one: &Value, other: &Value, is: impl Fn(i64, i64) -> bool) -> bool {
    let mut members = one.as_object().into_iter().flatten();
    members.any(|(name, value)| value.as_i64().zip(other[name].as_i64()).is_some_and(|(one, other)| is(one, other)))
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
    if let Some(class) = table.class {
        request["TableClass"] = json!(class);
    }
    if let Some(protected) = table.deletion_protection {
        request["DeletionProtectionEnabled"] = json!(protected);
    }
    let units = [
        ("OnDemandThroughput", "MaxReadRequestUnits", table.on_demand.read),
        ("OnDemandThroughput", "MaxWriteRequestUnits", table.on_demand.write),
        ("WarmThroughput", "ReadUnitsPerSecond", table.warm.read),
        ("WarmThroughput", "WriteUnitsPerSecond", table.warm.write),
    ];
    for (member, name, units) in units {
        if let Some(units) = units {
            request[member][name] = json!(units);
        }
    }
    request
}
