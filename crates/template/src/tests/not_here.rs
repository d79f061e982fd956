//! What is not here: stand-ins, what the user gives instead, and where nothing but the real value will do.

use super::*;

fn with(options: impl FnOnce(&mut Options)) -> Options {
    let mut all = Options::default();
    options(&mut all);
    all
}

fn given(name: &str, value: &str) -> Options {
    with(|options| drop(options.resources.insert(name.to_owned(), value.to_owned())))
}

/// A function with a mapping and one variable, beside resources that are not made here.
fn template(variable: &str) -> String {
    used_function_with(&format!("Environment: {{Variables: {{VALUE: {variable}}}}}"))
        + r#"  Queue: {Type: AWS::SQS::Queue, Properties: {QueueName: !Sub "${Prefix}-q"}}
  Bucket: {Type: AWS::S3::Bucket}
  Endpoint: {Type: AWS::EC2::VPCEndpoint}
  Alias: {Type: AWS::Lambda::Alias, Properties: {Name: live, FunctionName: !Ref F}}
  Stored: {Type: AWS::SSM::Parameter, Properties: {Name: /app/limit, Value: "10"}}
  Off: {Type: AWS::SNS::Topic, Condition: Never}
Conditions: {Never: !Equals [a, b]}
Parameters:
  Prefix: {Type: String, Default: my}
  Bare: {Type: String}
  Key: {Type: AWS::SSM::Parameter::Value<String>, Default: /app/key}
  Known: {Type: AWS::SSM::Parameter::Value<String>, Default: /app/limit}
  Looked: {Type: String, Default: "x-{{resolve:ssm:/app/limit}}"}
  Several: {Type: CommaDelimitedList, Default: "{{resolve:ssm:/app/limit}},{{resolve:ssm:/app/name}}"}
  Keys: {Type: "AWS::SSM::Parameter::Value<List<String>>", Default: /app/keys}
"#
}

fn value(variable: &str, options: &Options) -> Result<String, TemplateError> {
    let plan = plan_with(&template(variable), options)?;
    Ok(plan.functions[0].environment["VALUE"].resolve(|_| None).unwrap())
}

#[track_caller]
fn check_value(variable: &str, expected: &str) {
    assert_eq!(value(variable, &Options::default()).unwrap(), expected, "{variable}");
}

#[test]
fn a_variable_that_names_what_is_not_here_has_a_stand_in_of_the_right_form() {
    check_value("!Ref Queue", "https://sqs.us-east-1.amazonaws.com/000000000000/my-q");
    check_value("!GetAtt Queue.Arn", "arn:aws:sqs:us-east-1:000000000000:my-q");
    check_value("!Ref Bucket", "tailrace-bucket");
    check_value("!Sub 'arn:aws:s3:::${Bucket}/*'", "arn:aws:s3:::tailrace-bucket/*");
    check_value("!Select [5, !Split [':', !GetAtt Queue.Arn]]", "my-q");
    check_value("!Join [',', [!Ref Queue, !Ref Key]]", "https://sqs.us-east-1.amazonaws.com/000000000000/my-q,key");
    check_value("!ImportValue shared-TopicArn", "arn:aws:sns:us-east-1:000000000000:shared-TopicArn");
    check_value("'{{resolve:ssm:/app/name:3}}'", "name");
    check_value("'x-{{resolve:secretsmanager:app:SecretString:password}}-y'", "x-tailrace-password-y");
    check_value("!Base64 {Ref: Bucket}", "dGFpbHJhY2UtYnVja2V0");
    check_value("!Join ['+', !Ref Keys]", "keys");
    // What the template makes, or says, is no stand-in.
    check_value("!Ref Alias", "arn:aws:lambda:us-east-1:000000000000:function:F:live");
    check_value("!Ref F.Version", "arn:aws:lambda:us-east-1:000000000000:function:F:1");
    check_value("!GetAtt Stored.Value", "10");
    check_value("!Ref Known", "10");
    check_value("'{{resolve:ssm:/app/limit}}'", "10");
    // What is in a parameter is part of the template where it is used.
    check_value("!Ref Looked", "x-10");
    check_value("!Sub '${Looked}'", "x-10");
    check_value("!Join [+, !Ref Several]", "10+name");
    // A list that only AWS knows.
    check_value("!Join [',', !GetAtt Endpoint.DnsEntries]", "tailrace-Endpoint-DnsEntries");
    check_value("!Select [1, !GetAtt Endpoint.DnsEntries]", "1");
    check_value("!Select [!ImportValue n, [a, b]]", "0");
    check_value("!GetAtt FRole.Arn", "arn:aws:iam::000000000000:role/tailrace-FRole");
}

