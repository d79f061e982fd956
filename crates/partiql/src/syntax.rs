//! A statement as it was written: the tree that the parser makes, with places, before parameters are put in.

use std::fmt;

use tailrace_core::AttributeValue;
use tailrace_core::expr::Comparison;

use crate::statement::Returning;

/// Where something stands in the text; printed `line:column:length`. Lines and columns begin at 1 and count characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
    /// How many characters.
    pub length: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.line, self.column, self.length)
    }
}

/// An expression with its place: of an operator, that of the operator itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expr {
    pub place: Place,
    pub term: Term,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Term {
    /// A name and the steps below it.
    Path(Vec<Step>),
    /// A string, number, boolean or null.
    Value(AttributeValue),
    /// A literal in backquotes: the name of its type.
    Ion(&'static str),
    Missing,
    /// The parameter of this index.
    Parameter(usize),
    List(Vec<Expr>),
    /// Values in parentheses: several, or one to which something in parentheses comes down.
    Row(Vec<Expr>),
    Bag(Vec<Expr>),
    Struct(Vec<(Expr, Expr)>),
    Call {
        name: String,
        operands: Vec<Expr>,
    },
    /// `EXISTS(SELECT ...)`.
    Exists(Box<RawSelect>),
    Not(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Compare(Comparison, Box<[Expr; 2]>),
    In(Box<[Expr; 2]>),
    Between(Box<[Expr; 3]>),
    /// The type's name in capitals.
    Is(Box<Expr>, String),
    /// Any other operator between two operands.
    Infix(&'static str, Box<[Expr; 2]>),
    /// `+` or `-` before something that is no number.
    Sign(&'static str, Box<Expr>),
}

/// A step of a path.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    Name(String),
    Index(u32),
    /// `.*`
    All,
}

impl Term {
    /// What it is called where it is not wanted.
    pub fn name(&self) -> &'static str {
        match self {
            Term::Path(steps) if steps.len() == 1 => "Id",
            Term::Path(_) => "Path",
            Term::Value(_) | Term::Ion(_) => "Lit",
            Term::Missing => "Missing",
            Term::Parameter(_) => "Parameter",
            Term::List(_) | Term::Row(_) => "List",
            Term::Bag(_) => "Bag",
            Term::Struct(_) => "Struct",
            Term::Call { .. } => "Call",
            Term::Exists(_) => "Exists",
            Term::Not(_) => "Not",
            Term::And(_) => "And",
            Term::Or(_) => "Or",
            Term::Compare(comparison, _) => comparison.symbol(),
            Term::In(_) => "InCollection",
            Term::Between(_) => "Between",
            Term::Is(..) => "IsType",
            Term::Infix(operator, _) | Term::Sign(operator, _) => operator,
        }
    }
}

/// A table, or a table and an index.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Source {
    pub table: String,
    pub index: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RawSelect {
    /// `None`: `*`.
    pub columns: Option<Vec<Expr>>,
    pub source: Source,
    pub condition: Option<Expr>,
    /// Keys, and whether they descend.
    pub order: Vec<(Expr, bool)>,
}

/// `SET path = value`, or `REMOVE path`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RawAction {
    Set(Vec<Step>, Expr),
    Remove(Vec<Step>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RawStatement {
    Select(RawSelect),
    Insert { source: Source, item: Expr },
    Update { source: Source, actions: Vec<RawAction>, condition: Option<Expr>, returning: Option<Returning> },
    Delete { source: Source, condition: Option<Expr>, returning: Option<Returning> },
    Exists(RawSelect),
}
