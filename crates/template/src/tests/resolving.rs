//! Intrinsic functions, parameters, conditions, and each error with its place.

use super::*;

/// The table name that an expression gives, in a template with parameters, conditions and mappings.
fn name(expression: &str, options: &Options) -> Result<String, TemplateError> {
    let text = format!(
        r#"
Parameters:
  Stage: {{Type: String, Default: dev, AllowedValues: [dev, prod]}}
  Bare: {{Type: String}}
  Names: {{Type: CommaDelimitedList, Default: "a, bbb,c"}}
  Count: {{Type: Number, Default: 3}}
Conditions:
  IsProd: !Equals [!Ref Stage, prod]
  IsDev: !Not [!Condition IsProd]
  Both: !And [!Condition IsProd, !Condition IsDev]
  Any: !Or [!Condition IsProd, {{Condition: IsDev}}]
  Three: !Equals [!Ref Count, "3"]
  Loop: !Not [!Condition Loop]
Mappings:
  ByStage: {{dev: {{n: small}}, prod: {{n: large}}}}
Resources:
  T:
    Type: AWS::Serverless::SimpleTable
    Properties:
      TableName: {expression}
  Off: {{Type: AWS::Serverless::SimpleTable, Condition: IsProd}}
  Queue: {{Type: AWS::SQS::Queue}}
  S:
    Type: AWS::Serverless::SimpleTable
    Properties: {{TableName: other}}
"#
    );
    plan_with(&text, options).map(|plan| plan.tables[0].name().to_owned())
}

#[test]
fn intrinsic_functions_resolve() {
    for (expression, expected) in [
        ("!Ref Stage", "dev"),
        ("{Ref: Stage}", "dev"),
        ("!Ref AWS::Region", "us-east-1"),
        ("!Join ['', [!Ref S, 2]]", "other2"),
        ("!Ref AWS::NoValue", "tailrace-T"),
        (
            "!Join [_, !Split [/, !Join [_, !Split [':', !GetAtt S.Arn]]]]",
            "arn_aws_dynamodb_us-east-1_000000000000_table_other",
        ),
        ("!Join [-, !Split [/, !Select [5, !Split [':', {\"Fn::GetAtt\": S.Arn}]]]]", "table-other"),
        ("!Sub '${AWS::StackName}-${Stage}-${S}'", "tailrace-dev-other"),
        ("!Sub ['${a}-${Stage}', {a: !Ref Count}]", "3-dev"),
        ("!Sub '${AWS::Partition}.${AWS::URLSuffix}.${AWS::AccountId}'", "aws.amazonaws.com.000000000000"),
        ("!Join [., [a, !Ref Stage, !If [IsProd, x, !Ref 'AWS::NoValue'], b]]", "a.dev.b"),
        ("!Join ['', !Ref Names]", "abbbc"),
        ("!Join ['', [abc, !Join [x, !Ref AWS::NotificationARNs]]]", "abc"),
        ("!Select [1, !Ref Names]", "bbb"),
        ("!Select ['0', !Split ['-', xxx-y]]", "xxx"),
        ("!FindInMap [ByStage, !Ref Stage, n]", "small"),
        ("!If [IsProd, p, ddd]", "ddd"),
        ("!If [IsDev, ppp, d]", "ppp"),
        ("!If [Both, p, ddd]", "ddd"),
        ("!If [Any, ppp, d]", "ppp"),
        ("!If [Three, ppp, d]", "ppp"),
    ] {
        assert_eq!(name(expression, &Options::default()).unwrap(), expected, "{expression}");
    }
    let mut options = Options::default();
    options.parameters.insert("Stage".into(), "prod".into());
    assert_eq!(name("!FindInMap [ByStage, !Ref Stage, n]", &options).unwrap(), "large");
    assert_eq!(name("!Sub '${Off}2'", &options).unwrap(), "Off2");
    assert_eq!(name("", &options).unwrap(), "tailrace-T");
    let literal = plan(&function_with("Environment: {Variables: {TEXT: !Sub '${AWS::Region} ${!x}'}}"));
    assert_eq!(literal.functions[0].environment["TEXT"].resolve(|_| None).unwrap(), "us-east-1 ${x}");
}

