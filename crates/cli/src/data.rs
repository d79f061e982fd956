//! `tailrace tables`, `query`, `put` and `invoke`: what one does by hand many times a day, with plain values instead of
//! attribute values, against the server that runs.
//!
//! What it does not do: what is here is for looking and trying. Scripts have the AWS CLI and the SDKs.

use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use hyper::StatusCode;
use serde_json::{Map, Value, json};
use tailrace_core::limits;
use tailrace_server::{Code, InvokeAnswer, InvokeRequest, did_you_mean};

use crate::args::{ClientArgs, Output, ReadArgs};
use crate::client::{Client, DYNAMODB};
use crate::plain;
use crate::say::{complain, print, say};
use crate::table::table;
use crate::{Failure, Outcome};

/// How long a function may take: its start, and its longest timeout.
const INVOKE: Duration =
    Duration::from_secs(limits::FUNCTION_TIMEOUT_MAX_S as u64).saturating_add(limits::FUNCTION_INIT_DEFAULT);

/// `query`.
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// Table name
    pub table: String,
    /// Value of the partition key
    #[arg(allow_hyphen_values = true)]
    pub partition_key: String,
    /// Condition on the sort key: VALUE, <VALUE, <=VALUE, >VALUE, >=VALUE, PREFIX* or FROM..TO
    #[arg(allow_hyphen_values = true)]
    pub sort_key: Option<String>,
    /// The index to read
    #[arg(long)]
    pub index: Option<String>,
    /// Most items
    #[arg(long)]
    pub limit: Option<usize>,
    /// From the last sort key to the first
    #[arg(long)]
    pub reverse: bool,
    /// The client's flags.
    #[command(flatten)]
    pub read: ReadArgs,
}

