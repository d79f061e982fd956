//! What `terraform show -json` writes, of a plan and of a state.

use serde_json::json;

use super::*;

fn plan_of(document: &serde_json::Value) -> Plan {
    plan(&document.to_string())
}

fn resource(address: &str, values: serde_json::Value) -> serde_json::Value {
    let kind = address.rsplit('.').nth(1).unwrap();
    json!({"address": address, "mode": "managed", "type": kind, "values": values})
}

fn table_values() -> serde_json::Value {
    json!({
        "name": "orders", "billing_mode": "PROVISIONED", "read_capacity": 2, "write_capacity": 3,
        "hash_key": "pk", "range_key": null, "attribute": [{"name": "pk", "type": "S"}, {"name": "g", "type": "N"}],
        "global_secondary_index": [{
            "name": "by-g", "hash_key": "g", "range_key": "pk", "projection_type": "INCLUDE",
            "non_key_attributes": ["a"], "read_capacity": 4, "write_capacity": 5
        }],
        "stream_enabled": true, "stream_view_type": "NEW_IMAGE", "ttl": [{"attribute_name": "until", "enabled": true}],
        "point_in_time_recovery": [{"enabled": false}], "tags": {"stage": "dev"}, "replica": [], "import_table": [],
        "arn": "arn:aws:dynamodb:eu-west-1:1:table/orders",
        "stream_arn": "arn:aws:dynamodb:eu-west-1:1:table/orders/stream/2026-01-01T00:00:00.000"
    })
}

fn function_values() -> serde_json::Value {
    json!({
        "function_name": "worker", "filename": "./worker.zip", "handler": "app.handler", "runtime": "python3.12",
        "timeout": 7, "memory_size": 256, "reserved_concurrent_executions": -1, "package_type": "Zip", "image_uri": "",
        "environment": [{"variables": {"AB": "1"}}], "vpc_config": [], "dead_letter_config": [], "layers": []
    })
}

fn mapping_values() -> serde_json::Value {
    json!({
        "starting_position": "LATEST", "batch_size": 10, "maximum_retry_attempts": 2, "enabled": true,
        "filter_criteria": [{"filter": [{"pattern": "{\"eventName\":[\"INSERT\"]}"}]}],
        "function_response_types": ["ReportBatchItemFailures"], "destination_config": [{"on_failure": [{}]}],
        "tumbling_window_in_seconds": null, "metrics_config": []
    })
}

#[test]
fn a_state_of_terraform_is_read() {
    let mut mapping = mapping_values();
    mapping["event_source_arn"] = table_values()["stream_arn"].clone();
    mapping["function_name"] = "arn:aws:lambda:eu-west-1:1:function:worker".into();
    let plan = plan_of(&json!({"format_version": "1.0", "terraform_version": "1.9.0", "values": {"root_module": {
        "resources": [
            resource("aws_dynamodb_table.orders", table_values()),
            resource("aws_lambda_function.worker", function_values()),
            resource("aws_lambda_event_source_mapping.stream", mapping),
            {"address": "data.archive_file.code", "mode": "data", "type": "archive_file",
             "values": {"output_path": "./worker.zip", "source_dir": "./src", "source_file": null}},
        ]
    }}, "prior_state": {"values": {"root_module": {"resources": [resource("aws_dynamodb_table.gone", table_values())]}}}}));
    assert_eq!(plan.tables.len(), 1, "what is about to go is not made");
    let table = &plan.tables[0];
    assert_eq!((table.logical_id.as_str(), table.name()), ("aws_dynamodb_table_orders", "orders"));
    assert_eq!((table.stream(), table.is_on_demand()), (Some(ViewType::NewImage), false));
    assert_eq!(table.request.key_schema, [key("pk", KeyType::Hash)]);
    assert_eq!(table.request.attribute_definitions, [attribute("pk", ScalarType::S), attribute("g", ScalarType::N)]);
    assert_eq!(
        table.request.provisioned_throughput,
        Some(ProvisionedThroughput { read_capacity_units: 2, write_capacity_units: 3 })
    );
    assert_eq!(table.request.tags, [Tag { key: "stage".into(), value: "dev".into() }]);
    let index = &table.request.global_secondary_indexes.as_ref().unwrap()[0];
    assert_eq!(index.key_schema, [key("g", KeyType::Hash), key("pk", KeyType::Range)]);
    assert_eq!(table.settings.time_to_live.as_ref().map(|ttl| ttl.attribute_name.as_str()), Some("until"));
    let function = &plan.functions[0];
    assert_eq!((function.name.as_str(), function.timeout_s, function.memory_mb), ("worker", 7, 256));
    assert_eq!(function.code, CodeSource::Path("/app/src".into()), "what the archive is made of, so that an edit runs");
    assert_eq!(function.environment.keys().collect::<Vec<_>>(), ["AB"]);
    let mapping = &plan.mappings[0];
    assert_eq!(mapping.source, Source::StreamOf("aws_dynamodb_table_orders".into()));
    assert_eq!((mapping.function.as_str(), mapping.batch_size, mapping.retry_attempts_max), ("worker", 10, Some(2)));
    assert_eq!((mapping.filters.len(), mapping.report_item_failures), (1, true));
}