#[test]
fn what_cannot_be_resolved_names_its_place() {
    let at = "Resources.T.Properties.TableName";
    for (expression, expected) in [
        ("!Ref Nothing", format!("{at}: there is no parameter and no resource Nothing")),
        (
            "!Ref Bare",
            format!(
                "{at}: the parameter Bare has no default and no value; give it with --parameter Bare=VALUE, in a file with \
                 --parameters-file FILE, or as the variable TAILRACE_PARAM_Bare"
            ),
        ),
        (
            "!Ref Queue",
            format!(
                "{at}: its value is needed, and comes from Queue (AWS::SQS::Queue), which is not here: give it with \
                 --resource Queue=VALUE"
            ),
        ),
        ("!GetAtt S.Name", format!("{at}: the attribute S.Name cannot be resolved")),
        ("!Ref Off", format!("{at}: the resource Off is left out, since its condition IsProd does not hold")),
        ("!Sub '${Missing}'", format!("{at}: there is no parameter and no resource Missing")),
        ("!Sub '${Stage'", format!("{at}: Fn::Sub: a `${{` is not closed")),
        ("!Sub '${Names}'", format!("{at}: Fn::Sub: ${{Names}} is a list, no text")),
        ("!If [Unknown, a, b]", format!("{at}: there is no condition Unknown")),
        ("!If [Loop, a, b]", "Conditions.Loop: the references go in a circle".into()),
        ("!Ref T", format!("{at}: the references go in a circle")),
        ("!Base64 [x]", format!("{at}: Fn::Base64 is malformed")),
        ("!Bas64 x", format!("{at}: there is no function Fn::Bas64; did you mean Fn::Base64?")),
        ("!Select [9, !Ref Names]", format!("{at}: Fn::Select: there is no element 9")),
        ("!FindInMap [ByStage, test, n]", format!("{at}: Fn::FindInMap: Mappings.ByStage has no \"test\"")),
        ("!GetAtt S.StreamArn", format!("{at}: a name is expected, not the ARN of a stream")),
        ("[a]", format!("{at}: a name is expected, not a list")),
    ] {
        assert_eq!(name(expression, &Options::default()).unwrap_err().to_string(), expected, "{expression}");
    }
    let mut options = Options::default();
    options.parameters.insert("Stage".into(), "test".into());
    let error = name("x", &options).unwrap_err().to_string();
    assert_eq!(error, "Parameters.Stage: \"test\" is not among AllowedValues");
    let mut options = Options::default();
    options.parameters.insert("Stag".into(), "dev".into());
    assert_eq!(
        name("x", &options).unwrap_err().to_string(),
        "Parameters.Stag: the template has no such parameter; did you mean Stage?"
    );
}

/// A template of a few lines must not take for ever, or all memory.
#[test]
fn what_names_everything_many_times_ends() {
    let many = |kind: &str, last: &str, each: &dyn Fn(usize) -> String| {
        let all: String = (0..20).map(|n| format!("  {kind}{n}: {}\n", each(n + 1))).collect();
        format!("{all}  {kind}20: {last}\n")
    };
    let conditions =
        many("C", "!Equals [a, a]", &|n| format!("!And [{}]", vec![format!("!Condition C{n}"); 10].join(", ")));
    let template =
        format!("Conditions:\n{conditions}Resources: {{T: {{Type: AWS::Serverless::SimpleTable, Condition: C0}}}}");
    let error = plan_with(&template, &Options::default()).unwrap_err().to_string();
    assert!(error.ends_with("the template has more than 1000000 references that are followed"), "{error}");
    let parameter = |value: String| format!("{{Type: AWS::SSM::Parameter, Properties: {{Value: {value}}}}}");
    let values = many("P", &parameter("x".repeat(100_000)), &|n| {
        parameter(format!("!Sub '{}'", format!("${{P{n}.Value}}").repeat(10)))
    });
    let table = "  T: {Type: AWS::Serverless::SimpleTable, Properties: {TableName: !GetAtt P0.Value}}\n";
    let error = plan_with(&format!("Resources:\n{values}{table}"), &Options::default()).unwrap_err().to_string();
    assert!(error.ends_with("the values of the template have more than 67108864 bytes"), "{error}");
}

#[test]
fn a_resource_whose_condition_does_not_hold_is_left_out() {
    let plan = plan(
        r"
Conditions: {Never: !Equals [a, b], Always: !Equals [a, a]}
Resources:
  A: {Type: AWS::Serverless::SimpleTable, Condition: Never}
  B: {Type: AWS::Serverless::SimpleTable, Condition: Always}
",
    );
    assert_eq!(plan.tables.iter().map(|table| table.name()).collect::<Vec<_>>(), ["tailrace-B"]);
}

#[test]
fn a_stream_may_be_named_in_other_ways() {
    let template = |source: &str| mapping_with("").replace("!GetAtt T.StreamArn", source);
    for source in
        ["!Sub '${T.StreamArn}'", "!Sub ['${Arn}', {Arn: !GetAtt T.StreamArn}]", "!Join ['', [!GetAtt T.StreamArn]]"]
    {
        assert_eq!(plan(&template(source)).mappings[0].source, Source::StreamOf("T".into()), "{source}");
    }
    let conditions = "
Conditions: {Yes: !Equals [a, a], No: !Equals [a, b]}";
    for (events, expected) in [
        ("!If [Yes, {E: $E}, !Ref AWS::NoValue]", 1),
        ("!If [No, {E: $E}, !Ref AWS::NoValue]", 0),
        ("!If [No, {}, !If [Yes, {E: $E}, {}]]", 1),
        ("{E: !If [Yes, $E, !Ref AWS::NoValue]}", 1),
        ("{E: !If [No, $E, !Ref AWS::NoValue]}", 0),
        ("{E: {Type: DynamoDB, Properties: !If [Yes, $P, {}]}}", 1),
    ] {
        let properties = "{Stream: !GetAtt GameScores.StreamArn, StartingPosition: LATEST}";
        let events = events.replace("$E", "{Type: DynamoDB, Properties: $P}").replace("$P", properties);
        let (head, tail) = LEADERBOARD.split_once("      Events:\n").unwrap();
        let tail = tail.split_once("  Topic:").unwrap().1;
        let template = format!("{head}      Events: {events}\n  Topic:{tail}{conditions}");
        let mappings = plan(&template).mappings;
        assert_eq!(mappings.len(), expected, "{events}");
        assert!(mappings.iter().all(|mapping| mapping.source == Source::StreamOf("GameScores".into())));
    }
}

