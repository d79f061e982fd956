//! A server that starts again and again on one data directory, with a template that changes between the starts.

mod settings;

use std::sync::Arc;

use serde_json::{Value, json};
use tailrace_core::Service;
use tailrace_engine::{Caller, Client, ops};
use tokio::sync::mpsc;

use crate::clock::{SystemClock, SystemRng};
use crate::template::Templates;
use crate::{Config, Event, Server};

/// A directory with a template and its data.
struct Project(tempfile::TempDir);

impl Project {
    fn new() -> Project {
        Project(tempfile::tempdir().unwrap())
    }

    /// Starts with `template`; the server, and what it told.
    async fn try_start(&self, template: &str) -> Result<(Server, Vec<String>), String> {
        self.try_start_with(template, |_| ()).await
    }

    async fn try_start_with(
        &self,
        template: &str,
        configure: impl FnOnce(&mut Config),
    ) -> Result<(Server, Vec<String>), String> {
        let dir = self.0.path();
        std::fs::write(dir.join("template.yaml"), template).unwrap();
        let mut config = Config::new(dir.join("data"));
        config.port = 0;
        config.templates = Some(Templates::one(dir.join("template.yaml")));
        configure(&mut config);
        let (events, mut receiver) = mpsc::channel(1000);
        let rng = Arc::new(SystemRng::open().unwrap());
        let server = Server::start(config, Arc::new(SystemClock::default()), rng, events).await;
        let server = server.map_err(|error| error.to_string())?;
        let mut told = Vec::new();
        while let Ok(event) = receiver.try_recv() {
            if let Event::Notice(line) = event {
                told.push(line);
            }
        }
        Ok((server, told))
    }

    /// Starts, looks, stops: what `look` saw, and what was told.
    async fn run<T>(&self, template: &str, look: impl AsyncFnOnce(&Server) -> T) -> (T, Vec<String>) {
        let (server, told) = self.try_start(template).await.unwrap();
        let seen = look(&server).await;
        server.stop().await.unwrap();
        (seen, told)
    }
}

async fn call(server: &Server, operation: &str, request: Value) -> Value {
    let body = request.to_string();
    let answer = ops::execute(server.db(), Service::DynamoDb, operation, body.as_bytes(), &Caller::default()).await;
    serde_json::from_slice(&answer.unwrap()).unwrap()
}

async fn table(server: &Server) -> Value {
    call(server, "DescribeTable", json!({ "TableName": "table" })).await["Table"].clone()
}

/// Function and state of every mapping, sorted.
async fn mappings(server: &Server) -> Vec<(String, String)> {
    let reports = server.mappings().overview().await.unwrap();
    let mut seen: Vec<_> =
        reports.into_iter().map(|report| (report.function, report.state.as_str().to_owned())).collect();
    seen.sort();
    seen
}

/// A template of one table with these properties.
fn table_template(properties: &str) -> String {
    let has_units = ["BillingMode", "ProvisionedThroughput"].iter().any(|name| properties.contains(name));
    let billing = if has_units { "" } else { "BillingMode: PAY_PER_REQUEST" };
    format!(
        r"
Transform: AWS::Serverless-2016-10-31
Resources:
  T:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: table
      {billing}
      {}
",
        properties.replace('\n', "\n      ")
    )
}

const KEY: &str = "AttributeDefinitions: [{AttributeName: a, AttributeType: S}]
KeySchema: [{AttributeName: a, KeyType: HASH}]
";

/// A template of a table and functions that read its stream.
fn functions_template(functions: &[&str]) -> String {
    let mut template = table_template(&format!("{KEY}StreamSpecification: {{StreamViewType: NEW_IMAGE}}"));
    for (id, name) in functions.iter().map(|function| function.split_once('=').unwrap()) {
        template += &format!(
            r"
  {id}:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: {name}
      Runtime: provided.al2023
      Events:
        E: {{Type: DynamoDB, Properties: {{Stream: !GetAtt T.StreamArn, StartingPosition: TRIM_HORIZON}}}}
"
        );
    }
    template
}

/// A table with a stream that nobody reads.
fn table_only() -> String {
    table_template(&format!("{KEY}StreamSpecification: {{StreamViewType: NEW_IMAGE}}"))
}