#[test]
fn a_plan_of_terraform_refers_to_what_is_known_after_an_apply() {
    let references = |names: &[&str]| json!({"references": names});
    let child = json!({
        "resources": [{"address": "aws_lambda_event_source_mapping.stream", "expressions": {
            "event_source_arn": references(&["var.stream"]),
            "function_name": references(&["each.key", "aws_lambda_function.worker"]),
            "destination_config": [{"on_failure": [{"destination_arn": references(&["var.queue"])}]}],
        }}],
    });
    let functions = ["a", "b"].map(|name| {
        let mut values = function_values();
        values["function_name"] = name.into();
        values["environment"] = json!([{}]);
        resource(&format!("module.jobs[0].aws_lambda_function.worker[\"{name}\"]"), values)
    });
    let mappings = ["a", "b"].map(|name| {
        resource(&format!("module.jobs[0].aws_lambda_event_source_mapping.stream[\"{name}\"]"), mapping_values())
    });
    let document = json!({
        "format_version": "1.2", "terraform_version": "1.9.0",
        "planned_values": {"root_module": {
            "resources": [resource("aws_sqs_queue.dead", json!({"name": "dead"}))],
            "child_modules": [
                {"resources": [functions[0], functions[1], mappings[0], mappings[1]]},
                {"resources": [resource("module.data.aws_dynamodb_table.orders", table_values())]},
            ],
        }},
        "configuration": {"root_module": {"module_calls": {
            "jobs": {"expressions": {"stream": references(&["module.data.stream", "module.data"]), "queue": references(&["aws_sqs_queue.dead.arn", "aws_sqs_queue.dead"])}, "module": child},
            "data": {"module": {"outputs": {"stream": {"expression": references(&["aws_dynamodb_table.orders.stream_arn", "aws_dynamodb_table.orders"])}}}},
        }}},
    });
    let plan = plan_of(&document);
    let made: Vec<_> =
        plan.mappings.iter().map(|mapping| (mapping.function.as_str(), mapping.source.clone())).collect();
    let orders = Source::StreamOf("module_data_aws_dynamodb_table_orders".into());
    assert_eq!(made, [("a", orders.clone()), ("b", orders)]);
    for line in [
        "Resources.module_jobs_0_aws_lambda_event_source_mapping_stream_a.Properties.DestinationConfig.OnFailure: \
         aws_sqs_queue_dead.Arn (AWS::SQS::Queue) cannot be reached here: records that are given up are parked instead",
        "Resources.module_jobs_0_aws_lambda_function_worker_b: its variables are not known before `terraform apply`, and \
         are not set; `terraform show -json` of what is applied knows them",
    ] {
        assert!(plan.skipped.iter().any(|told| told == line), "{line}: {:#?}", plan.skipped);
    }
}

