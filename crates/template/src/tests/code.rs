//! Where code comes from, in each form.

use super::*;

fn path(path: &str) -> CodeSource {
    CodeSource::Path(path.into())
}

fn object(bucket: &str, key: &str) -> CodeSource {
    CodeSource::Object { bucket: bucket.to_owned(), key: key.to_owned() }
}

fn inline(file_name: &str) -> CodeSource {
    CodeSource::Inline { file_name: file_name.to_owned(), text: "x = 1\n".to_owned() }
}

/// A function of Lambda's own type, in JSON.
fn lambda(runtime: &str, code: &str, more: &str) -> String {
    format!(
        r#"{{"Resources": {{
            "B": {{"Type": "AWS::S3::Bucket"}},
            "F": {{"Type": "AWS::Lambda::Function", "Properties": {{
                "Code": {code}, "Runtime": "{runtime}", "Handler": "index.handler"}}{more}}}
        }}}}"#
    )
}

/// The same function, with a mapping that uses it.
fn used_lambda(runtime: &str, code: &str) -> String {
    let mapping = r#"{"Resources": {"M": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": {"StartingPosition": "LATEST",
        "FunctionName": {"Ref": "F"},
        "EventSourceArn": "arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/2026-01-01T00:00:00.000"}},"#;
    lambda(runtime, code, "").replacen(r#"{"Resources": {"#, mapping, 1)
}

/// What the template names is not what runs.
#[test]
fn code_that_sam_has_still_to_build_is_told() {
    let with = |template: String, method: &str| {
        template.replace(
            "    Properties:\n      Handler",
            &format!("    Metadata: {{BuildMethod: {method}}}\n    Properties:\n      Handler"),
        )
    };
    let used = |method: &str| with(used_function_with("CodeUri: src"), method);
    let told = "Resources.F.Metadata.BuildMethod: esbuild is not run here: `sam build` makes what runs, and `up` takes that where it is \
                there";
    check_skipped(&used("esbuild"), &[told]);
    check_skipped(&used("python3.12"), &[]);
    check_skipped(&with(function_with("CodeUri: src"), "esbuild"), &[]);
    let (name, stack_name, dir) = (String::new(), String::new(), "/app/.aws-sam/build".into());
    let built = Stack { name, stack_name, format: Format::Yaml, text: used("esbuild"), dir };
    assert_eq!(parse_stacks(&[built], &[], &Options::default()).unwrap().skipped, Vec::<String>::new());
}

