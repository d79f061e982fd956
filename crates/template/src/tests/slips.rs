//! Names that are a letter or two beside those that are read: what was likely meant is told with them.

use super::*;

#[test]
fn a_property_that_is_not_known_is_told_with_the_one_that_was_meant() {
    let told = |path: &str, meant: &str| format!("{path}: this property is not known; skipped; did you mean {meant}?");
    let throughput = "ProvisionedThroughput: {ReadCapacityUnits: 1, WriteCapacityUnits: 1}\n      ";
    for (property, name, meant) in [
        ("BilingMode: PAY_PER_REQUEST", "BilingMode", "BillingMode"),
        ("StreamSpecifications: {StreamViewType: NEW_IMAGE}", "StreamSpecifications", "StreamSpecification"),
        ("GlobalSecondaryIndices: []", "GlobalSecondaryIndices", "GlobalSecondaryIndexes"),
        ("Stream: {StreamViewType: NEW_IMAGE}", "Stream", "StreamSpecification"),
        ("timeToLiveSpecification: {Enabled: true}", "timeToLiveSpecification", "TimeToLiveSpecification"),
    ] {
        let path = format!("Resources.T.Properties.{name}");
        check_skipped(&table_with(&format!("{throughput}{property}")), &[&told(&path, meant)]);
    }
    for (property, name, meant) in [
        ("Event: {E: {Type: DynamoDB}}", "Event", "Events"),
        ("Enviroment: {Variables: {A1: x}}", "Enviroment", "Environment"),
        ("TimeOut: 5", "TimeOut", "Timeout"),
        ("Memory: 512", "Memory", "MemorySize"),
        ("Code: src", "Code", "CodeUri"),
        ("Schedules: 5", "Schedules", ""),
        ("CodeUrl: src", "CodeUrl", "CodeUri"),
        ("Environment: {Variable: {A1: x}}", "Environment.Variable", "Variables"),
    ] {
        let path = format!("Resources.F.Properties.{name}");
        let told =
            if meant.is_empty() { format!("{path}: this property is not known; skipped") } else { told(&path, meant) };
        check_skipped(&function_with(property), &[&told]);
    }
    for (property, name, meant) in [
        ("BatchSizes: 5", "BatchSizes", "BatchSize"),
        ("FilterCriterias: {Filters: []}", "FilterCriterias", "FilterCriteria"),
        ("FilterCriteria: {Filter: []}", "FilterCriteria.Filter", "Filters"),
        ("MaximumRetryAttemps: 3", "MaximumRetryAttemps", "MaximumRetryAttempts"),
    ] {
        check_skipped(&mapping_with(property), &[&told(&format!("Resources.M.Properties.{name}"), meant)]);
    }
}

#[test]
fn a_property_that_is_missing_is_told_with_the_one_that_may_be_it() {
    let template = mapping_with("").replace("StartingPosition:", "StartingPositon:");
    let at = "Resources.M.Properties.StartingPosition";
    check_error(&template, &format!("{at}: this property is required; is StartingPositon meant to be it?"));
    let template = table_with("").replace("KeySchema:", "KeySchemas:");
    let at = "Resources.T.Properties.KeySchema";
    check_error(&template, &format!("{at}: this property is required; is KeySchemas meant to be it?"));
    let function = used_function_with("CodeUri: src").replace("AWS::Serverless::Function", "AWS::Lambda::Function");
    let at = "Resources.F.Properties.Code";
    check_error(&function, &format!("{at}: this property is required; is CodeUri meant to be it?"));
    check_error("Resource: {A: {Type: AWS::SNS::Topic}}", "Resources: there are none; is Resource meant to be it?");
    check_error("Resources: {A: {type: AWS::SNS::Topic}}", "Resources.A: there is no Type; is type meant to be it?");
}

