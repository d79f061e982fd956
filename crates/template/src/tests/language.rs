//! The language extensions, included files, SAM's globals, and tables of several regions.

use super::*;

#[test]
fn loops_make_resources_conditions_and_properties() {
    let plan = plan(
        r#"
Transform: AWS::LanguageExtensions
Parameters: {Kinds: {Type: CommaDelimitedList, Default: "orders,users"}}
Conditions:
  Fn::ForEach::Has:
    - Kind
    - !Ref Kinds
    - "Has${Kind}": !Equals [!Ref Kind, orders]
Resources:
  Fn::ForEach::Outer:
    - Kind
    - !Ref Kinds
    - Fn::ForEach::Inner:
        - Stage
        - [a-1, b.2]
        - "T${Kind}&{Stage}":
            Type: AWS::Serverless::SimpleTable
            Condition: "Has${Kind}"
            Properties:
              TableName: !Sub "${Kind}-${Stage}-${AWS::Region}"
              Tags:
                Fn::ForEach::Tags: [Tag, [one, two], {"t${Tag}": !Ref Tag}]
"#,
    );
    let seen: Vec<(&str, &str)> = plan.tables.iter().map(|table| (table.logical_id.as_str(), table.name())).collect();
    assert_eq!(seen, [("Tordersa1", "orders-a-1-us-east-1"), ("Tordersb2", "orders-b.2-us-east-1")]);
    let tags: Vec<_> = plan.tables[0].request.tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str())).collect();
    assert_eq!(tags, [("tone", "one"), ("ttwo", "two")]);
}

/// What a loop makes is referred to by an id that a function puts together.
#[test]
fn a_function_may_give_the_logical_id_of_ref_and_get_att() {
    let plan = plan(
        r#"
Transform: AWS::LanguageExtensions
Parameters: {OwnerOrders: {Type: String, Default: ann}, OwnerUsers: {Type: String, Default: bob}}
Resources:
  Fn::ForEach::Each:
    - Name
    - [Orders, Users]
    - "Table${Name}":
        Type: AWS::DynamoDB::Table
        Properties:
          TableName: !Sub "t-${Name}"
          BillingMode: PAY_PER_REQUEST
          AttributeDefinitions: [{AttributeName: pk, AttributeType: S}]
          KeySchema: [{AttributeName: pk, KeyType: HASH}]
          StreamSpecification: {StreamViewType: NEW_IMAGE}
          Tags: [{Key: owner, Value: !Ref {"Fn::Sub": "Owner${Name}"}}]
      "Mapping${Name}":
        Type: AWS::Lambda::EventSourceMapping
        Properties:
          EventSourceArn: !GetAtt [!Sub "Table${Name}", StreamArn]
          FunctionName: !Ref {"Fn::Join": ["", [F, n]]}
          StartingPosition: LATEST
  Fn:
    Type: AWS::Lambda::Function
    Properties: {Runtime: python3.12, Handler: a.b, Code: {ZipFile: "b = print"}}
"#,
    );
    for (mapping, name) in plan.mappings.iter().zip(["Orders", "Users"]) {
        let source = Source::StreamOf(format!("Table{name}"));
        assert_eq!((&mapping.source, mapping.function.as_str()), (&source, "Fn"));
    }
    let owners: Vec<_> = plan.tables.iter().map(|table| table.request.tags[0].value.as_str()).collect();
    assert_eq!((plan.mappings.len(), owners), (2, vec!["ann", "bob"]));
}