#[test]
fn every_form_of_code_is_read() {
    for (property, expected) in [
        ("CodeUri: worker.py", path("/app/worker.py")),
        ("CodeUri: build/app.zip", path("/app/build/app.zip")),
        ("CodeUri: s3://bucket/some/key.zip", object("bucket", "some/key.zip")),
        ("CodeUri: {Bucket: b, Key: k.zip, Version: 3}", object("b", "k.zip")),
        ("CodeUri: !Ref AWS::NoValue", path("/app")),
        ("InlineCode: |\n        x = 1", inline("index.py")),
        ("CodeUri: src/\n      InlineCode: |\n        x = 1", inline("index.py")),
    ] {
        let plan = plan(&function_with(property));
        assert_eq!((&plan.functions[0].code, plan.skipped), (&expected, Vec::new()), "{property}");
    }
    for (runtime, code, expected) in [
        ("provided.al2023", r#"{"S3Bucket": "b", "S3Key": "k", "S3ObjectVersion": "1"}"#, object("b", "k")),
        (
            "provided.al2023",
            r#"{"S3Bucket": {"Ref": "B"}, "S3Key": {"Fn::Join": ["/", ["a", "b"]]}}"#,
            object("B", "a/b"),
        ),
        ("python3.12", r#"{"ZipFile": "x = 1\n"}"#, inline("index.py")),
        ("python3.12", r#"{"ZipFile": {"Fn::Join": ["\n", ["x = 1", ""]]}}"#, inline("index.py")),
        ("python3.12", r#""src""#, path("/app/src")),
    ] {
        assert_eq!(plan(&lambda(runtime, code, "")).functions[0].code, expected, "{code}");
    }
}

#[test]
fn an_asset_beside_the_template_is_the_code_and_not_the_bucket() {
    let code = r#"{"S3Bucket": {"Fn::Sub": "cdk-assets-${AWS::AccountId}"}, "S3Key": "0123.zip"}"#;
    let asset = r#", "Metadata": {"aws:asset:path": "asset.0123", "aws:asset:property": "Code"}"#;
    assert_eq!(plan(&lambda("python3.12", code, asset)).functions[0].code, path("/app/asset.0123"));
    let of_another = asset.replace("\"Code\"", "\"Layers\"");
    let expected = object("cdk-assets-000000000000", "0123.zip");
    assert_eq!(plan(&lambda("python3.12", code, &of_another)).functions[0].code, expected);
}

#[test]
fn code_that_cannot_be_named_stops() {
    let at = "Resources.F.Properties";
    check_error(
        &used_function_with("CodeUri: https://example.com/a.zip"),
        &format!("{at}.CodeUri: the code is at https://example.com/a.zip: a path of this machine is expected"),
    );
    check_error(
        &used_function_with("CodeUri: {Bucket: local-dir, Key: a}"),
        &format!("{at}.CodeUri.Key: the key is no absolute path"),
    );
    check_error(&used_function_with("CodeUri: [a]"), &format!("{at}.CodeUri: a path is expected, not a list"));
    check_error(
        &used_lambda("provided.al2023", r#"{"ZipFile": "x"}"#),
        &format!(
            "{at}.Code.ZipFile: code in the template is for Python and Node.js, and the runtime is \"provided.al2023\""
        ),
    );
    check_error(
        &used_lambda("python3.12", r#"{"S3Bucket": "b"}"#),
        &format!("{at}.Code.S3Key: this property is required"),
    );
}

#[test]
fn layers_of_the_template_are_found_and_others_are_named() {
    let public = "arn:aws:lambda:us-east-1:017000801446:layer:Powertools:7";
    let template = format!(
        r"
Transform: AWS::Serverless-2016-10-31
Resources:
  Shared:
    Type: AWS::Serverless::LayerVersion
    Properties: {{LayerName: shared-code, ContentUri: layer/, CompatibleRuntimes: [python3.12]}}
  Zipped:
    Type: AWS::Lambda::LayerVersion
    Properties: {{Content: {{S3Bucket: b, S3Key: deps.zip}}}}
  F:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.handler
      Runtime: python3.12
      Layers: [!Ref Shared, !Ref Zipped, '{public}']
"
    );
    let plan = plan(&template);
    let contents: Vec<_> = plan.layers.iter().map(|layer| layer.content.clone()).collect();
    assert_eq!(contents, [path("/app/layer/"), object("b", "deps.zip")]);
    let used: Vec<&str> = plan.functions[0].layers.iter().map(|used| used.arn.as_str()).collect();
    assert_eq!(used, [plan.layers[0].arn.as_str(), plan.layers[1].arn.as_str()]);
    assert_eq!(plan.layers[0].arn, "arn:aws:lambda:us-east-1:000000000000:layer:shared-code:1");
    assert_eq!(
        plan.skipped,
        [format!(
            "Resources.F.Properties.Layers.2: the layer {public} is not here: what the function needs of it has to be among \
             its code"
        )]
    );
}

/// A resource that is not made is none: its content is looked for nowhere, and who names it with `AWS::NoValue` has it not.
#[test]
fn a_layer_whose_condition_does_not_hold_is_not_planned() {
    let template = |wanted: &str| {
        function_with("Layers: [!If [Wanted, !Ref L, !Ref AWS::NoValue]]")
            + "  L: {Type: AWS::Serverless::LayerVersion, Condition: Wanted, Properties: {ContentUri: layer/}}\n"
            + &format!("Conditions: {{Wanted: !Equals [{wanted}, yes]}}\n")
    };
    for (wanted, count) in [("no", 0), ("yes", 1)] {
        let plan = plan(&template(wanted));
        assert_eq!((plan.layers.len(), plan.functions[0].layers.len()), (count, count), "{wanted}");
    }
}