#[test]
fn the_parts_of_a_streams_arn_can_be_taken_out() {
    let variable = |expression: &str| {
        let template = LEADERBOARD.replace("!Sub \"stream ${GameScores.StreamArn}\"", expression);
        let text =
            plan_with(&template, &Options::default()).map(|plan| plan.functions[0].environment["STREAM"].clone());
        text.map(|text| {
            text.resolve(|id| Some(StreamArn::new(format!("arn:x:table/{id}/stream/2026-01-01T00:00:00.000")))).unwrap()
        })
    };
    let of = |n: u32| variable(&format!("!Select [{n}, !Split [/, !GetAtt GameScores.StreamArn]]")).unwrap();
    assert_eq!(of(1), "GameScores");
    assert_eq!(of(2), "stream");
    assert_eq!(of(3), "2026-01-01T00:00:00.000");
    // A time has colons of its own.
    let error = variable("!Select [5, !Split [':', !GetAtt GameScores.StreamArn]]").unwrap_err().to_string();
    assert!(error.ends_with("STREAM: Fn::Split: a text is expected, not the ARN of a stream"), "{error}");
}

#[test]
fn parameters_keep_their_rules() {
    let with = |declared: &str| format!("Parameters: {{P: {{{declared}}}}}\nResources: {{}}");
    for (declared, expected) in [
        ("Type: String, Default: c, AllowedValues: [a, b]", "\"c\" is not among AllowedValues"),
        ("Type: CommaDelimitedList, Default: 'a, c', AllowedValues: [a, b]", "\"c\" is not among AllowedValues"),
        ("Type: Number, Default: many", "\"many\" is no number, and the Type is Number"),
        ("Type: List<Number>, Default: '1,x'", "\"x\" is no number, and the Type is Number"),
        ("Type: Number, Default: 1.50, MinValue: 2", "\"1.50\" breaks MinValue 2"),
        ("Type: Number, Default: 3, MaxValue: '2'", "\"3\" breaks MaxValue 2"),
        ("Type: String, Default: ab, MinLength: 3", "\"ab\" breaks MinLength 3"),
        ("Type: String, Default: abcd, MaxLength: 3", "\"abcd\" breaks MaxLength 3"),
        ("Type: String, Default: ab1, AllowedPattern: '[a-z]+'", "\"ab1\" does not match AllowedPattern \"[a-z]+\""),
    ] {
        check_error(&with(declared), &format!("Parameters.P: {expected}"));
    }
    for declared in [
        "Type: String, Default: b, AllowedValues: [a, b]",
        "Type: CommaDelimitedList, Default: 'a, b', AllowedValues: [a, b]",
        "Type: Number, Default: -1.5e3, MinValue: -2000, MaxValue: 0",
        "Type: String, Default: a1, AllowedPattern: '^[a-z]\\d$', MinLength: 2, MaxLength: 2",
        "Type: String, MinLength: 3",
    ] {
        assert_eq!(plan(&with(declared)).skipped, Vec::<String>::new(), "{declared}");
    }
    check_skipped(
        &with("Type: String, Default: a, AllowedPattern: '(?!b)a'"),
        &["Parameters.P.AllowedPattern: not checked: \"(?!b)a\" cannot be read here"],
    );
}

/// A template of one's own account has the ARNs of it, as Chalice writes them; a stream's ARN has the time at which it was made.
#[test]
fn a_stream_of_aws_is_that_of_the_table_of_its_name() {
    let with = |arn: &str| mapping_with("").replace("!GetAtt T.StreamArn", arn);
    let aws = "arn:aws:dynamodb:eu-west-1:123456789012:table/tailrace-T/stream/2024-01-01T00:00:00.000";
    let plan = plan(&with(aws));
    assert_eq!(plan.mappings[0].source, Source::StreamOf("T".into()));
    let told = format!(
        "Resources.M.Properties.EventSourceArn: {aws} is a stream of AWS; the stream of the table tailrace-T here is taken"
    );
    assert_eq!(plan.skipped, [told]);
    for other in [aws.replace("tailrace-T", "other"), aws.replace("eu-west-1:123456789012", "us-east-1:000000000000")] {
        let plan = super::plan(&with(&other));
        assert_eq!((&plan.mappings[0].source, plan.skipped.len()), (&Source::Arn(StreamArn::new(other)), 0));
    }
}