#[test]
fn a_mapping_of_a_queue_is_no_trigger_of_a_table() {
    let document = json!({
        "terraform_version": "1.9.0",
        "planned_values": {"root_module": {"resources": [
            resource("aws_sqs_queue.jobs", json!({"name": "jobs"})),
            resource("aws_lambda_function.worker", function_values()),
            resource("aws_lambda_event_source_mapping.jobs", json!({"function_name": "worker"})),
        ]}},
        "configuration": {"root_module": {"resources": [{"address": "aws_lambda_event_source_mapping.jobs", "expressions": {
            "event_source_arn": {"references": ["aws_sqs_queue.jobs.arn", "aws_sqs_queue.jobs"]}}}]}},
    });
    assert_eq!(plan_of(&document).mappings, []);
}

/// A local value and a Kafka of one's own are in no document: the rest starts.
#[test]
fn a_mapping_whose_source_is_not_told_is_left_out() {
    let document = json!({
        "terraform_version": "1.9.0",
        "planned_values": {"root_module": {"resources": [
            resource("aws_lambda_function.worker", function_values()),
            resource("aws_lambda_event_source_mapping.local", json!({"function_name": "worker"})),
            resource("aws_lambda_event_source_mapping.kafka", json!({
                "function_name": "worker", "self_managed_event_source": [{"endpoints": {"KAFKA_BOOTSTRAP_SERVERS": "k:9092"}}]})),
        ]}},
        "configuration": {"root_module": {"resources": [{"address": "aws_lambda_event_source_mapping.local", "expressions": {
            "event_source_arn": {"references": ["local.stream"]}}}]}},
    });
    let plan = plan_of(&document);
    assert_eq!(plan.mappings, []);
    for beginning in [
        "aws_lambda_event_source_mapping.local: nothing here says what its event_source_arn or its function_name is",
        "Resources.aws_lambda_event_source_mapping_kafka: its records do not come from a stream of DynamoDB",
    ] {
        assert!(plan.skipped.iter().any(|told| told.starts_with(beginning)), "{beginning}: {:#?}", plan.skipped);
    }
}

#[test]
fn addresses_that_differ_in_punctuation_alone_are_two() {
    let table = |name: &str| {
        let mut values = table_values();
        values["name"] = name.into();
        values["stream_arn"] =
            format!("arn:aws:dynamodb:eu-west-1:1:table/{name}/stream/2026-01-01T00:00:00.000").into();
        values
    };
    let mut mapping = mapping_values();
    mapping["function_name"] = "worker".into();
    mapping["event_source_arn"] = table("eu-orders")["stream_arn"].clone();
    let document = json!({
        "terraform_version": "1.9.0",
        "values": {"root_module": {"resources": [
            {"address": "aws_dynamodb_table.t[\"eu_orders\"]", "mode": "managed", "type": "aws_dynamodb_table", "values": table("eu_orders")},
            {"address": "aws_dynamodb_table.t[\"eu/orders\"]", "mode": "managed", "type": "aws_dynamodb_table", "values": table("eu-orders")},
            resource("aws_lambda_function.worker", function_values()),
            resource("aws_lambda_event_source_mapping.m", mapping),
        ]}},
    });
    let plan = plan_of(&document);
    assert_eq!(plan.tables.len(), 2);
    let followed = format!("{:?}", plan.mappings[0].source);
    let is_followed = |table: &&TablePlan| followed == format!("StreamOf({:?})", table.logical_id);
    assert_eq!(plan.tables.iter().find(is_followed).map(TablePlan::name), Some("eu-orders"), "{followed}");
}

