//! A statement that can be run: what it says of a table, in the core's types, with the parameters in it.

use tailrace_core::Item;
use tailrace_core::expr::{self, Node, Projection};

/// A statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// `SELECT`.
    Select(Select),
    /// `INSERT`.
    Insert(Insert),
    /// `UPDATE`.
    Update(Update),
    /// `DELETE`.
    Delete(Delete),
    /// `EXISTS(SELECT ...)`.
    Exists(Select),
}

/// `SELECT`.
#[derive(Clone, Debug, PartialEq)]
pub struct Select {
    /// The table.
    pub table: String,
    /// The index.
    pub index: Option<String>,
    /// The columns; `None`: `*`.
    pub projection: Option<Projection>,
    /// `WHERE`.
    pub condition: Option<Node>,
    /// `ORDER BY`, in written order.
    pub order: Vec<Order>,
}

/// One key of `ORDER BY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The attribute.
    pub name: String,
    /// `DESC`.
    pub descending: bool,
}

/// `INSERT`.
#[derive(Clone, Debug, PartialEq)]
pub struct Insert {
    /// The table.
    pub table: String,
    /// The index, which nothing can be written to.
    pub index: Option<String>,
    /// The item.
    pub item: Item,
}

/// `UPDATE`.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// The table.
    pub table: String,
    /// The index, which nothing can be written to.
    pub index: Option<String>,
    /// What is changed.
    pub update: expr::Update,
    /// `WHERE`.
    pub condition: Option<Node>,
    /// `RETURNING`.
    pub returning: Option<Returning>,
}

/// `DELETE`.
#[derive(Clone, Debug, PartialEq)]
pub struct Delete {
    /// The table.
    pub table: String,
    /// The index, which nothing can be written to.
    pub index: Option<String>,
    /// `WHERE`.
    pub condition: Option<Node>,
    /// The old item is returned.
    pub returning: bool,
}

/// `RETURNING`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returning {
    /// The item as it was.
    AllOld,
    /// The item as it is.
    AllNew,
    /// What the update names, as it was.
    ModifiedOld,
    /// What the update names, as it is.
    ModifiedNew,
}

impl Returning {
    /// As it is written.
    pub fn text(self) -> &'static str {
        match self {
            Returning::AllOld => "ALL OLD",
            Returning::AllNew => "ALL NEW",
            Returning::ModifiedOld => "MODIFIED OLD",
            Returning::ModifiedNew => "MODIFIED NEW",
        }
    }
}