/// A function that reads no stream, as a part of a template.
fn functions_only(id: &str, name: &str) -> String {
    let function = format!("  {id}:\n    Type: AWS::Serverless::Function\n    Properties:\n");
    function + &format!("      FunctionName: {name}\n      Runtime: provided.al2023\n")
}

#[tokio::test]
async fn a_key_that_changed_stops_the_start_and_changes_nothing() {
    let project = Project::new();
    project.run(&table_template(KEY), async |_| ()).await;
    let at = "Resources.T.Properties.KeySchema: the key of the table table is a (S, HASH), and the template asks for";
    let todo = "a key cannot be changed: delete the table with its items, or name another table in the template";
    for (from, to, wanted) in [
        ("AttributeType: S", "AttributeType: N", "a (N, HASH)"),
        ("AttributeName: a", "AttributeName: b", "b (S, HASH)"),
    ] {
        let changed =
            format!("{}  Other: {{Type: AWS::Serverless::SimpleTable}}\n", table_template(&KEY.replace(from, to)));
        let error = project.try_start(&changed).await.err().unwrap();
        assert_eq!(error, format!("{at} {wanted}; {todo}"));
    }
    let list = async |server: &Server| call(server, "ListTables", json!({})).await;
    let (tables, _) = project.run(&table_template(KEY), list).await;
    assert_eq!(tables, json!({ "TableNames": ["table"] }));
}

#[tokio::test]
async fn a_stream_is_added_and_kept_and_its_view_never_changes() {
    let project = Project::new();
    let with = |view: &str| table_template(&format!("{KEY}StreamSpecification: {{StreamViewType: {view}}}"));
    project.run(&table_template(KEY), async |_| ()).await;
    let (added, _) = project.run(&with("NEW_IMAGE"), table).await;
    assert_eq!(added["StreamSpecification"], json!({ "StreamEnabled": true, "StreamViewType": "NEW_IMAGE" }));
    let error = project.try_start(&with("KEYS_ONLY")).await.err().unwrap();
    assert_eq!(
        error,
        "Resources.T.Properties.StreamSpecification.StreamViewType: the stream of the table table is NEW_IMAGE, and the \
         template asks for KEYS_ONLY; that takes a new stream, and cuts the readers of this one off: write NEW_IMAGE in the \
         template, or disable the stream first (UpdateTable with StreamEnabled false)"
    );
    let (kept, told) = project.run(&table_template(KEY), table).await;
    assert_eq!(kept["LatestStreamArn"], added["LatestStreamArn"]);
    assert_eq!(kept["StreamSpecification"], added["StreamSpecification"]);
    assert_eq!(
        told,
        [
            "template: Resources.T.Properties: the table table has a stream (NEW_IMAGE) that the template does not ask for; it \
          is kept"
        ]
    );
}

#[tokio::test]
async fn billing_follows_the_template() {
    let project = Project::new();
    let provisioned = |read: u32| {
        table_template(&format!("{KEY}ProvisionedThroughput: {{ReadCapacityUnits: {read}, WriteCapacityUnits: 6}}"))
    };
    let billing = async |server: &Server| {
        let table = table(server).await;
        let mode = table["BillingModeSummary"]["BillingMode"].as_str().unwrap_or("PROVISIONED").to_owned();
        let units = &table["ProvisionedThroughput"];
        (mode, units["ReadCapacityUnits"].clone(), units["WriteCapacityUnits"].clone())
    };
    for (template, mode, read, write) in [
        (table_template(KEY), "PAY_PER_REQUEST", 0, 0),
        (provisioned(5), "PROVISIONED", 5, 6),
        (provisioned(5), "PROVISIONED", 5, 6),
        (provisioned(7), "PROVISIONED", 7, 6),
        (table_template(KEY), "PAY_PER_REQUEST", 0, 0),
    ] {
        let (seen, _) = project.run(&template, billing).await;
        assert_eq!(seen, (mode.to_owned(), json!(read), json!(write)));
    }
}

