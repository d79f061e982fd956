//! What is wrong with a statement, in the exact words of the service; always a ValidationException.
//! Source: docs/spec/dynamodb-api.md 7.3; where that is silent, the words are those of DynamoDB Local.

use tailrace_core::ApiError;
use tailrace_core::expr::ExprError;

use crate::syntax::Place;

/// Why a statement is not one, or not one of those that the service runs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// The text is no PartiQL.
    #[error("Statement wasn't well formed, can't be processed: {0}")]
    Malformed(Malformed),
    /// An expression, or something else that is no statement on items.
    #[error("Unsupported operation: {0}")]
    UnsupportedOperation(&'static str),
    /// A clause that the service does not have.
    #[error("Unsupported clause: {name}{place}")]
    UnsupportedClause {
        /// The clause.
        name: &'static str,
        /// ` at ` and where, or nothing.
        place: At,
    },
    /// A part of an expression that the service does not have.
    #[error("Unsupported token in expression: {name}{place}")]
    UnsupportedToken {
        /// The part.
        name: String,
        /// ` at ` and where, or nothing.
        place: At,
    },
    /// A column that is no path.
    #[error("Unexpected path component at {0}")]
    UnexpectedPathComponent(Place),
    /// A function that there is not.
    #[error("Unrecognized function: {name} at {place}")]
    UnrecognizedFunction {
        /// As it was written.
        name: String,
        /// Where.
        place: Place,
    },
    /// A table, a column or a target with another name.
    #[error("Aliasing is not supported")]
    Aliasing,
    /// `SELECT VALUE`, `PIVOT`.
    #[error("Select projection doesn't support value or pivot keywords")]
    ValueProjection,
    /// `m.*`.
    #[error("Changing item's hierarchy while reading isn't supported")]
    Hierarchy,
    /// A join.
    #[error("Only select from a single table or index is supported.")]
    SeveralSources,
    /// What is read from is no name.
    #[error("Unexpected from source")]
    UnexpectedSource,
    /// What is read from is more than a table and an index.
    #[error("A path may contain at most 2 components in the FROM clause")]
    LongSource,
    /// Two columns would have one name.
    #[error("Duplicate identifiers in select clause: {0}")]
    DuplicateColumn(String),
    /// More `?` than parameters.
    #[error("Number of parameters in request and statement don't match.")]
    ParameterCount,
    /// `MISSING` without `IS`.
    #[error("MISSING must be compared using IS operator")]
    MissingCompared,
    /// `<<>>`.
    #[error("Empty bags are not supported")]
    EmptyBag,
    /// A set of something else than numbers, strings or binaries.
    #[error("Unsupported data type in Bag. DynamoDB only supports either numbers or strings in bags at {0}")]
    BagMember(Place),
    /// A set with equal members.
    #[error("Input collection contains duplicates")]
    DuplicateMember,
    /// A value that is none.
    #[error("Unsupported data type: {name} under key {under} at {place}")]
    NoValue {
        /// What it is.
        name: &'static str,
        /// The names down to it.
        under: String,
        /// Where.
        place: Place,
    },
    /// A literal of Ion.
    #[error("Ion Literals are not supported: {name} under key {under} at {place}")]
    Ion {
        /// The literal's type.
        name: &'static str,
        /// The names down to it.
        under: String,
        /// Where.
        place: Place,
    },
    /// A member of a struct whose name is no string.
    #[error("Tuple keys must be of type String. Actual type: {name} under {under} at {place}")]
    TupleKey {
        /// What it is.
        name: &'static str,
        /// The names down to the struct.
        under: String,
        /// Where.
        place: Place,
    },
    /// A member that stands twice in a struct.
    #[error("Duplicate keys in tuple. Key: {name} under {under} at {place}")]
    DuplicateTupleKey {
        /// The member.
        name: String,
        /// The names down to the struct.
        under: String,
        /// Where the second is.
        place: Place,
    },
    /// What is inserted is no struct.
    #[error(
        "Unsupported format in item expression. Please use struct format {{...}} to express item values for insert \
         statement. at {0}"
    )]
    ItemFormat(Place),
    /// `INSERT` with a `RETURNING`.
    #[error("RETURNING is not supported in INSERT")]
    InsertReturning,
    /// `INSERT` with an `AT`.
    #[error("AT is not supported in insert statements. at {0}")]
    InsertAt(Place),
    /// An operator that conditions do not have.
    #[error("Unsupported operator in Condition Expression. Operator: {0}")]
    ConditionOperator(&'static str),
    /// An operator that right-hand sides do not have.
    #[error("Unsupported operator in Update Expression. Operator: {0}")]
    UpdateOperator(&'static str),
    /// A condition that is none.
    #[error("WHERE clause must contain an expression that resolves to a boolean")]
    NoCondition,
    /// `AND` or `OR` of something that is no condition.
    #[error("The arguments to AND/OR must be Expressions")]
    NoConditionInside,
    /// `NOT` of something that is no condition.
    #[error("The argument to NOT must be a Type or Expression")]
    NoConditionNegated,
    /// `IN` without candidates that are written out.
    #[error(
        "IN operator must have a left hand argument of type Variable Reference and right hand argument of type Seq with \
         at least one member"
    )]
    InOperands,
    /// `IS` of something that has no type.
    #[error("The left hand side argument to IS must be a Variable Reference, Literal, or Path")]
    IsOperand,
    /// A type that no attribute has.
    #[error(
        "Unsupported data type for IS operator: {name}. Supported data types are [MISSING, NULL, BOOLEAN, BLOB, STRING, \
         NUMERIC, STRUCT, TUPLE, LIST] at {place}"
    )]
    IsType {
        /// The type.
        name: String,
        /// Where the operator is.
        place: Place,
    },
    /// A list index that is negative or too large.
    #[error("List index is not within the allowable range; index: [{index}] at {place}")]
    ListIndex {
        /// As it was written.
        index: String,
        /// Where.
        place: Place,
    },
    /// `set_add` or `set_delete` of another attribute than the one that is set.
    #[error("The first argument to {0} must equal the assignment value")]
    SetTarget(&'static str),
    /// `set_add` or `set_delete` of something that is no set.
    #[error("The second argument to {function} must be a value with type SET at {place}")]
    SetOperand {
        /// The function in capitals.
        function: &'static str,
        /// Where the first operand is.
        place: Place,
    },
    /// `RETURNING ALL OLD` of something else than `*`.
    #[error("Expected '*' after ( MODIFIED | ALL ) ( NEW | OLD ) in RETURNING clause")]
    ReturningStar,
    /// Several things returned.
    #[error("Invalid syntax with multiple returning elements in RETURNING clause")]
    ReturningSeveral,
    /// A `DELETE` returns nothing but the old item.
    #[error("Invalid returning clause: RETURNING {0} *. Only RETURNING ALL OLD * is allowed in DELETE statements.")]
    DeleteReturning(&'static str),
    /// `ORDER BY` something that is no name.
    #[error("Argument to ORDER BY must be of type VariableReference. Type: {0}")]
    OrderByType(&'static str),
    /// `EXISTS` where it may not be.
    #[error("EXISTS can only be used in ExecuteTransaction write requests.")]
    Exists,
    /// What the core says of an expression or a value.
    #[error("{0}")]
    Core(String),
}

/// ` at line:column:length`, or nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct At(pub Option<Place>);

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |place| write!(f, " at {place}"))
    }
}

