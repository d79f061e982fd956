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

#[test]
fn the_value_of_a_property_with_few_is_told_with_the_one_that_was_meant() {
    let words = |at: &str, known: &str, wrong: &str, meant: &str| {
        let hint = if meant.is_empty() { String::new() } else { format!("; did you mean {meant}?") };
        format!("{at}: {known} is expected, not \"{wrong}\"{hint}")
    };
    for (wrong, meant) in
        [("TrimHorizon", "TRIM_HORIZON"), ("LATESTS", "LATEST"), ("latest", "LATEST"), ("AT_TIMESTAMP", "")]
    {
        let template = mapping_with("").replace("LATEST", wrong);
        let at = "Resources.M.Properties.StartingPosition";
        check_error(&template, &words(at, "TRIM_HORIZON or LATEST", wrong, meant));
    }
    let at = "Resources.T.Properties";
    let views = "KEYS_ONLY or NEW_IMAGE or OLD_IMAGE or NEW_AND_OLD_IMAGES";
    for (property, name, known, wrong, meant) in [
        (
            "BillingMode: PAY_PER_REQUESTS",
            "BillingMode",
            "PAY_PER_REQUEST or PROVISIONED",
            "PAY_PER_REQUESTS",
            "PAY_PER_REQUEST",
        ),
        ("BillingMode: Provisoned", "BillingMode", "PAY_PER_REQUEST or PROVISIONED", "Provisoned", "PROVISIONED"),
        ("BillingMode: ON_DEMAND", "BillingMode", "PAY_PER_REQUEST or PROVISIONED", "ON_DEMAND", ""),
        (
            "StreamSpecification: {StreamViewType: NEW_AND_OLD_IMAGE}",
            "StreamSpecification.StreamViewType",
            views,
            "NEW_AND_OLD_IMAGE",
            "NEW_AND_OLD_IMAGES",
        ),
    ] {
        let template = table_with(property);
        check_error(&template, &words(&format!("{at}.{name}"), known, wrong, meant));
    }
    let at = "Resources.M.Properties.FunctionResponseTypes";
    for (wrong, meant) in [("ReportBatchItemFailure", "ReportBatchItemFailures"), ("Other", "")] {
        let template = mapping_with(&format!("FunctionResponseTypes: [{wrong}]"));
        check_error(&template, &words(at, "ReportBatchItemFailures", wrong, meant));
    }
    for (wrong, meant) in [
        ("nodejs22", "nodejs22.x"),
        ("pyton3.13", "python3.13"),
        ("Python3.12", "python3.12"),
        ("python3,12", "python3.12"),
        ("java21x", "java21"),
        ("provded.al2023", "provided.al2023"),
        ("python2.7", ""),
        ("ruby3.3", ""),
        ("dotnet8", ""),
    ] {
        let template = used_function_with("CodeUri: src").replace("python3.12", wrong);
        let error = &plan(&template).not_run[0].why;
        let hint = if meant.is_empty() { ")".to_owned() } else { format!("); did you mean {meant}?") };
        assert!(error.starts_with(&format!("Resources.F.Properties.Runtime: the runtime \"{wrong}\"")), "{error}");
        assert!(error.ends_with(&hint), "{error}");
    }
}

#[test]
fn the_destination_of_what_is_given_up_is_told_with_the_names_that_were_meant() {
    let at = "Resources.M.Properties.DestinationConfig";
    let unknown =
        |path: &str, meant: &str| format!("{at}.{path}: this property is not known; skipped; did you mean {meant}?");
    let not_applied = format!("{at}: not applied");
    check_skipped(
        &mapping_with("DestinationConfig: {OnFailures: {Destination: x}}"),
        &[&not_applied, &unknown("OnFailures", "OnFailure")],
    );
    check_skipped(
        &mapping_with("DestinationConfig: {OnFailure: {Type: SQS, Destinaton: x}}"),
        &[&unknown("OnFailure.Destinaton", "Destination"), &not_applied],
    );
}
