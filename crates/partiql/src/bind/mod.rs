//! From the tree of a statement to what the core runs: values with the parameters put in, conditions, updates, columns.
//!
//! The core's checked constructors find what is wrong with an operator's operands; what only PartiQL has is checked here.

mod condition;
mod update;
mod value;

use tailrace_core::AttributeValue;
use tailrace_core::expr::{Element, ExprKind, Path, Projection, checked_path};

use crate::error::StatementError;
use crate::statement::{Delete, Insert, Order, Returning, Select, Statement, Update};
use crate::syntax::{Expr, RawSelect, RawStatement, Source, Step, Term};

/// What the texts of the core call the place of an expression: nothing.
const KIND: ExprKind = ExprKind::Statement;

/// The parameters of a statement; there are enough.
#[derive(Clone, Copy)]
struct Binder<'p> {
    parameters: &'p [AttributeValue],
}

/// Makes a statement. There are enough parameters.
pub(crate) fn statement(raw: &RawStatement, parameters: &[AttributeValue]) -> Result<Statement, StatementError> {
    let binder = Binder { parameters };
    let named = |source: &Source| (source.table.clone(), source.index.clone());
    Ok(match raw {
        RawStatement::Select(select) => Statement::Select(binder.select(select)?),
        RawStatement::Exists(select) => Statement::Exists(binder.select(select)?),
        RawStatement::Insert { source, item } => {
            let (table, index) = named(source);
            Statement::Insert(Insert { table, index, item: binder.item(item)? })
        }
        RawStatement::Update { source, actions, condition, returning } => {
            let (table, index) = named(source);
            let update = binder.update(actions)?;
            let condition = condition.as_ref().map(|condition| binder.condition(condition)).transpose()?;
            Statement::Update(Update { table, index, update, condition, returning: *returning })
        }
        RawStatement::Delete { source, condition, returning } => {
            let (table, index) = named(source);
            let condition = condition.as_ref().map(|condition| binder.condition(condition)).transpose()?;
            match returning {
                None | Some(Returning::AllOld) => {}
                Some(other) => return Err(StatementError::DeleteReturning(other.text())),
            }
            Statement::Delete(Delete { table, index, condition, returning: returning.is_some() })
        }
    })
}

impl Binder<'_> {
    fn select(self, raw: &RawSelect) -> Result<Select, StatementError> {
        let projection = raw.columns.as_ref().map(|columns| projection(columns)).transpose()?;
        let condition = raw.condition.as_ref().map(|condition| self.condition(condition)).transpose()?;
        let order = raw.order.iter().map(|(key, descending)| match &key.term {
            Term::Path(steps) => match &steps[..] {
                [Step::Name(name)] => Ok(Order { name: name.clone(), descending: *descending }),
                _ => Err(StatementError::OrderByType("PATH")),
            },
            other => Err(StatementError::OrderByType(other.name())),
        });
        Ok(Select {
            table: raw.source.table.clone(),
            index: raw.source.index.clone(),
            projection,
            condition,
            order: order.collect::<Result<_, _>>()?,
        })
    }
}

/// Columns are paths; each has a name of its own in the answer.
fn projection(columns: &[Expr]) -> Result<Projection, StatementError> {
    let mut named: Vec<(String, Path)> = Vec::with_capacity(columns.len());
    for column in columns {
        let Term::Path(steps) = &column.term else {
            return Err(StatementError::UnexpectedPathComponent(column.place));
        };
        let path = path(steps)?;
        let name = column_name(&path);
        if named.iter().any(|(other, _)| *other == name) {
            return Err(StatementError::DuplicateColumn(name));
        }
        named.push((name, path));
    }
    Ok(Projection::named(named)?)
}

/// The last name of the path, with the indexes behind it: `m.a` is `a`, `m.l[0]` is `l[0]`.
fn column_name(path: &Path) -> String {
    let mut name = String::new();
    for element in path.elements() {
        match element {
            Element::Name(next) => name.clone_from(next),
            Element::Index(index) => name.push_str(&format!("[{index}]")),
        }
    }
    name
}

fn path(steps: &[Step]) -> Result<Path, StatementError> {
    let elements = steps.iter().map(|step| match step {
        Step::Name(name) => Ok(Element::Name(name.clone())),
        Step::Index(index) => Ok(Element::Index(*index)),
        Step::All => Err(StatementError::Hierarchy),
    });
    Ok(checked_path(KIND, elements.collect::<Result<_, _>>()?)?)
}