#[test]
fn a_stand_in_is_named_once_with_the_option_that_gives_the_value() {
    let plan = plan(&template("!Sub '${Queue}${Queue}'"));
    let url = "https://sqs.us-east-1.amazonaws.com/000000000000/my-q";
    let line = format!(
        "function F: VALUE is a stand-in for Queue (AWS::SQS::Queue): {url}{url}; give it with --resource Queue=VALUE"
    );
    assert_eq!(plan.skipped.iter().filter(|told| told.contains("VALUE is a stand-in")).collect::<Vec<_>>(), [&line]);
    let shared =
        "Globals: {Function: {Environment: {Variables: {TOPIC: !Ref T}}}}\nResources:\n  T: {Type: AWS::SNS::Topic}\n";
    let two = ["A", "B"].map(|id| {
        format!("  {id}: {{Type: AWS::Serverless::Function, Properties: {{Handler: a.b, Runtime: python3.12}}}}\n")
    });
    let plan = super::plan(&format!("{shared}{}", two.concat()));
    assert!(
        plan.skipped.iter().any(|line| line.starts_with("functions A, B: TOPIC is a stand-in for T ")),
        "{:?}",
        plan.skipped
    );
}

#[test]
fn what_is_given_takes_the_place_of_a_stand_in() {
    for (variable, name) in [
        ("!Ref Queue", "Queue"),
        ("!GetAtt Queue.Arn", "Queue.Arn"),
        ("!ImportValue there", "import:there"),
        ("'{{resolve:ssm:/x:2}}'", "ssm:/x"),
        ("!Ref Key", "ssm:/app/key"),
        ("'{{resolve:ssm-secure:/x}}'", "ssm:/x"),
        ("'{{resolve:secretsmanager:app}}'", "secretsmanager:app"),
        ("'{{resolve:secretsmanager:app:SecretString:key}}'", "secretsmanager:app:key"),
        ("!Ref ServerlessRestApi", "ServerlessRestApi"),
    ] {
        let options = given(name, "given");
        assert_eq!(value(variable, &options).unwrap(), "given", "{name}");
        let told = plan_with(&template(variable), &options).unwrap().skipped;
        assert!(!told.iter().any(|line| line.contains("stand-in")), "{name}: {told:?}");
    }
    // A list is given with commas.
    let options = given("Endpoint.DnsEntries", "a:b,c:d");
    assert_eq!(value("!Select [1, !GetAtt Endpoint.DnsEntries]", &options).unwrap(), "c:d");
    assert_eq!(value("!Join [+, !GetAtt Endpoint.DnsEntries]", &options).unwrap(), "a:b+c:d");
    for (given_name, expected) in [
        ("Queeu", "--resource Queeu: the template has no resource Queeu; did you mean Queue?"),
        ("F.Arn", "--resource F.Arn: F is made here, and has its own"),
        ("Key", "--resource Key: Key is a parameter: --parameter Key=VALUE gives it"),
    ] {
        assert_eq!(value("x", &given(given_name, "v")).unwrap_err().to_string(), expected);
    }
    let parameter = |value: &str| with(|options| drop(options.parameters.insert("Key".into(), value.into())));
    assert_eq!(value("!Ref Key", &parameter("mine")).unwrap(), "mine");
    assert_eq!(value("!Ref Key", &parameter("/app/limit")).unwrap(), "10");
}

