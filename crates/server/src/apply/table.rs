//! One table of a template against the table that is there: what stops the start, what is changed, what is told. Pure.

use tailrace_api::tables::{
    AttributeDefinition, BillingMode, CreateTableRequest, KeySchemaElement, KeyType, OnDemandThroughput,
    ProvisionedThroughput, StreamSpecification, TableClass, TableDescription, UpdateTableRequest, WarmThroughput,
};
use tailrace_core::ViewType;
use tailrace_core::key::ScalarType;
use tailrace_template as template;
use tailrace_template::TablePlan;

/// What a table needs to become what the template says.
#[derive(Debug, Default, PartialEq)]
pub struct Changes {
    /// Requests of UpdateTable, in order.
    pub updates: Vec<UpdateTableRequest>,
    /// What is told: one line each.
    pub notices: Vec<String>,
}

/// Compares the plan with the description of the table that is there.
///
/// # Errors
/// One line: the table cannot become what the template says without a loss.
pub fn changes(table: &TablePlan, there: &TableDescription) -> Result<Changes, String> {
    let (name, at) = (&table.name, format!("Resources.{}.Properties", table.logical_id));
    let request = create_request(table);
    let has = key(
        there.key_schema.as_deref().unwrap_or_default(),
        there.attribute_definitions.as_deref().unwrap_or_default(),
    );
    let wants = key(&request.key_schema, &request.attribute_definitions);
    if has != wants {
        return Err(format!(
            "{at}.KeySchema: the key of the table {name} is {has}, and the template asks for {wants}; a key cannot be \
             changed: delete the table with its items, or name another table in the template"
        ));
    }
    let mut changes = Changes::default();
    match (view(there.stream_specification), view(request.stream_specification)) {
        (Some(has), Some(wants)) if has != wants => {
            let (has, wants) = (has.name(), wants.name());
            return Err(format!(
                "{at}.StreamSpecification.StreamViewType: the stream of the table {name} is {has}, and the template asks for \
                 {wants}; that takes a new stream, and cuts the readers of this one off: write {has} in the template, or \
                 disable the stream first (UpdateTable with StreamEnabled false)"
            ));
        }
        (Some(has), None) => changes.notices.push(format!(
            "{at}: the table {name} has a stream ({}) that the template does not ask for; it is kept",
            has.name()
        )),
        _ => {}
    }
    changes.updates = updates(table, &request, there);
    match warm(request.warm_throughput, there) {
        Warm::Enough => {}
        Warm::More => {
            let notice = format!("{at}.WarmThroughput: the table {name} has more; it cannot be decreased, and is kept");
            changes.notices.push(notice);
        }
        Warm::Less(wants) => {
            changes.updates.push(UpdateTableRequest { warm_throughput: Some(wants), ..UpdateTableRequest::of(name) });
        }
    }
    Ok(changes)
}

/// One request for each thing that differs: the API takes few of them together.
fn updates(table: &TablePlan, request: &CreateTableRequest, there: &TableDescription) -> Vec<UpdateTableRequest> {
    let mut updates = Vec::new();
    let none = || UpdateTableRequest::of(&table.name);
    let on_demand = |mode: Option<BillingMode>| mode == Some(BillingMode::PayPerRequest);
    let on_demand_there = on_demand(there.billing_mode_summary.as_ref().map(|summary| summary.billing_mode));
    let (billing_mode, provisioned_throughput) = (request.billing_mode, request.provisioned_throughput);
    let units = &there.provisioned_throughput;
    let has = ProvisionedThroughput {
        read_capacity_units: units.read_capacity_units,
        write_capacity_units: units.write_capacity_units,
    };
    match (on_demand(billing_mode), on_demand_there) {
        (true, false) => updates.push(UpdateTableRequest { billing_mode, ..none() }),
        (false, true) => updates.push(UpdateTableRequest { billing_mode, provisioned_throughput, ..none() }),
        (false, false) if table.provisioned_throughput.is_some() && provisioned_throughput != Some(has) => {
            updates.push(UpdateTableRequest { provisioned_throughput, ..none() });
        }
        _ => {}
    }
    let class_there = there.table_class_summary.as_ref().map_or(TableClass::Standard, |summary| summary.table_class);
    if request.table_class.is_some_and(|class| class != class_there) {
        updates.push(UpdateTableRequest { table_class: request.table_class, ..none() });
    }
    let limits = there.on_demand_throughput.clone().unwrap_or_default();
    let holds = |wants: Option<i64>, has: Option<i64>| wants.is_none() || wants == has;
    if request.on_demand_throughput.is_some_and(|wants| {
        !holds(wants.max_read_request_units, limits.max_read_request_units)
            || !holds(wants.max_write_request_units, limits.max_write_request_units)
    }) {
        updates.push(UpdateTableRequest { on_demand_throughput: request.on_demand_throughput, ..none() });
    }
    if request.deletion_protection_enabled.is_some_and(|wants| wants != there.deletion_protection_enabled) {
        let deletion_protection_enabled = request.deletion_protection_enabled;
        updates.push(UpdateTableRequest { deletion_protection_enabled, ..none() });
    }
    if request.stream_specification.is_some() && view(there.stream_specification).is_none() {
        updates.push(UpdateTableRequest { stream_specification: request.stream_specification, ..none() });
    }
    updates
}

