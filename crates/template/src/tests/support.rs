//! What stops the reading, and what is named and skipped.

use super::*;
use tailrace_core::StreamArn;

#[test]
fn properties_of_tables_that_are_not_supported_stop() {
    let at = "Resources.T.Properties";
    for (property, expected) in [
        (
            "TimeToLiveSpecification: {Enabled: true}",
            format!("{at}.TimeToLiveSpecification.AttributeName: this property is required"),
        ),
        (
            "TimeToLiveSpecification: {AttributeName: '', Enabled: true}",
            format!("{at}.TimeToLiveSpecification.AttributeName: a name of 1 to 255 bytes is expected"),
        ),
        (
            "TimeToLiveSpecification: {AttributeName: x, Enabled: maybe}",
            format!("{at}.TimeToLiveSpecification.Enabled: true or false is expected, not \"maybe\""),
        ),
        (
            "ProvisionedThroughput: {ReadCapacityUnits: 1, WriteCapacityUnits: 1}\n      OnDemandThroughput: {MaxReadRequestUnits: 1}",
            format!("{at}.OnDemandThroughput: a table that is PROVISIONED has none"),
        ),
        (
            "WarmThroughput: {ReadUnitsPerSecond: 11999}",
            format!(
                "{at}.WarmThroughput.ReadUnitsPerSecond: an integer from 12000 to {} is expected, not 11999",
                i64::MAX
            ),
        ),
        ("BillingMode: FREE", format!("{at}.BillingMode: PAY_PER_REQUEST or PROVISIONED is expected, not \"FREE\"")),
        ("StreamSpecification: {}", format!("{at}.StreamSpecification.StreamViewType: this property is required")),
        (
            "StreamSpecification: {StreamViewType: ALL}",
            format!(
                "{at}.StreamSpecification.StreamViewType: KEYS_ONLY or NEW_IMAGE or OLD_IMAGE or NEW_AND_OLD_IMAGES is \
                 expected, not \"ALL\""
            ),
        ),
        (
            "ProvisionedThroughput: {ReadCapacityUnits: 0, WriteCapacityUnits: 1}",
            format!(
                "{at}.ProvisionedThroughput.ReadCapacityUnits: an integer from 1 to {} is expected, not 0",
                tailrace_core::limits::CAPACITY_UNITS_MAX
            ),
        ),
    ] {
        check_error(&table_with(property), &expected);
    }
    // What is empty, or left out by a condition, does no harm.
    plan(&table_with("GlobalSecondaryIndexes: []"));
    plan(&table_with("GlobalSecondaryIndexes: !Ref AWS::NoValue"));
    plan(&table_with("StreamSpecification: !Ref AWS::NoValue"));
}

#[test]
fn a_time_to_live_is_asked_for_or_not() {
    let asked = |property: &str| {
        let plan = plan(&table_with(property));
        assert_eq!(plan.skipped, Vec::<String>::new(), "{property}");
        plan.tables[0].settings.time_to_live.clone().map(|asked| (asked.enabled, asked.attribute_name))
    };
    assert_eq!(asked("TableName: ttt"), None);
    assert_eq!(asked("TimeToLiveSpecification: !Ref AWS::NoValue"), None);
    let on = Some((true, "x".to_owned()));
    assert_eq!(asked("TimeToLiveSpecification: {AttributeName: x, Enabled: true}"), on);
    assert_eq!(asked("TimeToLiveSpecification: {AttributeName: x, Enabled: 'true'}"), on);
    assert_eq!(asked("TimeToLiveSpecification: {AttributeName: x, Enabled: false}"), Some((false, "x".to_owned())));
    assert_eq!(asked("TimeToLiveSpecification: {Enabled: false}"), Some((false, String::new())));
    let plan = plan(&table_with("TimeToLiveSpecification: {AttributeName: x}"));
    assert!(plan.tables[0].settings.time_to_live.as_ref().is_some_and(|asked| asked.enabled));
    let why = "AWS refuses a time to live without it; it counts as true";
    assert_eq!(plan.skipped, [format!("Resources.T.Properties.TimeToLiveSpecification.Enabled: {why}")]);
}