#[test]
fn a_wrong_name_is_answered_with_the_likely_one() {
    let at = "Resources.F.Properties.Environment.Variables.VALUE";
    for (variable, expected) in [
        ("!Ref Quue", "there is no parameter and no resource Quue; did you mean Queue?"),
        ("!Ref prefix", "there is no parameter and no resource prefix; did you mean Prefix?"),
        ("!Ref AWS::Regoin", "there is no parameter and no resource AWS::Regoin; did you mean AWS::Region?"),
        ("!GetAtt F.Arm", "the attribute F.Arm cannot be resolved; did you mean Arn?"),
        ("!Sub '${Quue}'", "there is no parameter and no resource Quue; did you mean Queue?"),
        ("!Sub 'a-${AWS::Regoin}'", "there is no parameter and no resource AWS::Regoin; did you mean AWS::Region?"),
        ("!Sub '${F.Arm}'", "the attribute F.Arm cannot be resolved; did you mean Arn?"),
        ("!Sub '${Quue.Arn}'", "there is no parameter and no resource Quue; did you mean Queue?"),
        (
            "!Sub ['${Greetnig}', {Greeting: x}]",
            "there is no variable, no parameter and no resource Greetnig; did you mean Greeting?",
        ),
        (
            "!Sub ['${Quue} ${Greeting}', {Greeting: x}]",
            "there is no variable, no parameter and no resource Quue; did you mean Queue?",
        ),
        ("!GetAtt Quue.Arn", "there is no parameter and no resource Quue; did you mean Queue?"),
        ("!If [Nevr, a, b]", "there is no condition Nevr; did you mean Never?"),
        ("!Joins ['', [a]]", "there is no function Fn::Joins; did you mean Fn::Join?"),
        ("!Ref Off", "the resource Off is left out, since its condition Never does not hold"),
    ] {
        check_error(&template(variable), &format!("{at}: {expected}"));
    }
}

#[test]
fn what_changes_the_records_or_the_data_needs_the_real_value() {
    let needed = |what: &str, option: &str| {
        format!("its value is needed, and comes from {what}, which is not here: give it with {option}")
    };
    let batch = mapping_with("BatchSize: !ImportValue size");
    let expected = needed("the export size", "--resource import:size=VALUE");
    check_error(&batch, &format!("Resources.M.Properties.BatchSize: {expected}"));
    let plan = plan_with(&batch, &given("import:size", "7")).unwrap();
    assert_eq!(plan.mappings[0].batch_size, 7);
    let stream = mapping_with("").replace("!GetAtt T.StreamArn", "!ImportValue orders-stream");
    let expected = needed("the export orders-stream", "--resource import:orders-stream=VALUE");
    check_error(&stream, &format!("Resources.M.Properties.EventSourceArn: {expected}"));
    // A name is where data is, and not what it is; which one it is is told.
    let table = "Transform: AWS::Serverless-2016-10-31\nResources: {A: {Type: AWS::Serverless::SimpleTable, \
                 Properties: {TableName: !ImportValue orders}}}";
    let plan = super::plan(table);
    assert_eq!(plan.tables[0].name(), "orders");
    let told = "Resources.A.Properties.TableName: \"orders\" is made of a stand-in for the export orders; give it with \
                --resource import:orders=VALUE";
    assert_eq!(plan.skipped, [told]);
    // Also where a reference that is given stands beside it.
    let table = "Resources: {A: {Type: AWS::Serverless::SimpleTable, Properties: {TableName: !Sub '${Q}{{resolve:ssm:/x}}'}}, \
                 Q: {Type: AWS::SQS::Queue}}";
    let error = plan_with(table, &given("ssm:/x", "y")).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("Resources.A.Properties.TableName: {}", needed("Q (AWS::SQS::Queue)", "--resource Q=VALUE"))
    );
    // Neither records nor data.
    let plan = super::plan(&used_function_with("Timeout: !ImportValue seconds"));
    assert_eq!(plan.functions[0].timeout_s, 3);
    assert!(
        plan.skipped[0].contains("Timeout: the default is taken: it comes from the export seconds"),
        "{:?}",
        plan.skipped
    );
}