#[tokio::test]
async fn class_protection_and_throughput_follow_the_template() {
    let project = Project::new();
    let shown = async |server: &Server| {
        let table = table(server).await;
        let warm = &table["WarmThroughput"];
        json!([
            table["TableClassSummary"]["TableClass"],
            table["DeletionProtectionEnabled"],
            table["OnDemandThroughput"],
            [warm["ReadUnitsPerSecond"], warm["WriteUnitsPerSecond"]],
        ])
    };
    let with = |class: &str, protected: bool, read: u32, warm: u32| {
        table_template(&format!(
            "{KEY}TableClass: {class}
DeletionProtectionEnabled: {protected}
OnDemandThroughput: {{MaxReadRequestUnits: {read}}}
WarmThroughput: {{WriteUnitsPerSecond: {warm}}}"
        ))
    };
    let rare = "STANDARD_INFREQUENT_ACCESS";
    let (seen, _) = project.run(&with(rare, true, 7, 5000), shown).await;
    assert_eq!(seen, json!([rare, true, { "MaxReadRequestUnits": 7 }, [12000, 5000]]));
    let (seen, told) = project.run(&with("STANDARD", false, 8, 6000), shown).await;
    assert_eq!(seen, json!(["STANDARD", false, { "MaxReadRequestUnits": 8 }, [12000, 6000]]));
    assert_eq!(told, Vec::<String>::new());
    // What the template does not say stays; and what cannot be is named.
    let (seen, _) = project.run(&table_template(KEY), shown).await;
    assert_eq!(seen, json!(["STANDARD", false, { "MaxReadRequestUnits": 8 }, [12000, 6000]]));
    let (seen, told) = project.run(&with("STANDARD", false, 8, 4500), shown).await;
    assert_eq!(seen, json!(["STANDARD", false, { "MaxReadRequestUnits": 8 }, [12000, 6000]]));
    let kept = "Resources.T.Properties.WarmThroughput: the table table has more; it cannot be decreased, and is kept";
    assert_eq!(told, [format!("template: {kept}")]);
}