#[test]
fn the_type_of_an_event_is_told_with_the_one_that_was_meant() {
    for kind in ["DynamoDb", "DynamoDBStream", "AWS::DynamoDB", "Dynamodb"] {
        let template = function_with(&format!("Events: {{E: {{Type: '{kind}', Properties: {{}}}}}}"));
        let told = format!(
            "Resources.F.Properties.Events.E: events of type {kind} are not supported; skipped; did you mean DynamoDB?"
        );
        check_skipped(&template, &[&told]);
    }
    let other = function_with("Events: {E: {Type: DocumentDB, Properties: {}}}");
    check_skipped(&other, &["Resources.F.Properties.Events.E: events of type DocumentDB are not supported; skipped"]);
    let plain =
        function_with("Events: {E: {Type: DynamoDB}}").replace("AWS::Serverless::Function", "AWS::Lambda::Function");
    let plain = plan(&plain.replace("Handler:", "Code: src\n      Handler:"));
    assert_eq!(
        plan_lines(&plain, "Events"),
        [
            "Resources.F.Properties.Events: an AWS::Lambda::Function has none, so nothing is delivered by it; skipped; did you mean \
         AWS::Serverless::Function, or an AWS::Lambda::EventSourceMapping?"
        ]
    );
}

/// The lines of a plan that name this.
fn plan_lines<'a>(plan: &'a Plan, name: &str) -> Vec<&'a str> {
    plan.skipped.iter().map(String::as_str).filter(|line| line.contains(name)).collect()
}

#[test]
fn variables_beside_the_map_of_variables_are_told() {
    let template = function_with("Environment: {TABLE: orders, variables: {AA: x}}");
    let at = "Resources.F.Properties.Environment";
    let told = [
        format!("{at}.TABLE: skipped: the variables of a function are in a map Variables of Environment"),
        format!("{at}.variables: this property is not known; skipped; did you mean Variables?"),
    ];
    check_skipped(&template, &told.each_ref().map(String::as_str));
}

#[test]
fn sections_globals_types_and_attributes_are_told_with_the_one_that_was_meant() {
    let resources = "Resources: {A: {Type: AWS::SNS::Topic}}";
    let topic = "Resources.A: AWS::SNS::Topic is not supported; skipped";
    let section = "a template has no such section, and AWS refuses one that has; skipped";
    check_skipped(
        &format!(
            "{resources}\nGlobals: {{Functions: {{Timeout: 3}}, SimpleTables: {{}}, Api: {{}}}}\nOutput: {{}}\nx-common: 1"
        ),
        &[
            &format!("Output: {section}; did you mean Outputs?"),
            &format!("x-common: {section}"),
            "Globals.Functions: not supported; skipped; did you mean Function?",
            "Globals.SimpleTables: not supported; skipped; did you mean SimpleTable?",
            "Globals.Api: not supported; skipped",
            topic,
        ],
    );
    for (kind, meant) in [
        ("AWS::DynamoDb::Table", "AWS::DynamoDB::Table"),
        ("AWS::DynamoDB::Tables", "AWS::DynamoDB::Table"),
        ("DynamoDB::Table", "AWS::DynamoDB::Table"),
        ("AWS::Serverless::function", "AWS::Serverless::Function"),
        ("AWS::Lambda::EventSourceMappings", "AWS::Lambda::EventSourceMapping"),
    ] {
        let told = format!("Resources.A: {kind} is not supported; skipped; did you mean {meant}?");
        let transform = "Transform: AWS::Serverless-2016-10-31\n";
        check_skipped(&format!("{transform}Resources: {{A: {{Type: '{kind}'}}}}"), &[&told]);
    }
    let table = table_with("").replace("    Type:", "    DependOn: X\n    DeletePolicy: Retain\n    Type:");
    let attribute = "this attribute of a resource is not known; skipped";
    check_skipped(
        &table,
        &[
            &format!("Resources.T.DependOn: {attribute}; did you mean DependsOn?"),
            &format!("Resources.T.DeletePolicy: {attribute}; did you mean DeletionPolicy?"),
        ],
    );
}