#[test]
fn a_condition_that_a_stand_in_decides_is_told() {
    let template = "Parameters: {P: {Type: AWS::SSM::Parameter::Value<String>, Default: /stage}}\nConditions: {C: !Equals [!Ref P, stage]}\n\
                    Transform: AWS::Serverless-2016-10-31\nResources: {Aaa: {Type: AWS::Serverless::SimpleTable, Condition: C}}";
    let plan = plan(template);
    assert_eq!(plan.tables.len(), 1);
    let told = "Conditions.C: decided by a stand-in for the parameter P (AWS::SSM::Parameter::Value<String> /stage); give it \
                with --parameter P=VALUE";
    assert_eq!(plan.skipped, [told]);
}

#[test]
fn a_map_by_region_or_account_need_not_have_those_of_this_server() {
    let maps = "Mappings: {By: {eu-west-1: {TopicArn: x}, '123456789012': {stage: prod}}}\n";
    let with = |key: &str| maps.to_owned() + &template(&format!("!FindInMap [By, !Ref 'AWS::{key}', {key}Topic]"));
    let plan = plan(&with("Region"));
    assert_eq!(plan.functions[0].environment["VALUE"].resolve(|_| None).unwrap(), "RegionTopic");
    let told = "function F: VALUE is a stand-in for Mappings.By.us-east-1: RegionTopic; give it with --region, or in the template";
    assert_eq!(plan.skipped.last().unwrap(), told);
    super::plan(&with("AccountId"));
    let needed = format!("{maps}{}", mapping_with("BatchSize: !FindInMap [By, !Ref AWS::Region, size]"));
    let error = plan_with(&needed, &Options::default()).unwrap_err().to_string();
    assert!(error.contains("BatchSize: its value is needed, and comes from Mappings.By.us-east-1"), "{error}");
}

#[test]
fn what_nothing_uses_costs_nothing() {
    let plan = plan(
        "
Transform: [AWS::Serverless-2016-10-31, AWS::LanguageExtensions]
Metadata: {x: !Ref Nothing}
Rules: {R: {Assertions: [{Assert: {Fn::Contains: [[a], !Ref Nothing]}}]}}
Hooks: {H: {Type: x}}
Parameters: {Bare: {Type: String}, Ssm: {Type: AWS::SSM::Parameter::Value<String>, Default: /x}}
Conditions: {Odd: !Equals [!Ref Bare, x]}
Resources:
  Role: {Type: AWS::IAM::Role, Condition: Odd, Properties: {Name: !Ref Nothing}}
  Meta: {Type: AWS::CDK::Metadata, Condition: Odd}
  Link: {Type: AWS::Serverless::Connector, Properties: {Source: {Id: Nothing}}}
Outputs: {O: {Value: !GetAtt Nothing.Arn, Condition: Nothing}}
",
    );
    assert_eq!(plan.skipped, ["Resources.Role: AWS::IAM::Role is not supported; skipped"]);
}

#[test]
fn resources_of_one_type_are_named_in_one_line() {
    let template = "Resources: {A: {Type: AWS::IAM::Role}, B: {Type: AWS::SQS::Queue}, C: {Type: AWS::IAM::Role}}";
    let expected = [
        "Resources.A, C: AWS::IAM::Role is not supported; skipped",
        "Resources.B: AWS::SQS::Queue is not supported; skipped",
    ];
    check_skipped(template, &expected);
}