#[test]
fn a_loop_that_is_wrong_names_its_place() {
    let with = |body: &str| format!("Resources:\n  Fn::ForEach::L: {body}\n");
    let malformed =
        "Resources.Fn::ForEach::L: Fn::ForEach is malformed: [identifier, collection, {key: value}] is expected";
    check_error(&with("[X, [a]]"), malformed);
    check_error(&with("[X, a, {}]"), malformed);
    let twice = "Resources.Fn::ForEach::L: the key \"A\" is given twice";
    check_error(&with("[X, [a, b], {A: {Type: AWS::SQS::Queue}}]"), twice);
    let id: String = (0..10).map(|n| format!("${{V{n}}}")).collect();
    let mut nested = format!("{{\"T{id}\": {{Type: AWS::SQS::Queue}}}}");
    for n in (0..10).rev() {
        nested = format!("{{\"Fn::ForEach::L{n}\": [V{n}, [a, b, c, d, e, f, g, h, i, j], {nested}]}}");
    }
    let error = plan_with(&format!("Resources: {nested}"), &Options::default()).unwrap_err().to_string();
    // The outermost one: nothing was run for it.
    let expected = "Resources.Fn::ForEach::L0: with its loops the template has more than 500000 values";
    assert!(error.starts_with(expected), "{error}");
    // Where the loops name their collections elsewhere it is found while they run.
    let by_parameter = nested.replace("[a, b, c, d, e, f, g, h, i, j]", "!Ref P");
    let template = format!(
        "Parameters: {{P: {{Type: CommaDelimitedList, Default: 'a,b,c,d,e,f,g,h,i,j'}}}}\nResources: {by_parameter}"
    );
    let error = plan_with(&template, &Options::default()).unwrap_err().to_string();
    assert!(error.contains("with its loops the template has more than 500000 values"), "{error}");
}