/// A plan says what `for_each` refers to, and not which key has what.
#[test]
fn each_value_of_a_module_is_followed_where_it_can_be_one_thing_alone() {
    let references = |names: &[&str]| json!({"references": names});
    let each = |property: &str| references(&[&format!("each.value.{property}"), "each.value"]);
    let child = json!({"resources": [{"address": "aws_lambda_event_source_mapping.stream", "expressions": {
        "event_source_arn": references(&["var.stream"]), "function_name": references(&["var.function"])}}]});
    let named = |address: &str, property: &str, name: &str, mut values: serde_json::Value| {
        values[property] = name.into();
        values["stream_arn"] = serde_json::Value::Null;
        values["arn"] = serde_json::Value::Null;
        json!({"address": address, "mode": "managed", "type": address.split('.').next(), "values": values})
    };
    let table = |address: &str, name: &str| named(address, "name", name, table_values());
    let function = |address: &str, name: &str| named(address, "function_name", name, function_values());
    let made = |for_each: &[&str]| {
        let mappings = ["a", "b"].map(|key| {
            let address = format!("module.jobs[\"{key}\"].aws_lambda_event_source_mapping.stream");
            resource(&address, mapping_values())
        });
        let plan = plan_of(&json!({
            "terraform_version": "1.9.0",
            "planned_values": {"root_module": {
                "resources": [
                    table("aws_dynamodb_table.orders", "orders"), table("aws_dynamodb_table.bills", "bills"),
                    table("aws_dynamodb_table.each[\"a\"]", "each-a"), table("aws_dynamodb_table.each[\"b\"]", "each-b"),
                    function("aws_lambda_function.worker[\"a\"]", "worker-a"),
                    function("aws_lambda_function.worker[\"b\"]", "worker-b"),
                ],
                "child_modules": [{"resources": mappings}],
            }},
            "configuration": {"root_module": {"module_calls": {"jobs": {
                "for_each_expression": references(for_each),
                "expressions": {"stream": each("stream"), "function": each("function")},
                "module": child,
            }}}},
        }));
        let sources: Vec<Source> = plan.mappings.iter().map(|mapping| mapping.source.clone()).collect();
        let functions: Vec<&str> = plan.mappings.iter().map(|mapping| mapping.function.as_str()).collect();
        assert!(functions.is_empty() || functions == ["worker-a", "worker-b"], "{functions:?}");
        let told =
            plan.skipped.iter().filter(|line| line.contains("nothing here says what its event_source_arn")).count();
        (sources, told)
    };
    let stream_of = |id: &str| Source::StreamOf(id.to_owned());
    let with = |names: &[&'static str]| [names, &["aws_lambda_function.worker"]].concat();
    let orders = stream_of("aws_dynamodb_table_orders");
    assert_eq!(
        made(&with(&["aws_dynamodb_table.orders.stream_arn", "aws_dynamodb_table.orders"])),
        (vec![orders.clone(), orders], 0)
    );
    // Each of several that are made for the same keys.
    assert_eq!(
        made(&with(&["aws_dynamodb_table.each"])),
        (vec![stream_of("aws_dynamodb_table_each_a"), stream_of("aws_dynamodb_table_each_b")], 0)
    );
    let names = with(&["local.names", "aws_dynamodb_table.each"]);
    assert_eq!(made(&names).0.len(), 2, "the keys come from elsewhere");
    // Either could be either's, and one that of something else: nothing is guessed.
    assert_eq!(made(&with(&["local.others", "aws_dynamodb_table.orders"])), (vec![], 2));
    assert_eq!(made(&with(&["aws_dynamodb_table.orders", "aws_dynamodb_table.bills"])), (vec![], 2));
}

#[test]
fn a_variable_may_be_called_as_a_function_is() {
    for name in ["Ref", "Condition"] {
        let mut values = function_values();
        values["environment"] = json!([{"variables": {name: "main"}}]);
        let plan = plan_of(&json!({"terraform_version": "1.9.0", "values": {"root_module": {
            "resources": [resource("aws_lambda_function.worker", values)]
        }}}));
        let variables: Vec<_> =
            plan.functions[0].environment.iter().map(|(name, text)| (name.as_str(), text.as_literal())).collect();
        assert_eq!(variables, [(name, Some("main".to_owned()))]);
        assert!(!plan.skipped.iter().any(|line| line.contains("Variables")), "{:?}", plan.skipped);
    }
}

/// A plan with a function that a mapping uses, whose archive is given in one way, and more members.
fn plan_with_function(function: &serde_json::Value, more: &[(&str, serde_json::Value)]) -> Result<Plan, TemplateError> {
    let mut values = function_values();
    values.as_object_mut().unwrap().remove("filename");
    let given = function.as_object().unwrap().clone();
    values.as_object_mut().unwrap().extend(given);
    let mut mapping = mapping_values();
    mapping["event_source_arn"] = table_values()["stream_arn"].clone();
    mapping["function_name"] = "worker".into();
    let mut document = json!({"terraform_version": "1.9.0", "planned_values": {"root_module": {"resources": [
        resource("aws_lambda_function.worker", values),
        resource("aws_lambda_event_source_mapping.stream", mapping),
    ]}}});
    for (name, member) in more {
        document[*name] = member.clone();
    }
    plan_with(&document.to_string(), &Options::default())
}

#[test]
fn an_archive_that_is_read_behind_an_apply_is_known_by_what_it_is_made_of() {
    let archive = |address: &str, after: serde_json::Value| {
        let change = json!({"actions": ["read"], "after": after});
        json!([{"address": address, "mode": "data", "type": "archive_file", "change": change}])
    };
    let directory = json!({"source_dir": "./src", "source_file": null, "output_path": "./worker.zip"});
    let changes = [("resource_changes", archive("data.archive_file.code", directory))];
    let by_path = plan_with_function(&json!({"filename": "./worker.zip"}), &changes).unwrap();
    assert_eq!(by_path.functions[0].code, CodeSource::Path("/app/src".into()));
    // Not even the archive's path is known: by what the configuration refers to.
    let file = json!({"source_file": "lambda/app.py"});
    let filename = json!({"references": ["data.archive_file.code[0].output_path", "data.archive_file.code[0]", "data.archive_file.code"]});
    let configuration = json!({"root_module": {"resources": [
        {"address": "aws_lambda_function.worker", "expressions": {"filename": filename}}]}});
    let more =
        [("resource_changes", archive("data.archive_file.code[0]", file)), ("configuration", configuration.clone())];
    let by_reference = plan_with_function(&json!({}), &more).unwrap();
    assert_eq!(by_reference.functions[0].code, CodeSource::Path("/app/lambda/app.py".into()));
    let error = plan_with_function(&json!({}), &[("configuration", configuration)]).unwrap_err().to_string();
    assert_eq!(
        error,
        "Resources.aws_lambda_function_worker.Properties.Code: aws_lambda_function.worker: its filename is known behind `terraform \
         apply` only: what `terraform show -json` writes behind one tells it"
    );
}

/// Of terraform-aws-modules/lambda.
#[test]
fn an_archive_that_a_module_is_about_to_build_is_known_by_its_plan() {
    let code = |steps: serde_json::Value| {
        let content = json!({"filename": "builds/ab.zip", "runtime": "python3.12", "build_plan": steps}).to_string();
        let file = json!({"address": "module.f.local_file.archive_plan[0]", "mode": "managed", "type": "local_file",
            "change": {"actions": ["create"], "after": {"content": content, "filename": "builds/ab.plan.json"}}});
        let function = json!({"filename": "builds/ab.zip"});
        plan_with_function(&function, &[("resource_changes", json!([file]))]).unwrap().functions[0].code.clone()
    };
    let archive = CodeSource::Path("/app/builds/ab.zip".into());
    assert_eq!(code(json!([[["zip", "src", null]]])), CodeSource::Path("/app/src".into()));
    assert_eq!(code(json!([[["set:filter", ["!x"]], ["zip", "src", null]]])), CodeSource::Path("/app/src".into()));
    // What the directory lacks is in the archive alone.
    assert_eq!(
        code(json!([[["pip", "python3.12", "src/requirements.txt", null, null], ["zip", "src", null]]])),
        archive
    );
    assert_eq!(code(json!([[["zip", "src", "vendor"]]])), archive);
    assert_eq!(code(json!([[["zip", "src", null]], [["zip", "lib", null]]])), archive);
}

/// As terraform-aws-modules/lambda and dynamodb-table have it: of a table one of two is made, and a local says whether there is a mapping.
#[test]
fn a_mapping_of_the_modules_has_the_stream_of_its_own_table() {
    let references = |names: &[&str]| json!({"references": names});
    let table = |module: &str| {
        let mut values = table_values();
        values["name"] = module.into();
        values["stream_arn"] = serde_json::Value::Null;
        resource(&format!("module.{module}.aws_dynamodb_table.this[0]"), values)
    };
    let names = ["aws_dynamodb_table.this", "aws_dynamodb_table.autoscaled"];
    let names = names.map(|name| [format!("{name}[0].stream_arn"), format!("{name}[0]"), name.to_owned()]).concat();
    let of_tables = json!({"module": {"outputs": {"stream": {"expression": {"references": names}}}}});
    let worker = json!({
        "expressions": {"event_source_mapping": references(&["module.orders.stream", "module.orders"])},
        "module": {"resources": [{
            "address": "aws_lambda_event_source_mapping.this",
            "expressions": {
                "event_source_arn": references(&["each.value"]),
                "function_name": references(&["aws_lambda_function.this[0].arn", "aws_lambda_function.this[0]", "aws_lambda_function.this"]),
            },
            "for_each_expression": references(&["local.create", "var.create_function", "var.event_source_mapping"]),
        }]},
    });
    let plan = plan_of(&json!({
        "terraform_version": "1.9.0",
        "planned_values": {"root_module": {"child_modules": [{"resources": [
            table("orders"), table("bills"),
            resource("module.worker.aws_lambda_function.this[0]", function_values()),
            resource("module.worker.aws_lambda_event_source_mapping.this[\"stream\"]", mapping_values()),
        ]}]}},
        "configuration": {"root_module": {"module_calls": {"orders": of_tables, "bills": of_tables, "worker": worker}}},
    }));
    let sources: Vec<&Source> = plan.mappings.iter().map(|mapping| &mapping.source).collect();
    assert_eq!(sources, [&Source::StreamOf("module_orders_aws_dynamodb_table_this_0".into())], "{:#?}", plan.skipped);
}

/// Which of two tables a key has, a plan does not say; nor what is in a local that is the user's own.
#[test]
fn a_mapping_that_may_have_the_stream_of_another_table_is_left_out() {
    let table = |key: &str| {
        let mut values = table_values();
        values["name"] = format!("orders-{key}").into();
        resource(&format!("aws_dynamodb_table.t[\"{key}\"]"), values)
    };
    let of_table =
        |key: &str| [format!("aws_dynamodb_table.t[\"{key}\"].stream_arn"), format!("aws_dynamodb_table.t[\"{key}\"]")];
    let mapping = |key: &str| resource(&format!("aws_lambda_event_source_mapping.m[\"{key}\"]"), mapping_values());
    for (references, tables) in [
        ([of_table("a"), of_table("b")].concat(), &["a", "b"][..]),
        ([vec!["local.enabled_streams".to_owned()], of_table("a").to_vec()].concat(), &["a"]),
    ] {
        let mut resources: Vec<serde_json::Value> = tables.iter().map(|key| table(key)).collect();
        resources.extend([resource("aws_lambda_function.f", function_values()), mapping("x"), mapping("y")]);
        let plan = plan_of(&json!({
            "terraform_version": "1.9.0",
            "planned_values": {"root_module": {"resources": resources}},
            "configuration": {"root_module": {"resources": [{
                "address": "aws_lambda_event_source_mapping.m",
                "expressions": {
                    "event_source_arn": {"references": ["each.value"]},
                    "function_name": {"references": ["aws_lambda_function.f.arn", "aws_lambda_function.f"]},
                },
                "for_each_expression": {"references": references},
            }]}},
        }));
        assert!(plan.mappings.is_empty(), "{references:?}: {:#?}", plan.mappings);
        assert_eq!(
            plan.skipped.iter().filter(|line| line.contains("aws_lambda_event_source_mapping.m")).count(),
            2,
            "{:#?}",
            plan.skipped
        );
    }
}