/// The warm throughput of the table that is there, beside what the template asks for.
enum Warm {
    /// It is what the template asks for, or that asks for nothing.
    Enough,
    /// Something of it is more.
    More,
    /// Something of it is less: what to ask for.
    Less(WarmThroughput),
}

fn warm(wants: Option<WarmThroughput>, there: &TableDescription) -> Warm {
    let (Some(wants), Some(has)) = (wants, &there.warm_throughput) else { return Warm::Enough };
    // A member that is left out is asked for with its least value.
    let read = wants.read_units_per_second.unwrap_or(has.read_units_per_second);
    let write = wants.write_units_per_second.unwrap_or(has.write_units_per_second);
    if read < has.read_units_per_second || write < has.write_units_per_second {
        Warm::More
    } else if read > has.read_units_per_second || write > has.write_units_per_second {
        Warm::Less(WarmThroughput { read_units_per_second: Some(read), write_units_per_second: Some(write) })
    } else {
        Warm::Enough
    }
}

fn view(specification: Option<StreamSpecification>) -> Option<ViewType> {
    specification.filter(|stream| stream.stream_enabled).and_then(|stream| stream.stream_view_type)
}

/// The key of a description or of a request, for a reader: `a (S, HASH), b (N, RANGE)`.
fn key(elements: &[KeySchemaElement], definitions: &[AttributeDefinition]) -> String {
    let element = |element: &KeySchemaElement| {
        let name = &element.attribute_name;
        let definition = definitions.iter().find(|definition| definition.attribute_name == *name);
        let kind = definition.map_or("?", |definition| definition.attribute_type.name());
        format!("{name} ({kind}, {})", element.key_type.name())
    };
    elements.iter().map(element).collect::<Vec<_>>().join(", ")
}

/// The CreateTable request of a plan.
pub fn create_request(table: &TablePlan) -> CreateTableRequest {
    let key_schema = table.key_schema.iter().map(|(name, role)| KeySchemaElement {
        attribute_name: name.clone(),
        key_type: match role {
            template::KeyType::Hash => KeyType::Hash,
            template::KeyType::Range => KeyType::Range,
        },
    });
    let attribute_definitions = table.attribute_definitions.iter().map(|(name, kind)| AttributeDefinition {
        attribute_name: name.clone(),
        attribute_type: match kind {
            template::AttributeType::S => ScalarType::S,
            template::AttributeType::N => ScalarType::N,
            template::AttributeType::B => ScalarType::B,
        },
    });
    let (billing_mode, provisioned_throughput) = match table.pay_per_request {
        true => (BillingMode::PayPerRequest, None),
        false => {
            let (read, write) = table.provisioned_throughput.unwrap_or((5, 5));
            let units = |units: u64| i64::try_from(units).unwrap_or(i64::MAX);
            let throughput =
                ProvisionedThroughput { read_capacity_units: units(read), write_capacity_units: units(write) };
            (BillingMode::Provisioned, Some(throughput))
        }
    };
    let on_demand = OnDemandThroughput {
        max_read_request_units: table.on_demand.read,
        max_write_request_units: table.on_demand.write,
    };
    let warm = WarmThroughput { read_units_per_second: table.warm.read, write_units_per_second: table.warm.write };
    CreateTableRequest {
        table_name: table.name.clone(),
        key_schema: key_schema.collect(),
        attribute_definitions: attribute_definitions.collect(),
        billing_mode: Some(billing_mode),
        provisioned_throughput,
        stream_specification: table.stream.map(|view| {
            StreamSpecification::enabled(match view {
                template::ViewType::KeysOnly => ViewType::KeysOnly,
                template::ViewType::NewImage => ViewType::NewImage,
                template::ViewType::OldImage => ViewType::OldImage,
                template::ViewType::NewAndOldImages => ViewType::NewAndOldImages,
            })
        }),
        table_class: table.class.and_then(TableClass::parse),
        deletion_protection_enabled: table.deletion_protection,
        on_demand_throughput: (!on_demand.is_empty()).then_some(on_demand),
        warm_throughput: (!warm.is_empty()).then_some(warm),
        ..CreateTableRequest::default()
    }
}