/// How a text is no PartiQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A character that begins nothing.
    #[error("Unexpected character")]
    Character,
    /// A string, a name or a comment without an end.
    #[error("Unexpected end of statement")]
    Unclosed,
    /// `UPDATE t` without anything that is done.
    #[error("Expected data manipulation")]
    ExpectedDml,
    /// Nothing that an expression begins with.
    #[error("Unexpected term")]
    UnexpectedTerm,
    /// A keyword that no expression begins with.
    #[error("Unexpected keyword")]
    UnexpectedKeyword,
    /// An operator that no expression begins with.
    #[error("Unexpected operator")]
    UnexpectedOperator,
    /// Something behind the end.
    #[error("Unexpected token after expression")]
    AfterExpression,
    /// Something behind the semicolon.
    #[error("Unexpected token after semicolon. (Only one query is allowed.)")]
    AfterSemicolon,
    /// An operator at the end.
    #[error("Missing right-hand side expression of infix operator")]
    MissingRightHandSide,
    /// A target that does not begin with a name.
    #[error("Expected identifier for simple path")]
    ExpectedPath,
    /// Another word should be here.
    #[error("Expected {0} keyword")]
    ExpectedKeyword(&'static str),
    /// Another sign should be here.
    #[error("Expected {0}")]
    Expected(&'static str),
    /// It nests too deep.
    #[error("Nesting of expressions is too deep")]
    Nesting,
}

impl From<Malformed> for StatementError {
    fn from(malformed: Malformed) -> StatementError {
        StatementError::Malformed(malformed)
    }
}

impl From<ExprError> for StatementError {
    fn from(error: ExprError) -> StatementError {
        StatementError::Core(error.text)
    }
}

impl From<StatementError> for ApiError {
    fn from(error: StatementError) -> ApiError {
        ApiError::validation(error.to_string())
    }
}