/// `put`.
#[derive(Debug, Args)]
pub struct PutArgs {
    /// Table name
    pub table: String,
    /// The item: NAME=VALUE for each attribute (a value that is JSON has its type, any other is text, and a key has that of
    /// its table), or one JSON object, of plain or of attribute values
    #[arg(required = true)]
    pub item: Vec<String>,
    /// The client's flags.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `invoke`.
#[derive(Debug, Args)]
pub struct InvokeArgs {
    /// Function name
    pub function: String,
    /// The event: JSON, @FILE, or - for stdin
    #[arg(default_value = "{}")]
    pub event: String,
    /// The client's flags.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `tailrace tables`.
pub async fn tables(args: ReadArgs) -> Outcome {
    let mut client = Client::new(&args.client.endpoint())?;
    let mut tables = Vec::new();
    let mut request = json!({});
    loop {
        let listed = call(&mut client, "ListTables", &request).await?;
        for name in listed["TableNames"].as_array().into_iter().flatten() {
            let described = client.call(DYNAMODB, "DescribeTable", &json!({ "TableName": name })).await?;
            // It may be gone since.
            tables.extend(described.ok().map(|described| described["Table"].clone()));
        }
        match &listed["LastEvaluatedTableName"] {
            Value::Null => break,
            last => request = json!({ "ExclusiveStartTableName": last }),
        }
    }
    match args.output {
        Output::Json => {
            for one in &tables {
                print(one)?;
            }
        }
        Output::Text if tables.is_empty() => say("there is no table"),
        Output::Text => drop(print(table(COLUMNS, tables.iter().map(row)))?),
    }
    Ok(ExitCode::SUCCESS)
}

const COLUMNS: [&str; 6] = ["TABLE", "KEY", "INDEXES", "STREAM", "ITEMS", "STATUS"];

fn row(table: &Value) -> [String; COLUMNS.len()] {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let keys: Vec<String> = plain::keys(table).into_iter().map(|(name, kind)| format!("{name} ({kind})")).collect();
    let indexes = ["GlobalSecondaryIndexes", "LocalSecondaryIndexes"];
    let indexes = indexes.iter().filter_map(|member| table[member].as_array()).flatten();
    let indexes: Vec<&str> = indexes.filter_map(|index| index["IndexName"].as_str()).collect();
    let indexes = if indexes.is_empty() { "-".to_owned() } else { indexes.join(", ") };
    let stream = &table["StreamSpecification"];
    let stream = if stream["StreamEnabled"] == true { text(&stream["StreamViewType"]) } else { "-".to_owned() };
    let items = table["ItemCount"].as_u64().unwrap_or_default().to_string();
    [text(&table["TableName"]), keys.join(", "), indexes, stream, items, text(&table["TableStatus"])]
}

/// `tailrace query`.
pub async fn query(args: QueryArgs) -> Outcome {
    let mut client = Client::new(&args.read.client.endpoint())?;
    let described = described(&mut client, &args.table).await?;
    let mut request = request(&described, &args)?;
    let mut left = args.limit.unwrap_or(usize::MAX);
    while left > 0 {
        if args.limit.is_some() {
            request["Limit"] = json!(left);
        }
        let page = call(&mut client, "Query", &request).await?;
        for item in page["Items"].as_array().into_iter().flatten() {
            left = left.saturating_sub(1);
            match args.read.output {
                Output::Text => print(plain::plain_item(item))?,
                Output::Json => print(item)?,
            };
        }
        match &page["LastEvaluatedKey"] {
            Value::Null => break,
            last => request["ExclusiveStartKey"] = last.clone(),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The request of a query of this table.
fn request(described: &Value, args: &QueryArgs) -> Result<Value, Failure> {
    let refuse = |text: String| Failure::new(Code::Refused, text);
    let keys = match &args.index {
        None => plain::keys(described),
        Some(wanted) => {
            let members = ["GlobalSecondaryIndexes", "LocalSecondaryIndexes"];
            let mut indexes = members.iter().filter_map(|member| described[member].as_array()).flatten();
            let index = indexes.find(|index| index["IndexName"] == **wanted);
            let index = index.ok_or_else(|| refuse(format!("the table {} has no index {wanted}", args.table)))?;
            plain::keys(&json!({
                "KeySchema": index["KeySchema"], "AttributeDefinitions": described["AttributeDefinitions"]
            }))
        }
    };
    let (hash, hash_kind) = keys.first().ok_or_else(|| refuse(format!("the table {} has no key", args.table)))?;
    let mut condition = "#p = :p".to_owned();
    let mut names = json!({ "#p": hash });
    let mut values = json!({ ":p": plain::typed(hash_kind, &args.partition_key) });
    if let Some(text) = &args.sort_key {
        let (range, kind) = keys.get(1).ok_or_else(|| refuse(format!("{} has no sort key to compare", args.table)))?;
        names["#s"] = json!(range);
        let (sort, first, second) = sort_condition(text);
        condition = format!("{condition} AND {sort}");
        values[":s"] = plain::typed(kind, first);
        if let Some(second) = second {
            values[":t"] = plain::typed(kind, second);
        }
    }
    let mut request = json!({
        "TableName": args.table, "KeyConditionExpression": condition, "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values, "ScanIndexForward": !args.reverse
    });
    if let Some(index) = &args.index {
        request["IndexName"] = json!(index);
    }
    Ok(request)
}

/// The condition, and the texts of `:s` and `:t`.
fn sort_condition(text: &str) -> (&'static str, &str, Option<&str>) {
    for (sign, condition) in
        [("<=", "#s <= :s"), (">=", "#s >= :s"), ("<", "#s < :s"), (">", "#s > :s"), ("=", "#s = :s")]
    {
        if let Some(value) = text.strip_prefix(sign) {
            return (condition, value, None);
        }
    }
    if let Some((from, to)) = text.split_once("..") {
        return ("#s BETWEEN :s AND :t", from, Some(to));
    }
    match text.strip_suffix('*') {
        Some(prefix) => ("begins_with(#s, :s)", prefix, None),
        None => ("#s = :s", text, None),
    }
}

/// `tailrace put`.
pub async fn put(args: PutArgs) -> Outcome {
    let mut client = Client::new(&args.client.endpoint())?;
    let keys = plain::keys(&described(&mut client, &args.table).await?);
    let item = item(&args.item, &keys)?;
    call(&mut client, "PutItem", &json!({ "TableName": args.table, "Item": item })).await?;
    say(format_args!("put into {}: {}", args.table, plain::plain_item(&item)));
    Ok(ExitCode::SUCCESS)
}

fn item(arguments: &[String], keys: &[(String, String)]) -> Result<Value, Failure> {
    let wrong = |text: String| Failure::new(Code::Setting, text);
    if let [one] = arguments
        && one.trim_start().starts_with('{')
    {
        let object: Map<String, Value> =
            serde_json::from_str(one).map_err(|error| wrong(format!("the item is no JSON object: {error}")))?;
        return Ok(plain::item(&object, keys));
    }
    let mut item = Map::new();
    for argument in arguments {
        let pair = argument.split_once('=').filter(|(name, _)| !name.is_empty());
        let (name, text) = pair.ok_or_else(|| wrong(format!("{argument:?} is not NAME=VALUE")))?;
        let kind = keys.iter().find(|(key, _)| key == name).map(|(_, kind)| kind.as_str());
        item.insert(name.to_owned(), kind.map_or_else(|| plain::inferred(text), |kind| plain::typed(kind, text)));
    }
    Ok(Value::Object(item))
}

/// `tailrace invoke`. Ends with 1 if the function fails.
pub async fn invoke(args: InvokeArgs) -> Outcome {
    let wrong = |text: String| Failure::new(Code::Setting, text);
    let text = match args.event.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).map_err(|error| wrong(format!("cannot read {file}: {error}")))?,
        None if args.event == "-" => {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            read.map_err(|error| wrong(format!("cannot read stdin: {error}")))?;
            text
        }
        None => args.event,
    };
    let event = serde_json::from_str(&text).map_err(|error| wrong(format!("the event is no JSON: {error}")))?;
    let request = serde_json::to_value(InvokeRequest { function: args.function, event })?;
    let mut client = Client::new(&args.client.endpoint())?.patient(INVOKE);
    let (status, body) = client.post("/_admin/invoke", &request).await?;
    if status != StatusCode::OK {
        return Err(client.refused(status, &String::from_utf8_lossy(&body)));
    }
    let answer: InvokeAnswer = serde_json::from_slice(&body)?;
    match answer.error {
        Some(why) if answer.payload.is_null() => Err(Failure::new(Code::Refused, why)),
        Some(why) => {
            print(answer.payload)?;
            complain(format_args!("the function failed ({why}) after {} ms", answer.duration.as_millis()));
            Ok(ExitCode::FAILURE)
        }
        None => {
            print(answer.payload)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn described(client: &mut Client, table: &str) -> Result<Value, Failure> {
    match client.call(DYNAMODB, "DescribeTable", &json!({ "TableName": table })).await? {
        Ok(mut described) => Ok(described["Table"].take()),
        Err(error) => {
            let hint = meant_table(client, table).await;
            Err(Failure::new(Code::Refused, format_args!("{error}{hint}")))
        }
    }
}

/// `; did you mean Orders?`, if there is a table of nearly this name; else nothing.
pub async fn meant_table(client: &mut Client, table: &str) -> String {
    let listed = client.call(DYNAMODB, "ListTables", &json!({})).await.ok().and_then(Result::ok).unwrap_or_default();
    let names = listed["TableNames"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let others: Vec<&str> = names.collect();
    // A table that is there was refused for another reason.
    if others.contains(&table) { String::new() } else { did_you_mean(table, others.iter().copied()) }
}

async fn call(client: &mut Client, operation: &str, request: &Value) -> Result<Value, Failure> {
    client.call(DYNAMODB, operation, request).await?.map_err(|error| Failure::new(Code::Refused, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_on_the_sort_key_is_short() {
        assert_eq!(sort_condition("a"), ("#s = :s", "a", None));
        assert_eq!(sort_condition("<=5"), ("#s <= :s", "5", None));
        assert_eq!(sort_condition(">5"), ("#s > :s", "5", None));
        assert_eq!(sort_condition("2026-*"), ("begins_with(#s, :s)", "2026-", None));
        assert_eq!(sort_condition("a..b"), ("#s BETWEEN :s AND :t", "a", Some("b")));
        assert_eq!(sort_condition("=a..b"), ("#s = :s", "a..b", None), "a sign takes the rest as it is");
    }
}