#[test]
fn files_of_this_machine_are_included() {
    fn read(path: &Path) -> std::io::Result<String> {
        match path.to_str() {
            Some("/app/parts/tables.yaml") => {
                Ok("B: {Type: AWS::Serverless::SimpleTable, Properties: {TableName: bees}}".to_owned())
            }
            Some("/app/maps.yaml") => Ok("M: {a: {b: of-maps}}".to_owned()),
            Some("/app/values.yaml") => Ok("b: of-values".to_owned()),
            Some("/app/mappings.json") => Ok(r#"{"Mappings": {"N": {"a": {"b": "found"}}}}"#.to_owned()),
            _ => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
        }
    }
    let options = Options { read, ..Options::default() };
    let template = "
Transform: [{Name: AWS::Include, Parameters: {Location: mappings.json}}]
Resources:
  Fn::Transform: {Name: AWS::Include, Parameters: {Location: parts/tables.yaml}}
  Aaa: {Type: AWS::Serverless::SimpleTable, Properties: {TableName: !FindInMap [N, a, b]}}
";
    let plan = plan_with(template, &options).unwrap();
    assert_eq!(plan.tables.iter().map(TablePlan::name).collect::<Vec<_>>(), ["bees", "found"]);
    // In a map of maps, at any level; what is included is read once.
    let maps = "
Mappings:
  Fn::Transform: {Name: AWS::Include, Parameters: {Location: maps.yaml}}
  Own: {x: {Fn::Transform: {Name: AWS::Include, Parameters: {Location: values.yaml}}}}
Resources:
  Aaa: {Type: AWS::Serverless::SimpleTable, Properties: {TableName: !FindInMap [M, a, b]}}
  Bbb: {Type: AWS::Serverless::SimpleTable, Properties: {TableName: !FindInMap [Own, x, b]}}
";
    let plan = plan_with(maps, &options).unwrap();
    assert_eq!(plan.tables.iter().map(TablePlan::name).collect::<Vec<_>>(), ["of-maps", "of-values"]);
    // A map that nobody asks needs no file.
    let unused = maps.replace("maps.yaml", "none.yaml").replace("!FindInMap [M, a, b]", "aaa");
    assert!(plan_with(&unused.replace("!FindInMap [Own, x, b]", "bbb"), &options).is_ok());
    let error = plan_with(&template.replace("tables.yaml", "none.yaml"), &options).unwrap_err().to_string();
    assert_eq!(error, "Resources.Fn::Transform: cannot include /app/parts/none.yaml: entity not found");
    let bucket = plan_with(&template.replace("parts/tables.yaml", "s3://bucket/x"), &options).unwrap();
    assert_eq!(
        bucket.skipped,
        ["Resources.Fn::Transform: s3://bucket/x is not read: only a file of this machine is included"]
    );
}

/// A file that the template itself includes and that is not here is told, like one that a section includes.
#[test]
fn a_file_of_a_bucket_or_of_a_parameter_that_the_template_includes_is_told() {
    let template = |location: &str| {
        format!(
            "Transform: [AWS::Serverless-2016-10-31, {{Name: AWS::Include, Parameters: {location}}}]
Parameters: {{P: {{Type: String, Default: x}}}}
Resources: {{Aaa: {{Type: AWS::Serverless::SimpleTable}}}}"
        )
    };
    for (location, shown) in [("s3://bucket/x.yaml", "s3://bucket/x.yaml"), ("!Ref P", "{Ref: ...}")] {
        let plan = plan(&template(&format!("{{Location: {location}}}")));
        let told = format!("Transform: {shown} is not read: only a file of this machine is included");
        assert_eq!((plan.skipped, plan.tables.len()), (vec![told], 1), "{location}");
    }
    check_error(&template("{}"), "Transform: AWS::Include has no Location");
}

#[test]
fn a_function_may_ignore_globals() {
    let template = |ignored: &str| {
        format!(
            "Globals: {{Function: {{Timeout: 9, MemorySize: 256}}}}\n{}    IgnoreGlobals: {ignored}\n",
            function_with("").trim_end().to_owned() + "\n"
        )
    };
    for (ignored, expected) in [("[Timeout]", (3, 256)), ("'*'", (3, 128)), ("[]", (9, 256))] {
        let function = &plan(&template(ignored)).functions[0];
        assert_eq!((function.timeout_s, function.memory_mb), expected, "{ignored}");
    }
}

#[test]
fn a_global_table_is_a_table_with_the_settings_of_its_replica_here() {
    let template = |replicas: &str, more: &str| {
        format!(
            r"
Resources:
  T:
    Type: AWS::DynamoDB::GlobalTable
    Properties:
      TableName: everywhere
      AttributeDefinitions: [{{AttributeName: a, AttributeType: S}}, {{AttributeName: b, AttributeType: S}}]
      KeySchema: [{{AttributeName: a, KeyType: HASH}}]
      GlobalSecondaryIndexes:
        - IndexName: by-b
          KeySchema: [{{AttributeName: b, KeyType: HASH}}]
          Projection: {{ProjectionType: ALL}}
          WriteProvisionedThroughputSettings: {{WriteCapacityAutoScalingSettings: {{MinCapacity: 2, MaxCapacity: 9}}}}
      WriteProvisionedThroughputSettings: {{WriteCapacityAutoScalingSettings: {{MinCapacity: 3, MaxCapacity: 9, SeedCapacity: 4}}}}
      BillingMode: PROVISIONED
      {more}
      Replicas:
{replicas}"
        )
    };
    let here = "
        - Region: !Ref AWS::Region
          TableClass: STANDARD_INFREQUENT_ACCESS
          DeletionProtectionEnabled: true
          Tags: [{Key: k, Value: v}]
          ReadProvisionedThroughputSettings: {ReadCapacityUnits: 7}
          GlobalSecondaryIndexes: [{IndexName: by-b, ReadProvisionedThroughputSettings: {ReadCapacityUnits: 8}}]
";
    let one = plan(&template(here, "StreamSpecification: {StreamViewType: NEW_IMAGE}"));
    assert_eq!(one.skipped, Vec::<String>::new());
    let request = &one.tables[0].request;
    let units = |read, write| Some(ProvisionedThroughput { read_capacity_units: read, write_capacity_units: write });
    assert_eq!((request.table_name.as_str(), request.provisioned_throughput), ("everywhere", units(7, 4)));
    let index = &request.global_secondary_indexes.as_ref().unwrap()[0];
    assert_eq!((index.index_name.as_str(), index.provisioned_throughput), ("by-b", units(8, 2)));
    assert_eq!(request.tags, [Tag { key: "k".into(), value: "v".into() }]);
    assert_eq!((request.deletion_protection_enabled, one.tables[0].stream()), (Some(true), Some(ViewType::NewImage)));
    // Several regions: one is here, and replication makes a stream.
    let several = plan(&template(&format!("        - Region: eu-west-1\n        - Region: ap-south-1{here}"), ""));
    let at = "Resources.T.Properties.Replicas";
    assert_eq!(several.skipped, [format!("{at}: there is one region here: none in eu-west-1, ap-south-1")]);
    assert_eq!(several.tables[0].stream(), Some(ViewType::NewAndOldImages));
    let elsewhere = plan(&template("        - {Region: eu-west-1, Tags: [{Key: far, Value: v}]}", ""));
    assert_eq!(elsewhere.skipped, [format!("{at}: the settings of eu-west-1 are taken, since none is of us-east-1")]);
    assert_eq!(elsewhere.tables[0].request.tags[0].key, "far");
}

#[test]
fn functions_of_the_language_give_their_values() {
    let variable = |written: &str| {
        let template = used_function_with(&format!("Environment: {{Variables: {{VALUE: {written}}}}}"));
        plan_with(&template, &Options::default())
            .map(|plan| plan.functions[0].environment["VALUE"].resolve(|_| None).unwrap())
    };
    for (written, expected) in [
        ("{Fn::Length: [a, b]}", "2"),
        (
            "{Fn::ToJsonString: {a: 1, b: [true, 'x\"y'], c: !Ref AWS::Region}}",
            r#"{"a":1,"b":[true,"x\"y"],"c":"us-east-1"}"#,
        ),
        ("!Base64 hello", "aGVsbG8="),
        ("!Select [1, !Cidr [10.0.0.0/16, 3, 8]]", "10.0.1.0/24"),
        ("!Select [0, !GetAZs '']", "us-east-1a"),
        ("!Join [',', !GetAZs eu-west-1]", "eu-west-1a,eu-west-1b,eu-west-1c"),
        ("!FindInMap [None, of, these, {DefaultValue: fallback}]", "fallback"),
        ("!Sub ['${a}-${!b}', {a: 1}]", "1-${b}"),
        ("!GetAtt [F, Arn]", "arn:aws:lambda:us-east-1:000000000000:function:F"),
    ] {
        assert_eq!(variable(written).unwrap(), expected, "{written}");
    }
    for (written, expected) in [
        ("{Fn::Length: a}", "Fn::Length: a list is expected, not \"a\""),
        ("{Fn::ToJsonString: a}", "Fn::ToJsonString: a map or a list is expected, not \"a\""),
        ("!Select [0, !Cidr [10.0.0.0/24, 999, 8]]", "Fn::Cidr: \"10.0.0.0/24\" has no 999 blocks of this size"),
    ] {
        let error = variable(written).unwrap_err().to_string();
        assert_eq!(error, format!("Resources.F.Properties.Environment.Variables.VALUE: {expected}"), "{written}");
    }
}

#[test]
fn parameters_of_files_and_variables_may_be_for_other_templates() {
    let template = "Transform: AWS::Serverless-2016-10-31\nParameters: {P: {Type: String, NoEcho: true, MaxLength: 3}}\nResources: {Aaa: {Type: AWS::Serverless::SimpleTable, \
                    Properties: {TableName: !Ref P}}}";
    let mut options = Options::default();
    options.shared_parameters.extend([("P".to_owned(), "one".to_owned()), ("Q".to_owned(), "x".to_owned())]);
    let plan = plan_with(template, &options).unwrap();
    assert_eq!(plan.tables[0].name(), "one");
    assert_eq!(plan.skipped, ["Parameters.Q: the template has no such parameter; its value is not used"]);
    options.parameters.insert("P".to_owned(), "two".to_owned());
    assert_eq!(plan_with(template, &options).unwrap().tables[0].name(), "two");
    options.parameters.insert("P".to_owned(), "secret".to_owned());
    let error = plan_with(template, &options).unwrap_err().to_string();
    assert_eq!(error, "Parameters.P: the value (NoEcho) breaks MaxLength 3");
    let missing = Options { parameters_file_beside: Some("samconfig.toml".to_owned()), ..Options::default() };
    let error = plan_with(template, &missing).unwrap_err().to_string();
    assert!(
        error.contains("--parameters-file FILE (samconfig.toml beside the template is not read by itself)"),
        "{error}"
    );
}

#[test]
fn resources_of_sam_without_its_transform_are_told_and_read() {
    let table = "Resources: {Orders: {Type: AWS::Serverless::SimpleTable}}";
    let told = "Transform: CloudFormation refuses AWS::Serverless::SimpleTable without `Transform: AWS::Serverless-2016-10-31`; read \
                as if it were there";
    check_skipped(table, &[told]);
    assert_eq!(plan(table).tables.len(), 1);
    check_skipped(&format!("Transform: AWS::LanguageExtensions\n{table}"), &[told]);
    check_skipped(&format!("Transform: [AWS::LanguageExtensions, AWS::Serverless-2016-10-31]\n{table}"), &[]);
}
