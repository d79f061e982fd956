//! Sizes of values and items as the service counts them. Source: docs/spec/dynamodb-api.md 3.4.
//!
//! They decide what fits, what is charged and where pages end; they are not the sizes of stored bytes.

use crate::value::{AttributeValue, Item};

/// What a list or a map counts for in itself, bytes.
const CONTAINER_BYTES: usize = 3;
/// What each member of a list or a map counts for in itself, bytes.
const MEMBER_BYTES: usize = 1;

/// Size of an item, or of a key: names and values.
pub fn item_size(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + value_size(value)).sum()
}

/// Size of a value without its name.
pub fn value_size(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(number) => number.storage_size(),
        AttributeValue::B(bytes) => bytes.len(),
        AttributeValue::Bool(_) | AttributeValue::Null => 1,
        AttributeValue::Ss(members) => members.iter().map(String::len).sum(),
        AttributeValue::Ns(members) => members.iter().map(|number| number.storage_size()).sum(),
        AttributeValue::Bs(members) => members.iter().map(Vec::len).sum(),
        AttributeValue::L(elements) => {
            CONTAINER_BYTES + elements.iter().map(|element| MEMBER_BYTES + value_size(element)).sum::<usize>()
        }
        AttributeValue::M(members) => {
            let member = |(name, value): (&String, &AttributeValue)| MEMBER_BYTES + name.len() + value_size(value);
            CONTAINER_BYTES + members.iter().map(member).sum::<usize>()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute_json::read_item;
    use crate::json::Json;

    /// Rows of docs/spec/dynamodb-api.md 3.4.
    #[test]
    fn items_count_names_and_values() {
        for (item, size) in [
            (r#"{"shirt-color":{"S":"R"},"shirt-size":{"S":"M"}}"#, 23),
            (r#"{"pk":{"S":"a"},"n":{"N":"0"}}"#, 5),
            (r#"{"pk":{"S":"a"},"n":{"N":"-123"}}"#, 8),
            (r#"{"pk":{"S":"a"},"l":{"L":[]}}"#, 7),
            (r#"{"pk":{"S":"a"},"m":{"M":{"k":{"S":"vv"}}}}"#, 11),
            (r#"{"pk":{"S":"a"},"t":{"BOOL":true}}"#, 5),
            (r#"{"pk":{"S":"a"},"t":{"NULL":true}}"#, 5),
            (r#"{"pk":{"S":"é"},"b":{"B":"AAEC"}}"#, 8),
            (r#"{"s":{"SS":["a","bc"]},"n":{"NS":["1","-123"]},"b":{"BS":["AAEC"]}}"#, 4 + 7 + 4),
            (r#"{"l":{"L":[{"S":"ab"},{"L":[]}]}}"#, 1 + 3 + 3 + 4),
        ] {
            let item = read_item(Json::parse(item.as_bytes()).unwrap()).unwrap();
            assert_eq!(item_size(&item), size, "{item:?}");
        }
    }
}