#[tokio::test]
async fn a_mapping_that_left_the_template_is_disabled_and_comes_back_at_its_place() {
    let project = Project::new();
    let both = functions_template(&["F=one", "G=two"]);
    let uuids = async |server: &Server| {
        let mut reports = server.mappings().overview().await.unwrap();
        reports.sort_by(|a, b| a.function.cmp(&b.function));
        reports.into_iter().map(|report| report.uuid).collect::<Vec<_>>()
    };
    let (before, _) = project.run(&both, uuids).await;
    let (seen, told) = project.run(&functions_template(&["F=one"]), mappings).await;
    let state = |function: &str, state: &str| (function.to_owned(), state.to_owned());
    assert_eq!(seen, [state("one", "Enabled"), state("two", "Disabled")]);
    assert_eq!(
        told,
        [
            "template: mapping GE (table to two): no longer in the template: disabled; its position is kept",
            "template: function two: no longer in the template; it is kept",
        ]
    );
    // Told once.
    let (_, told) = project.run(&functions_template(&["F=one"]), async |_| ()).await;
    assert_eq!(told, Vec::<String>::new());
    let (seen, _) = project.run(&both, mappings).await;
    assert_eq!(seen, [state("one", "Enabled"), state("two", "Enabled")]);
    let (after, _) = project.run(&both, uuids).await;
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_function_that_cannot_run_here_holds_up_no_other() {
    let project = Project::new();
    let both = functions_template(&["F=one", "G=two"]);
    let image = both.replacen("Runtime: provided.al2023", "PackageType: Image", 1);
    let state = |function: &str, state: &str| (function.to_owned(), state.to_owned());
    let cannot = "template: Resources.F.Properties.PackageType: images are not supported; give the directory of the code; the function \
                  one is left out, and its mapping FE is not started [TR0013]";
    let (seen, told) = project.run(&image, mappings).await;
    assert_eq!((seen, told), (vec![state("two", "Enabled")], vec![cannot.to_owned()]));
    // One that ran goes on where it was, once it can again.
    let (seen, _) = project.run(&both, mappings).await;
    assert_eq!(seen, [state("one", "Enabled"), state("two", "Enabled")]);
    let (seen, told) = project.run(&image, mappings).await;
    assert_eq!(seen, [state("one", "Disabled"), state("two", "Enabled")]);
    assert_eq!(
        told,
        [
            cannot,
            "template: mapping FE (table to one): what the template has of it now cannot run here: disabled; its position is kept",
            "template: function one: what the template has of it now cannot run here; it is kept",
        ]
    );
    let (seen, _) = project.run(&both, mappings).await;
    assert_eq!(seen, [state("one", "Enabled"), state("two", "Enabled")]);
}

#[tokio::test]
async fn a_function_that_was_renamed_takes_over_its_mapping() {
    let project = Project::new();
    let uuids = async |server: &Server| {
        let reports = server.mappings().overview().await.unwrap();
        reports.into_iter().map(|report| (report.uuid, report.function)).collect::<Vec<_>>()
    };
    let (before, _) = project.run(&functions_template(&["F=old"]), uuids).await;
    let (after, told) = project.run(&functions_template(&["F=new"]), uuids).await;
    assert_eq!(after, [(before[0].0.clone(), "new".to_owned())]);
    assert_eq!(told, ["template: function old: no longer in the template; it is kept"]);
}

/// Uuid, function's ARN, BatchSize and whether it is enabled, of every mapping, by function.
async fn configured(server: &Server) -> Vec<(String, String, usize, bool)> {
    let list = server.mappings().list().into_iter();
    let mut seen: Vec<_> = list
        .map(|mapping| {
            let function = mapping.function.arn.as_str().rsplit_once("function:").unwrap().1.to_owned();
            (mapping.uuid(), function, mapping.rules.batch_records_max, mapping.enabled)
        })
        .collect();
    seen.sort_by(|a, b| a.1.cmp(&b.1));
    seen
}

/// A template of a table and a function `one` that reads its stream in batches of this size.
fn batch_template(batch_size: usize) -> String {
    functions_template(&["F=one"])
        .replace("StartingPosition: TRIM_HORIZON", &format!("StartingPosition: TRIM_HORIZON, BatchSize: {batch_size}"))
}

/// A call of the API beside the template: a mapping of its table's stream.
async fn create_mapping(server: &Server, function: &str) -> String {
    let request = tailrace_mapping::CreateMapping {
        function: Some(function.to_owned()),
        event_source_arn: table(server).await["LatestStreamArn"].as_str().map(str::to_owned),
        starting_position: Some("LATEST".into()),
        parameters: tailrace_mapping::Parameters {
            enabled: Some(false),
            batch_size: Some(7),
            ..tailrace_mapping::Parameters::default()
        },
    };
    server.mappings().runner.create(request).await.unwrap().uuid()
}

async fn give(server: &Server, uuid: &str, function: &str) {
    let keep = tailrace_mapping::Parameters::default();
    server.mappings().runner.update(uuid, Some(function), &keep).await.unwrap();
}

/// Uuids are drawn, and mappings are listed by them: with sixteen of them one comes before the template's.
#[tokio::test]
async fn a_mapping_of_a_version_that_the_api_made_is_not_the_templates() {
    let project = Project::new();
    let make = async |server: &Server| {
        for version in 1..=16 {
            create_mapping(server, &format!("one:v{version}")).await;
        }
        configured(server).await
    };
    let (mut expected, _) = project.run(&batch_template(10), make).await;
    assert_eq!((expected.len(), expected[0].1.as_str()), (17, "one"));
    let (seen, _) = project.run(&batch_template(20), configured).await;
    expected[0].2 = 20;
    assert_eq!(seen, expected);
    let (seen, told) = project.run(&functions_template(&["G=two"]), configured).await;
    expected[0].3 = false;
    assert_eq!(seen[..17], expected);
    assert!(told[0].ends_with("mapping FE (table to one): no longer in the template: disabled; its position is kept"));
}

#[tokio::test]
async fn a_mapping_that_the_api_gave_another_function_is_still_the_templates() {
    let project = Project::new();
    let two = batch_template(10) + &functions_only("G", "two");
    let (before, _) = project.run(&two, configured).await;
    let to_two = async |server: &Server| give(server, &before[0].0, "two").await;
    project.run(&two, to_two).await;
    let (seen, _) = project.run(&two, configured).await;
    assert_eq!(seen, before, "one mapping, with its place");
    // Out of the template it is disabled, whatever its function is now.
    project.run(&two, to_two).await;
    let (seen, _) = project.run(&(table_only() + &functions_only("G", "two")), configured).await;
    assert_eq!(seen, [(before[0].0.clone(), "two".to_owned(), 10, false)]);
}

/// A name that is taken by now is no reason not to start: who has it has the template's rules.
#[tokio::test]
async fn a_function_that_the_api_gave_to_another_mapping_stops_no_start() {
    let project = Project::new();
    let two = batch_template(10) + &functions_only("G", "two");
    let swap = async |server: &Server| {
        let own = configured(server).await[0].0.clone();
        give(server, &own, "two").await;
        (own, create_mapping(server, "one").await)
    };
    let ((own, other), _) = project.run(&two, swap).await;
    for _ in 0..2 {
        let (seen, _) = project.run(&two, configured).await;
        assert_eq!(
            seen,
            [(other.clone(), "one".to_owned(), 10, true), (own.clone(), "two".to_owned(), 10, true)],
            "the template's mapping is the one of its function"
        );
    }
}

/// Two mappings of a template whose functions the API swapped: each function's has its rules.
#[tokio::test]
async fn functions_that_the_api_swapped_between_two_mappings_keep_their_rules() {
    let project = Project::new();
    let template = functions_template(&["F=one", "G=two"]) + &functions_only("H", "three");
    let swap = async |server: &Server| {
        let before = configured(server).await;
        give(server, &before[0].0, "three").await;
        give(server, &before[1].0, "one").await;
        give(server, &before[0].0, "two").await;
        configured(server).await
    };
    let (swapped, _) = project.run(&template, swap).await;
    for _ in 0..2 {
        assert_eq!(project.run(&template, configured).await.0, swapped);
    }
    // One of them was deleted, and the other one has its function: both are as the template has them again.
    let shift = async |server: &Server| {
        server.mappings().runner.delete(&swapped[0].0).await.unwrap();
        give(server, &swapped[1].0, "one").await;
    };
    project.run(&template, shift).await;
    let (seen, _) = project.run(&template, configured).await;
    assert_eq!(seen.iter().map(|mapping| mapping.1.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(seen[1].0, swapped[1].0, "it has its own function and its place");
}

/// The record of an earlier version knows no uuids: the mapping is found by its function, and known from then on.
#[tokio::test]
async fn the_record_of_an_earlier_version_is_read() {
    let project = Project::new();
    let two = batch_template(10) + &functions_only("G", "two");
    let changed = batch_template(20) + &functions_only("G", "two");
    let strip = async |server: &Server| {
        let store = server.db().store().as_ref();
        let mut record = super::Record::read(store).await.unwrap();
        let without = |mapping: &super::RecordedMapping| super::RecordedMapping { uuid: None, ..mapping.clone() };
        record.mappings = record.mappings.iter().map(without).collect();
        let text = serde_json::to_string(&record).unwrap();
        assert!(text.contains(r#""id":"FE""#) && !text.contains("uuid"), "{text}");
        record.write(store).await.unwrap();
        configured(server).await
    };
    let (before, _) = project.run(&two, strip).await;
    let (seen, _) = project
        .run(&two, async |server: &Server| {
            let seen = configured(server).await;
            give(server, &before[0].0, "two").await;
            seen
        })
        .await;
    assert_eq!(seen, before);
    assert_eq!(project.run(&two, configured).await.0, before);

    // An earlier version had taken one of an alias for the template's: it goes on as that.
    let alias = async |server: &Server| {
        give(server, &before[0].0, "one:live").await;
        strip(server).await
    };
    project.run(&two, alias).await;
    let adopted = |batch_size, enabled| vec![(before[0].0.clone(), "one:live".to_owned(), batch_size, enabled)];
    assert_eq!(project.run(&changed, configured).await.0, adopted(20, true));
}

#[tokio::test]
async fn what_can_be_checked_is_checked_before_anything_is_made() {
    let project = Project::new();
    let nothing = "Resources: {}";
    let first = "  A: {Type: AWS::Serverless::SimpleTable, Properties: {TableName: first}}\n";
    let mapping = |function: &str, stream: &str| {
        functions_template(&["F=one"])
            + first
            + &format!(
                "  M: {{Type: AWS::Lambda::EventSourceMapping, Properties: {{FunctionName: {function}, EventSourceArn: \
                 {stream}, StartingPosition: LATEST}}}}\n"
            )
    };
    let arn = "'arn:aws:dynamodb:us-east-1:000000000000:table/gone/stream/2026-01-01T00:00:00.000'";
    for (template, expected) in [
        (
            mapping("nobody", "!GetAtt T.StreamArn"),
            "Resources.M.Properties.FunctionName: there is no function \"nobody\", neither in the template nor in the data \
             directory",
        ),
        (
            mapping("one", arn),
            "Resources.M.Properties.EventSourceArn: ResourceNotFoundException: Requested resource not found: Stream: \
             arn:aws:dynamodb:us-east-1:000000000000:table/gone/stream/2026-01-01T00:00:00.000 not found; a template that makes the \
             table gone and is started with this one gives its stream",
        ),
    ] {
        assert_eq!(project.try_start(&template).await.err().unwrap(), expected);
    }
    let list = async |server: &Server| call(server, "ListTables", json!({})).await;
    let (tables, _) = project.run(nothing, list).await;
    assert_eq!(tables, json!({ "TableNames": [] }));
}

#[tokio::test]
async fn a_time_to_live_follows_the_template() {
    let project = Project::new();
    let with = |specification: &str| table_template(&format!("{KEY}TimeToLiveSpecification: {{{specification}}}"));
    let shown = async |server: &Server| {
        let described = call(server, "DescribeTimeToLive", json!({ "TableName": "table" })).await;
        let described = &described["TimeToLiveDescription"];
        (described["TimeToLiveStatus"].clone(), described["AttributeName"].clone())
    };
    let (on, off) = ((json!("ENABLED"), json!("a")), (json!("DISABLED"), Value::Null));
    let none: Vec<String> = Vec::new();
    let enabled = with("AttributeName: a, Enabled: true");
    // Made with it, and again: nothing to do.
    assert_eq!(project.run(&enabled, shown).await, (on.clone(), none.clone()));
    assert_eq!(project.run(&enabled, shown).await, (on.clone(), none.clone()));
    let error = project.try_start(&with("AttributeName: b, Enabled: true")).await.err().unwrap();
    assert_eq!(
        error,
        "Resources.T.Properties.TimeToLiveSpecification.AttributeName: the items of the table table expire by a, and the \
         template asks for b; as with CloudFormation, start once with Enabled: false in between"
    );
    assert_eq!(project.run(&with("AttributeName: a, Enabled: false"), shown).await, (off.clone(), none.clone()));
    assert_eq!(project.run(&enabled, shown).await, (on.clone(), none.clone()));
    // Taken out, it ends, once; what a client enables then is none of the template's business.
    let gone = "template: Resources.T.Properties: the items of the table table expire no more: the template does not ask for it \
                any longer";
    assert_eq!(project.run(&table_template(KEY), shown).await, (off.clone(), vec![gone.to_owned()]));
    let enable = async |server: &Server| {
        let specification = json!({ "AttributeName": "a", "Enabled": true });
        let body = json!({ "TableName": "table", "TimeToLiveSpecification": specification });
        call(server, "UpdateTimeToLive", body).await;
    };
    project.run(&table_template(KEY), enable).await;
    assert_eq!(project.run(&table_template(KEY), shown).await, (on, none));
}

/// A template of a table with the key `a` (S), `b` (N) and these indexes by `c` (S), `d` (S) or both.
fn indexed_template(more: &str, global: &[&str], local: &[&str]) -> String {
    let used = |name: &str| global.iter().chain(local).any(|index| index.contains(&format!("-{name}")));
    let mut attributes = "{AttributeName: a, AttributeType: S}, {AttributeName: b, AttributeType: N}".to_owned();
    for name in ["c", "d"].into_iter().filter(|name| used(name)) {
        attributes += &format!(", {{AttributeName: {name}, AttributeType: S}}");
    }
    // `by-c`, or `by-c=KEYS_ONLY`.
    let index = |index: &&str, hash: Option<&str>| {
        let (name, projection) = index.split_once('=').unwrap_or((*index, "ALL"));
        let own = name.rsplit('-').next().unwrap();
        let key = match hash {
            Some(hash) => format!("{{AttributeName: {hash}, KeyType: HASH}}, {{AttributeName: {own}, KeyType: RANGE}}"),
            None => format!("{{AttributeName: {own}, KeyType: HASH}}"),
        };
        format!("{{IndexName: {name}, KeySchema: [{key}], Projection: {{ProjectionType: {projection}}}}}")
    };
    let list = |indexes: Vec<String>| format!("[{}]", indexes.join(", "));
    table_template(&format!(
        "AttributeDefinitions: [{attributes}]
KeySchema: [{{AttributeName: a, KeyType: HASH}}, {{AttributeName: b, KeyType: RANGE}}]
GlobalSecondaryIndexes: {}
LocalSecondaryIndexes: {}
{more}",
        list(global.iter().map(|it| index(it, None)).collect()),
        list(local.iter().map(|it| index(it, Some("a"))).collect()),
    ))
}

/// Names, states and reading units of the table's global indexes, by name.
async fn global_indexes(server: &Server) -> Vec<(String, String, i64)> {
    let table = table(server).await;
    let mut seen: Vec<_> = table["GlobalSecondaryIndexes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|index| {
            let text = |name: &str| index[name].as_str().unwrap().to_owned();
            let units = index["ProvisionedThroughput"]["ReadCapacityUnits"].as_i64().unwrap();
            (text("IndexName"), text("IndexStatus"), units)
        })
        .collect();
    seen.sort();
    seen
}

#[tokio::test]
async fn global_indexes_come_and_go_with_the_template_and_are_active_when_the_server_has_started() {
    let project = Project::new();
    let none: Vec<String> = Vec::new();
    let active = |name: &str| (name.to_owned(), "ACTIVE".to_owned(), 0);
    let first = indexed_template("", &["by-c"], &["local-d"]);
    assert_eq!(project.run(&first, global_indexes).await, (vec![active("by-c")], none.clone()));
    assert_eq!(project.run(&first, global_indexes).await, (vec![active("by-c")], none.clone()));
    // Two at once, over items that were there before.
    let put = async |server: &Server| {
        for n in 0..40 {
            let item = json!({"a": {"S": n.to_string()}, "b": {"N": "1"}, "c": {"S": "x"}, "d": {"S": "y"}});
            call(server, "PutItem", json!({"TableName": "table", "Item": item})).await;
        }
    };
    project.run(&first, put).await;
    let more = indexed_template("", &["by-c", "of-d", "again-c"], &["local-d"]);
    let indexes = vec![active("again-c"), active("by-c"), active("of-d")];
    assert_eq!(project.run(&more, global_indexes).await, (indexes, none));
    // One that a client made stays, what the template had goes.
    let create = async |server: &Server| {
        let index = json!({
            "IndexName": "own", "KeySchema": [{"AttributeName": "d", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        });
        let body = json!({
            "TableName": "table", "AttributeDefinitions": [{"AttributeName": "d", "AttributeType": "S"}],
            "GlobalSecondaryIndexUpdates": [{"Create": index}],
        });
        call(server, "UpdateTable", body).await;
    };
    project.run(&more, create).await;
    let (seen, told) = project.run(&indexed_template("", &["by-c"], &["local-d"]), global_indexes).await;
    assert_eq!(seen, [active("by-c"), active("own")]);
    let at = "template: Resources.T.Properties";
    let mut expected = [
        format!("{at}: the index again-c of the table table is no longer in the template: deleted"),
        format!("{at}: the index of-d of the table table is no longer in the template: deleted"),
        format!("{at}: the table table has an index own that the template does not ask for; it is kept"),
    ];
    expected.sort();
    let mut told = told;
    told.sort();
    assert_eq!(told, expected);
}

#[tokio::test]
async fn an_index_that_would_have_to_be_another_one_stops_the_start() {
    let project = Project::new();
    project.run(&indexed_template("", &["by-c"], &["local-d"]), async |_| ()).await;
    let (global, local) =
        ("Resources.T.Properties.GlobalSecondaryIndexes", "Resources.T.Properties.LocalSecondaryIndexes");
    let other = "it cannot be changed: give the index another name";
    let old =
        "a local index is as old as its table: delete the table with its items, or name another table in the template";
    let with_key = indexed_template("", &["by-c"], &["local-d"])
        .replace("{IndexName: by-c, KeySchema: [{AttributeName: c,", "{IndexName: by-c, KeySchema: [{AttributeName: d,")
        .replace(", {AttributeName: c, AttributeType: S}", "");
    for (template, expected) in [
        (
            with_key,
            format!(
                "{global}: the key of the index by-c of the table table is c (S, HASH), and the template asks for d (S, HASH); \
                 {other}"
            ),
        ),
        (
            indexed_template("", &["by-c=KEYS_ONLY"], &["local-d"]),
            format!(
                "{global}: the projection of the index by-c of the table table is ALL, and the template asks for KEYS_ONLY; \
                 {other}"
            ),
        ),
        (
            indexed_template("", &["by-c"], &["local-d", "new-c"]),
            format!("{local}: the table table has no index new-c, and the template asks for it; {old}"),
        ),
        (
            indexed_template("", &["by-c"], &[]),
            format!("{local}: the table table has an index local-d, and the template does not ask for it; {old}"),
        ),
    ] {
        assert_eq!(project.try_start(&template).await.err().unwrap(), expected);
    }
}

#[tokio::test]
async fn units_of_indexes_follow_the_template_and_the_billing_of_their_table() {
    let project = Project::new();
    let with = |units: &str| {
        indexed_template("ProvisionedThroughput: {ReadCapacityUnits: 1, WriteCapacityUnits: 1}", &["by-c"], &[])
            .replace("ProjectionType: ALL}", &format!("ProjectionType: ALL}}{units}"))
    };
    let of =
        |read: u32| with(&format!(", ProvisionedThroughput: {{ReadCapacityUnits: {read}, WriteCapacityUnits: 1}}"));
    let by_c = |read: i64| vec![("by-c".to_owned(), "ACTIVE".to_owned(), read)];
    let on_demand = indexed_template("", &["by-c"], &[]);
    for (template, read) in
        [(of(3), 3), (of(4), 4), (with(""), 4), (on_demand.clone(), 0), (with(""), 5), (on_demand, 0), (of(7), 7)]
    {
        let (seen, told) = project.run(&template, global_indexes).await;
        let lacks_units = template == with("");
        let expected = "template: Resources.T.Properties.GlobalSecondaryIndexes.0.ProvisionedThroughput: AWS refuses an index of a \
                        PROVISIONED table without it; it has the units that it had, or 5 of each";
        let expected: Vec<&str> = lacks_units.then_some(expected).into_iter().collect();
        assert_eq!(seen, by_c(read), "{template}");
        assert_eq!(told, expected, "{template}");
    }
}

/// With `--aws-like-states` a client's table is told as being made or deleted for a while, also over a stop.
#[tokio::test]
async fn a_start_waits_for_a_table_that_was_being_deleted_and_makes_it_again() {
    let project = Project::new();
    let start =
        async || project.try_start_with(&table_template(KEY), |config| config.engine.aws_like_states = true).await;
    let (server, _) = start().await.unwrap();
    let before = table(&server).await;
    let client = Caller::Client(Client { operation: "DeleteTable", ..Client::default() });
    let request = r#"{"TableName": "table"}"#.as_bytes();
    ops::execute(server.db(), Service::DynamoDb, "DeleteTable", request, &client).await.unwrap();
    assert_eq!(table(&server).await["TableStatus"], "DELETING");
    server.stop().await.unwrap();
    let (server, _) = start().await.unwrap();
    let after = table(&server).await;
    assert_eq!(after["TableStatus"], "ACTIVE");
    assert_ne!(after["TableId"], before["TableId"], "another table");
    server.stop().await.unwrap();
}