#[test]
fn what_does_no_harm_is_named_and_skipped() {
    let at = "Resources.T.Properties";
    for (property, why) in [
        ("BilingMode: PAY_PER_REQUEST", "this property is not known; skipped"),
        ("Foo: {Bar: !GetAtt Nothing.Arn}", "this property is not known; skipped"),
        (
            "PointInTimeRecoverySpecification: {PointInTimeRecoveryEnabled: true}",
            "kept and told back; a table cannot be restored yet",
        ),
        ("SSESpecification: {SSEEnabled: true}", "kept and told back; nothing is encrypted"),
        ("ResourcePolicy: {PolicyDocument: {Version: 2012-10-17}}", "kept and told back; nothing enforces it"),
        (
            "KinesisStreamSpecification: {StreamArn: x}",
            "kept and told back; nothing writes to Kinesis (--kinesis-endpoint, or `kinesis` in tailrace.yaml, says where it is)",
        ),
    ] {
        let name = property.split_once(':').unwrap().0;
        check_skipped(&table_with(property), &[&format!("{at}.{name}: {why}")]);
    }
    check_skipped(
        &table_with("StreamSpecification: {StreamViewType: NEW_IMAGE, Foo: 1}"),
        &[&format!("{at}.StreamSpecification.Foo: this property is not known; skipped")],
    );
    check_skipped(
        &table_with(
            "BillingMode: PAY_PER_REQUEST\n      ProvisionedThroughput: {ReadCapacityUnits: 1, WriteCapacityUnits: 1}",
        ),
        &[&format!("{at}.ProvisionedThroughput: not applied: the table is billed per request")],
    );
    let at = "Resources.F.Properties";
    for property in ["VpcConfig: {SubnetIds: [a]}", "FileSystemConfigs: [{Arn: a}]"] {
        let name = property.split_once(':').unwrap().0;
        check_skipped(&function_with(property), &[&format!("{at}.{name}: not applied")]);
    }
    let at = "Resources.M.Properties";
    for (property, why) in [
        ("DestinationConfig: {OnFailure: {}}", "not applied"),
        ("DestinationConfig: {}", "not applied"),
        ("KmsKeyArn: arn:aws:kms:::k", "kept; nothing is encrypted"),
        ("KMSKeyArn: arn:aws:kms:::k", "kept; nothing is encrypted"),
        ("Topics: [x]", "this property is not known; skipped"),
    ] {
        let name = property.split_once(':').unwrap().0;
        check_skipped(&mapping_with(property), &[&format!("{at}.{name}: {why}")]);
    }
    for reference in ["elsewhere:live", "arn:aws:lambda:us-east-1:000000000000:function:elsewhere:live"] {
        let template = mapping_with("").replace("FunctionName: elsewhere", &format!("FunctionName: {reference}"));
        let why = "FunctionName: there are no versions and aliases; live is the function itself";
        check_skipped(&template, &[&format!("{at}.{why}")]);
        assert_eq!(plan(&template).mappings[0].function, "elsewhere");
    }
    let latest =
        mapping_with("").replace("FunctionName: elsewhere", "FunctionName: 000000000000:function:elsewhere:$LATEST");
    check_skipped(&latest, &[]);
    assert_eq!(plan(&latest).mappings[0].function, "elsewhere");
}