#[test]
fn a_slip_in_a_type_or_in_what_a_resource_depends_on_is_named() {
    let template = "
Resources:
  Items: {Type: AWS::Dynamodb::Tabel, DependsOn: Qeue}
  Queue: {Type: AWS::SQS::Queue, DependsOn: [Items, ServerlessRestApi]}
  Allowed: {Type: AWS::Lambda::Permission}
";
    let expected = [
        "Resources.Items.DependsOn: there is no resource Qeue; did you mean Queue?",
        "Resources.Items: AWS::Dynamodb::Tabel is not supported; skipped; did you mean AWS::DynamoDB::Table?",
        "Resources.Allowed: AWS::Lambda::Permission is not supported; skipped",
        "Resources.Queue: AWS::SQS::Queue is not supported; skipped",
    ];
    check_skipped(template, &expected);
}

#[test]
fn a_function_that_no_mapping_uses_never_stops_the_reading() {
    for property in [
        "Runtime: ruby3.2",
        "PackageType: Image",
        "Timeout: soon",
        "FunctionName: a.b",
        "Environment: {Variables: {A1: !Ref Nothing}}",
    ] {
        let template = function_with(property)
            .replace(if property.starts_with("Runtime") { "Runtime: python3.12" } else { "nothing of it" }, "");
        let plan = plan(&template);
        assert_eq!(plan.functions, [], "{property}");
        assert!(plan.skipped[0].ends_with("; no mapping uses the function: it is left out"), "{:?}", plan.skipped);
    }
}

#[test]
fn records_of_another_source_are_not_delivered_and_do_not_stop_the_reading() {
    for (source, what) in [
        ("!GetAtt Q.Arn", "Q.Arn (AWS::SQS::Queue)"),
        ("arn:aws:kinesis:us-east-1:000000000000:stream/s", "arn:aws:kinesis:us-east-1:000000000000:stream/s"),
    ] {
        let template = mapping_with("").replace("!GetAtt T.StreamArn", source) + "  Q: {Type: AWS::SQS::Queue}\n";
        let plan = plan(&template);
        assert_eq!(plan.mappings, []);
        let told = format!(
            "Resources.M.Properties.EventSourceArn: records of {what} are not delivered here; the mapping is skipped"
        );
        assert_eq!(plan.skipped[0], told);
    }
}

#[test]
fn a_destination_that_is_not_here_is_named() {
    let template =
        mapping_with("DestinationConfig: {OnFailure: {Destination: !GetAtt Q.Arn}}") + "  Q: {Type: AWS::SQS::Queue}\n";
    let told = "Resources.M.Properties.DestinationConfig.OnFailure: Q.Arn (AWS::SQS::Queue) cannot be reached here: records that are \
                given up are parked instead";
    assert_eq!(plan(&template).skipped[0], told);
}

/// Each name is looked at once for each that is asked for, also where names hang on stored values themselves.
#[test]
fn names_of_stored_values_that_hang_on_stored_values_are_read_in_time() {
    let stored: String = (0..60)
        .map(|n| {
            format!(
                "  S{n}: {{Type: AWS::SSM::Parameter, Properties: {{Name: !Sub '/${{Stage}}/{n}', Value: v{n}}}}}\n"
            )
        })
        .collect();
    let functions = used_function_with("Environment: {Variables: {VV: !Ref Stage, WW: '{{resolve:ssm:/s/1}}'}}");
    let parameters = "Parameters: {Stage: {Type: AWS::SSM::Parameter::Value<String>, Default: /stage}}\n";
    let table = |id: &str, name: &str| {
        format!(
            "  {id}: {{Type: AWS::DynamoDB::Table, Properties: {{TableName: !Sub '{name}', BillingMode: PAY_PER_REQUEST, \
             KeySchema: [{{AttributeName: a, KeyType: HASH}}], \
             AttributeDefinitions: [{{AttributeName: a, AttributeType: S}}]}}}}\n"
        )
    };
    let tables = table("Orders", "orders-${Stage}") + &table("Others", "others-${AWS::Region}");
    let template = format!("{parameters}{}{stored}{tables}", functions.trim_start());
    let plan = plan(&template);
    assert_eq!(plan.functions.len(), 1);
    let names: Vec<&str> = plan.tables.iter().map(TablePlan::name).collect();
    assert_eq!(names, ["orders-stage", "others-us-east-1"]);
}
