//! Tables of Amplify, as `@aws-amplify/graphql-model-transformer` synthesises them.

use super::*;

/// A model's stack: its API is beside it, or its id is handed over.
const MODEL: &str = r#"{
 "Parameters": {"Billing": {"Type": "String", "Default": "PAY_PER_REQUEST"}},
 "Conditions": {"OnDemand": {"Fn::Equals": [{"Ref": "Billing"}, "PAY_PER_REQUEST"]}},
 "Resources": {
  "Api": {"Type": "AWS::AppSync::GraphQLApi", "Properties": {"Name": "data"}},
  "TodoTable": {"Type": "Custom::AmplifyDynamoDBTable", "Properties": {
   "ServiceToken": {"Fn::GetAtt": ["Provider", "Arn"]},
   "tableName": {"Fn::Join": ["", ["Todo-", {"Fn::GetAtt": ["Api", "ApiId"]}, "-NONE"]]},
   "attributeDefinitions": [{"attributeName": "id", "attributeType": "S"}, {"attributeName": "owner", "attributeType": "S"}],
   "keySchema": [{"attributeName": "id", "keyType": "HASH"}],
   "globalSecondaryIndexes": [{"indexName": "byOwner", "keySchema": [{"attributeName": "owner", "keyType": "HASH"}],
    "projection": {"projectionType": "ALL"},
    "provisionedThroughput": {"Fn::If": ["OnDemand", {"Ref": "AWS::NoValue"}, {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}]}}],
   "billingMode": {"Fn::If": ["OnDemand", "PAY_PER_REQUEST", {"Ref": "AWS::NoValue"}]},
   "provisionedThroughput": {"Fn::If": ["OnDemand", {"Ref": "AWS::NoValue"}, {"readCapacityUnits": 5, "writeCapacityUnits": 5}]},
   "sseSpecification": {"sseEnabled": false},
   "streamSpecification": {"streamViewType": "NEW_AND_OLD_IMAGES"},
   "timeToLiveSpecification": {"attributeName": "_ttl", "enabled": true},
   "deletionProtectionEnabled": false,
   "allowDestructiveGraphqlSchemaUpdates": true,
   "replaceTableUponGsiUpdate": true,
   "isImported": false}},
  "Provider": {"Type": "AWS::Lambda::Function", "Properties": {"Code": {"ZipFile": "x"}, "Handler": "index.h", "Runtime": "nodejs20.x"}},
  "F": {"Type": "AWS::Lambda::Function", "Properties": {"Code": {"ZipFile": "x"}, "Handler": "index.h", "Runtime": "nodejs20.x",
   "Environment": {"Variables": {"NAME": {"Fn::GetAtt": ["TodoTable", "TableName"]}, "ARN": {"Fn::GetAtt": ["TodoTable", "TableArn"]}}}}},
  "M": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": {"FunctionName": {"Ref": "F"}, "StartingPosition": "LATEST",
   "EventSourceArn": {"Fn::GetAtt": ["TodoTable", "TableStreamArn"]}}}
 }
}"#;

#[test]
fn a_table_of_amplify_is_a_table() {
    let plan = plan(MODEL);
    let [table] = plan.tables.as_slice() else { panic!("{:?}", plan.tables) };
    assert_eq!(
        (table.name(), table.stream(), table.is_on_demand()),
        ("Todo-tailrace00-NONE", Some(ViewType::NewAndOldImages), true)
    );
    assert_eq!(table.request.key_schema, [key("id", KeyType::Hash)]);
    assert_eq!(
        table.request.attribute_definitions,
        [attribute("id", ScalarType::S), attribute("owner", ScalarType::S)]
    );
    let index = &table.request.global_secondary_indexes.as_ref().unwrap()[0];
    assert_eq!((index.index_name.as_str(), &index.key_schema[..]), ("byOwner", &[key("owner", KeyType::Hash)][..]));
    assert_eq!(table.settings.time_to_live.as_ref().map(|ttl| ttl.attribute_name.as_str()), Some("_ttl"));
    assert_eq!(plan.mappings[0].source, Source::StreamOf("TodoTable".into()));
    let variable =
        |name: &str| plan.functions.iter().find(|one| one.name == "F").unwrap().environment[name].as_literal();
    assert_eq!(variable("NAME").as_deref(), Some("Todo-tailrace00-NONE"));
    assert_eq!(variable("ARN").as_deref(), Some("arn:aws:dynamodb:us-east-1:000000000000:table/Todo-tailrace00-NONE"));
    let told = "Resources.TodoTable.Properties.TableName: \"Todo-tailrace00-NONE\" is made of a stand-in for Api.ApiId \
                (AWS::AppSync::GraphQLApi); give it with --resource Api.ApiId=VALUE";
    assert!(plan.skipped.iter().any(|line| line == told), "{:#?}", plan.skipped);
    assert!(!plan.skipped.iter().any(|line| line.contains("not known")), "{:#?}", plan.skipped);
    let mut options = Options::default();
    options.resources.insert("Api.ApiId".to_owned(), "abc".to_owned());
    assert_eq!(plan_with(MODEL, &options).unwrap().tables[0].name(), "Todo-abc-NONE");
}

#[test]
fn units_of_a_table_of_amplify_hang_on_its_condition() {
    let mut options = Options::default();
    options.parameters.insert("Billing".to_owned(), "PROVISIONED".to_owned());
    let plan = plan_with(MODEL, &options).unwrap();
    let five = ProvisionedThroughput { read_capacity_units: 5, write_capacity_units: 5 };
    assert_eq!(plan.tables[0].request.provisioned_throughput, Some(five));
    assert_eq!(plan.tables[0].request.global_secondary_indexes.as_ref().unwrap()[0].provisioned_throughput, Some(five));
}