/// The value of a number attribute is a text in a record.
#[test]
fn a_filter_that_compares_a_number_attribute_is_told() {
    let with = |pattern: &str| mapping_with(&format!("FilterCriteria: {{Filters: [{{Pattern: '{pattern}'}}]}}"));
    let told = "Resources.M.Properties.FilterCriteria.Filters.0.Pattern: numeric never matches an attribute of type N, here as \
                on AWS: its value is a text";
    check_skipped(&with(r#"{"dynamodb": {"NewImage": {"a": {"N": [{"numeric": [">", 1]}]}}}}"#), &[told]);
    check_skipped(
        &with(r#"{"dynamodb": {"NewImage": {"a": {"N": ["1"]}}, "SizeBytes": [{"numeric": [">", 1]}]}}"#),
        &[],
    );
}

#[test]
fn globals_are_checked() {
    let with = |globals: &str| format!("Globals: {globals}\nResources: {{}}");
    check_skipped(
        &with(
            "{Api: {Cors: x}, Function: {Timeout: 3}, SimpleTable: , LayerVersion: {RetentionPolicy: Retain}, HttpApi: }",
        ),
        &["Globals.Api: not supported; skipped", "Globals.HttpApi: not supported; skipped"],
    );
    check_error(&with("{Function: hi}"), "Globals.Function: a map is expected, not \"hi\"");
    check_error(&with("{SimpleTable: [1]}"), "Globals.SimpleTable: a map is expected, not a list");
}

#[test]
fn what_a_function_does_not_get_is_named() {
    let at = "Resources.F.Properties";
    check_skipped(
        &function_with("Environment: {Variables: {AA: , BB: null, CC: '', DD: !Ref AWS::NoValue}}"),
        &["AA", "BB"].map(|name| {
            let told = "null is no text: the variable is not set (an empty text is \"\")";
            &*format!("{at}.Environment.Variables.{name}: {told}").leak()
        }),
    );
    for (given, named) in [
        ("LogFormat: Text, ApplicationLogLevel: INFO", &["ApplicationLogLevel"][..]),
        ("SystemLogLevel: WARN, ApplicationLogLevel: INFO", &["ApplicationLogLevel", "SystemLogLevel"]),
        ("LogFormat: JSON, SystemLogLevel: WARN, ApplicationLogLevel: INFO", &[]),
        ("LogFormat: Text", &[]),
    ] {
        let told = |name: &&str| {
            let why = "has no effect: AWS refuses a level beside the LogFormat Text";
            &*format!("{at}.LoggingConfig.{name}: {why}").leak()
        };
        let told: Vec<&str> = named.iter().map(told).collect();
        check_skipped(&function_with(&format!("LoggingConfig: {{{given}}}")), &told);
    }
}

#[test]
fn a_tables_key_is_checked() {
    let table = |key: &str, attributes: &str| {
        format!(
            "Resources: {{T: {{Type: AWS::DynamoDB::Table, Properties: {{KeySchema: {key}, AttributeDefinitions: {attributes}}}}}}}"
        )
    };
    let (a, b) = ("{AttributeName: a, AttributeType: S}", "{AttributeName: b, AttributeType: S}");
    let at = "Resources.T.Properties";
    check_error(
        &table("[{AttributeName: a, KeyType: RANGE}]", &format!("[{a}]")),
        &format!("{at}.KeySchema: one HASH key, and at most one RANGE key behind it"),
    );
    check_error(
        &table("[{AttributeName: a, KeyType: HASH}]", &format!("[{a}, {b}]")),
        &format!("{at}.AttributeDefinitions: b is defined, and no key uses it"),
    );
    check_error(
        &table("[{AttributeName: a, KeyType: HASH}]", &format!("[{b}]")),
        &format!("{at}.AttributeDefinitions: b is defined, and no key uses it"),
    );
    check_error(
        &table("[{AttributeName: a, KeyType: HASH}]", "[]"),
        &format!("{at}.KeySchema: a is not in AttributeDefinitions"),
    );
    check_error(
        &table("[{AttributeName: a}]", &format!("[{a}]")),
        &format!("{at}.KeySchema.0.KeyType: this property is required"),
    );
}

#[test]
fn properties_of_functions_that_are_not_supported_stop() {
    let at = "Resources.F.Properties";
    for (property, expected) in [
        ("Timeout: 901", format!("{at}.Timeout: an integer from 1 to 900 is expected, not 901")),
        ("Timeout: soon", format!("{at}.Timeout: an integer from 1 to 900 is expected, not \"soon\"")),
        ("MemorySize: 64", format!("{at}.MemorySize: an integer from 128 to 10240 is expected, not 64")),
        ("Events: {E: {Type: DynamoDB}}", format!("{at}.Events.E.Properties: this property is required")),
        ("Environment: {Variables: {A: [1]}}", format!("{at}.Environment.Variables.A: a text is expected, not a list")),
        (
            "Environment: {Variables: {A: {ref: T}}}",
            format!("{at}.Environment.Variables.A: a text is expected, not {{ref: ...}}"),
        ),
    ] {
        check_error(&used_function_with(property), &expected);
    }
    check_error(
        &used_function_with("Environment: {Variables: {AWS_REGION: x}}"),
        &format!(
            "{at}.Environment.Variables: {}",
            tailrace_core::function::ConfigError::ReservedVariable("AWS_REGION".into())
        ),
    );
}

/// Nothing is wrong with them: they hold up nobody else.
#[test]
fn a_mapped_function_that_cannot_run_here_leaves_the_others_theirs() {
    let at = "Resources.F.Properties";
    let image = |property: &str| format!("{at}.{property}: images are not supported; give the directory of the code");
    let runtime = |name: &str| {
        format!("{at}.Runtime: {}", tailrace_core::function::ConfigError::UnsupportedRuntime(name.to_owned()))
    };
    let ruby = |code: &str| used_function_with(code).replace("python3.12", "ruby3.3");
    for (template, why) in [
        (used_function_with("ImageUri: x"), image("ImageUri")),
        (used_function_with("PackageType: Image"), image("PackageType")),
        (used_function_with("PackageType: Image").replace("Runtime: python3.12", ""), image("PackageType")),
        (ruby(""), runtime("ruby3.3")),
        (ruby("InlineCode: 'puts 1'"), runtime("ruby3.3")),
        (used_function_with("").replace("python3.12", "dotnet8"), runtime("dotnet8")),
    ] {
        let alone = plan(&template);
        let others = format!(
            "{template}  Other:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.handler
      Runtime: python3.12
      CodeUri: src
      Environment: {{Variables: {{TO: !GetAtt F.Arn}}}}
      Events: {{E: {{Type: DynamoDB, Properties: {{Stream: 'arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/2026-01-01T00:00:00.000', StartingPosition: LATEST}}}}}}
"
        );
        let plan = plan(&others);
        let mappings: Vec<&str> = plan.mappings.iter().map(|mapping| mapping.logical_id.as_str()).collect();
        assert_eq!((mappings, plan.functions.len()), (vec!["OtherE"], 1), "{why}");
        let not_run: Vec<String> = plan.not_run.iter().map(ToString::to_string).collect();
        let expected = format!("{why}; the function F is left out, and its mapping M is not started");
        assert_eq!(not_run, [expected], "{template}");
        assert_eq!((alone.mappings, alone.functions, alone.not_run), (vec![], vec![], plan.not_run));
    }
}

#[test]
fn properties_of_mappings_that_are_not_supported_stop() {
    let at = "Resources.M.Properties";
    for (property, expected) in [
        (
            "FilterCriteria: {Filters: [{Pattern: '{\"eventName\": [\"INSERT\"]}'}, {Pattern: '{\"a\": \"x\"}'}]}",
            format!(
                "{at}.FilterCriteria.Filters.1.Pattern: a: an object or a list of values is expected: [\"x\"] instead of \"x\""
            ),
        ),
        (
            "FilterCriteria: {Filters: [{Pattern: {eventName: [INSERT]}}]}",
            format!(
                "{at}.FilterCriteria.Filters.0.Pattern: a text is expected, which has the pattern in JSON: '{{\"eventName\":[\"INSERT\"]}}'"
            ),
        ),
        (
            "FilterCriteria: {Filters: [{}]}",
            format!("{at}.FilterCriteria.Filters.0.Pattern: this property is required"),
        ),
        (
            "TumblingWindowInSeconds: 5\n      ParallelizationFactor: 2",
            format!(
                "{at}.TumblingWindowInSeconds: a tumbling window and a ParallelizationFactor above 1 do not go together"
            ),
        ),
        (
            "TumblingWindowInSeconds: 901",
            format!("{at}.TumblingWindowInSeconds: an integer from 0 to 900 is expected, not 901"),
        ),
        ("BatchSize: 0", format!("{at}.BatchSize: an integer from 1 to 10000 is expected, not 0")),
        ("BatchSize: 10001", format!("{at}.BatchSize: an integer from 1 to 10000 is expected, not 10001")),
        (
            "MaximumBatchingWindowInSeconds: 301",
            format!("{at}.MaximumBatchingWindowInSeconds: an integer from 0 to 300 is expected, not 301"),
        ),
        (
            "ParallelizationFactor: 11",
            format!("{at}.ParallelizationFactor: an integer from 1 to 10 is expected, not 11"),
        ),
        (
            "MaximumRetryAttempts: -2",
            format!("{at}.MaximumRetryAttempts: an integer from -1 to 10000 is expected, not -2"),
        ),
        (
            "MaximumRecordAgeInSeconds: 59",
            format!(
                "{at}.MaximumRecordAgeInSeconds: it must be either -1 (forever) or between 60 and 604800 (inclusive)"
            ),
        ),
        (
            "FunctionResponseTypes: [Other]",
            format!("{at}.FunctionResponseTypes: ReportBatchItemFailures is expected, not \"Other\""),
        ),
        ("Enabled: maybe", format!("{at}.Enabled: true or false is expected, not \"maybe\"")),
    ] {
        check_error(&mapping_with(property), &expected);
    }
    assert_eq!(plan(&mapping_with("Enabled: 'false'")).mappings[0].function, "elsewhere");
    let timestamp = mapping_with("").replace("LATEST", "AT_TIMESTAMP");
    check_error(
        &timestamp,
        &format!("{at}.StartingPosition: TRIM_HORIZON or LATEST is expected, not \"AT_TIMESTAMP\""),
    );
    check_error(
        &mapping_with("").replace("StartingPosition: LATEST", ""),
        &format!("{at}.StartingPosition: this property is required"),
    );
    check_error(
        &mapping_with("").replace("!GetAtt T.StreamArn", "arn:aws:sns:x"),
        &format!("{at}.EventSourceArn: the ARN of a DynamoDB stream is expected, not \"arn:aws:sns:x\""),
    );
    for (reference, given) in
        [("!Ref T", "tailrace-T"), ("!GetAtt T.Arn", "arn:aws:dynamodb:us-east-1:000000000000:table/tailrace-T")]
    {
        check_error(
            &mapping_with("").replace("!GetAtt T.StreamArn", reference),
            &format!(
                "{at}.EventSourceArn: the ARN of a DynamoDB stream is expected, not \"{given}\": a table has it as its attribute \
                 StreamArn"
            ),
        );
    }
    check_error(
        &mapping_with("").replace("StreamSpecification: {StreamViewType: NEW_IMAGE}", ""),
        &format!("{at}.EventSourceArn: the table T has no StreamSpecification"),
    );
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/2026-01-01T00:00:00.000";
    let plan = plan(&mapping_with("").replace("!GetAtt T.StreamArn", arn));
    assert_eq!(plan.mappings[0].source, Source::Arn(StreamArn::new(arn)));
}

#[test]
fn names_are_checked() {
    let table = |name: &str| {
        format!("Resources: {{A: {{Type: AWS::Serverless::SimpleTable, Properties: {{TableName: {name}}}}}}}")
    };
    let message = "a table's name has 3 to 255 of the characters a-z, A-Z, 0-9, `_`, `-` and `.`, and";
    for name in ["ab", "a/b", "a b", "arn:aws:dynamodb:us-east-1:000000000000:table/abc"] {
        check_error(&table(name), &format!("Resources.A.Properties.TableName: {message} \"{name}\" has not"));
    }
    for (name, hint) in [
        ("orders-${Stage}", "${...} is resolved in !Sub alone"),
        (
            "orders-${self:provider.stage}",
            "Serverless has such variables: `serverless package` resolves them, and makes .serverless, which is read here",
        ),
    ] {
        let expected = format!("Resources.A.Properties.TableName: {message} \"{name}\" has not; {hint}");
        check_error(&table(&format!("'{name}'")), &expected);
    }
    plan(&table("a_b-c.9"));
    let message = "a function's name has 1 to 64 of the characters a-z, A-Z, 0-9, `_` and `-`, and";
    let long = "x".repeat(65);
    for name in ["a.b", "a/b", &long] {
        let expected = format!("Resources.F.Properties.FunctionName: {message} \"{name}\" has not");
        check_error(&used_function_with(&format!("FunctionName: '{name}'")), &expected);
    }
    plan(&function_with("FunctionName: _a-9"));
}

/// As on AWS, where a name that is made of a logical id is cut: ids of the CDK have up to 255 characters.
#[test]
fn a_name_that_is_made_of_a_long_id_is_cut() {
    let name = |long: &str| {
        let function = used_function_with("").replace("  F:", &format!("  {long}:"));
        let plan = plan(&function.replace("!Ref F", &format!("!Ref {long}")));
        assert_eq!(plan.mappings[0].function, plan.functions[0].name);
        plan.functions[0].name.clone()
    };
    let fits = "y".repeat(64);
    assert_eq!(name(&fits), fits);
    let (one, other) = (name(&format!("{}End", "x".repeat(62))), name(&format!("{}End", "x".repeat(63))));
    assert_eq!((one.len(), other.len()), (64, 64));
    assert!(one != other && one.ends_with("xEnd"), "{one} {other}");
}

#[test]
fn a_long_id_with_letters_of_several_bytes_is_refused_as_every_such_name_is() {
    let long = "é".repeat(40);
    let function =
        used_function_with("").replace("  F:", &format!("  {long}:")).replace("!Ref F", &format!("!Ref {long}"));
    let error = plan_with(&function, &Options::default()).unwrap_err().to_string();
    assert!(error.contains(&long), "{error}");
}

#[test]
fn a_stream_goes_to_a_function_once() {
    let twice = LEADERBOARD.replace(
        "        Web:",
        "        Again:\n          Type: DynamoDB\n          Properties: {Stream: !GetAtt GameScores.StreamArn, \
         StartingPosition: LATEST}\n        Web:",
    );
    check_error(
        &twice,
        "Resources.LevelUp.Properties.Events.Again.Properties.Stream: the function LevelUp has this stream already, by \
         Resources.LevelUp.Properties.Events.Scores.Properties.Stream",
    );
}
