//! From tokens to the tree of a statement.
//!
//! A parser by hand: each rule is a function, operators bind by precedence (`expression`). The words of a fault are those of the
//! rule that could not go on.

mod expression;

use tailrace_core::AttributeValue;
use tailrace_core::expr::too_many_operators;
use tailrace_core::limits::EXPRESSION_OPERATORS_MAX;

use crate::bind;
use crate::error::{At, Malformed, StatementError};
use crate::keywords::is_keyword;
use crate::lexer::{Kind, Token, tokens};
use crate::statement::{Returning, Statement};
use crate::syntax::{Expr, RawAction, RawSelect, RawStatement, Source, Step, Term};

/// A statement whose parameters are not put in yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    raw: RawStatement,
    parameters: usize,
}

impl Parsed {
    /// Reads a text.
    ///
    /// # Errors
    /// It is no statement.
    pub fn parse(text: &str) -> Result<Parsed, StatementError> {
        let mut parser = Parser { tokens: tokens(text)?, at: 0, parameters: 0, operators: 0, depth: 0 };
        let raw = parser.statement()?;
        Ok(Parsed { raw, parameters: parser.parameters })
    }

    /// The table that it names.
    pub fn table(&self) -> &str {
        match &self.raw {
            RawStatement::Select(select) | RawStatement::Exists(select) => &select.source.table,
            RawStatement::Insert { source, .. }
            | RawStatement::Update { source, .. }
            | RawStatement::Delete { source, .. } => &source.table,
        }
    }

    /// Whether it only reads. `EXISTS` is a condition of a transaction of writes.
    pub fn is_read(&self) -> bool {
        matches!(self.raw, RawStatement::Select(_))
    }

    /// The statement with these parameters, of which there may be more than it has places for.
    ///
    /// # Errors
    /// There are too few, or an expression is wrong.
    pub fn bind(&self, parameters: &[AttributeValue]) -> Result<Statement, StatementError> {
        if self.parameters > parameters.len() {
            return Err(StatementError::ParameterCount);
        }
        bind::statement(&self.raw, parameters)
    }
}

/// Reads tokens in their order. Nothing but expressions recurses.
struct Parser {
    /// The last is [`Kind::End`].
    tokens: Vec<Token>,
    at: usize,
    parameters: usize,
    operators: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.at]
    }

    fn take(&mut self) -> Token {
        let token = self.tokens[self.at].clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn accept_word(&mut self, keyword: &str) -> bool {
        let found = self.peek().is_word(keyword);
        if found {
            self.take();
        }
        found
    }

    fn accept_sign(&mut self, sign: &str) -> bool {
        let found = self.peek().is_sign(sign);
        if found {
            self.take();
        }
        found
    }

    fn expect_word(&mut self, keyword: &str, as_written: &'static str) -> Result<(), Malformed> {
        if self.accept_word(keyword) { Ok(()) } else { Err(Malformed::ExpectedKeyword(as_written)) }
    }

    fn expect_sign(&mut self, sign: &'static str) -> Result<(), Malformed> {
        if self.accept_sign(sign) { Ok(()) } else { Err(Malformed::Expected(sign)) }
    }

    /// A name: quoted, or a word that is no keyword.
    fn accept_name(&mut self) -> Option<String> {
        let name = match &self.peek().kind {
            Kind::Quoted(name) => name.clone(),
            Kind::Word(word) if !is_keyword(word) => word.clone(),
            _ => return None,
        };
        self.take();
        Some(name)
    }

    /// Counts an operator or a function.
    fn count(&mut self) -> Result<(), StatementError> {
        self.operators += 1;
        if self.operators > EXPRESSION_OPERATORS_MAX {
            return Err(too_many_operators(tailrace_core::expr::ExprKind::Statement).into());
        }
        Ok(())
    }

    fn statement(&mut self) -> Result<RawStatement, StatementError> {
        let raw = if self.accept_word("insert") {
            self.insert()?
        } else if self.accept_word("update") {
            self.update()?
        } else if self.accept_word("delete") {
            self.delete()?
        } else if self.accept_word("from") {
            self.from()?
        } else if self.accept_word("create") || self.accept_word("drop") {
            return self.definition();
        } else if self.accept_word("exec") || self.accept_word("execute") {
            return Err(StatementError::UnsupportedOperation("Exec"));
        } else {
            self.query()?
        };
        self.end()?;
        Ok(raw)
    }

    fn end(&mut self) -> Result<(), Malformed> {
        if self.accept_sign(";") {
            return if self.peek().kind == Kind::End { Ok(()) } else { Err(Malformed::AfterSemicolon) };
        }
        if self.peek().kind == Kind::End { Ok(()) } else { Err(Malformed::AfterExpression) }
    }

    fn definition(&mut self) -> Result<RawStatement, StatementError> {
        let drops = self.tokens[self.at - 1].is_word("drop");
        if self.accept_word("table") && self.accept_name().is_some() {
            return Err(StatementError::UnsupportedOperation(if drops { "DropTable" } else { "CreateTable" }));
        }
        if self.accept_word("index") {
            return Err(StatementError::UnsupportedOperation(if drops { "DropIndex" } else { "CreateIndex" }));
        }
        Err(Malformed::UnexpectedKeyword.into())
    }

    /// `SELECT`, perhaps in parentheses, or `EXISTS(SELECT ...)`.
    fn query(&mut self) -> Result<RawStatement, StatementError> {
        if self.accept_word("select") {
            return Ok(RawStatement::Select(self.select()?));
        }
        if self.peek().is_sign("(") && self.tokens[self.at + 1].is_word("select") {
            self.at += 2;
            let select = self.select()?;
            self.expect_sign(")")?;
            return Ok(RawStatement::Select(select));
        }
        let expr = self.expression()?;
        self.end()?;
        match expr.term {
            Term::Exists(select) => Ok(RawStatement::Exists(*select)),
            other => Err(StatementError::UnsupportedOperation(other.name())),
        }
    }

    /// Behind the word `SELECT`.
    fn select(&mut self) -> Result<RawSelect, StatementError> {
        if self.accept_word("distinct") {
            return Err(StatementError::UnsupportedToken { name: "DISTINCT".to_owned(), place: At::default() });
        }
        self.accept_word("all");
        if self.accept_word("value") || self.accept_word("pivot") {
            return Err(StatementError::ValueProjection);
        }
        let columns = if self.accept_sign("*") { None } else { Some(self.columns()?) };
        self.expect_word("from", "FROM")?;
        let source = self.select_source()?;
        let condition = self.condition()?;
        if self.peek().is_word("group") {
            return Err(StatementError::UnsupportedClause { name: "GROUP BY", place: At::default() });
        }
        self.refuse_clause("having", "HAVING")?;
        let order = self.order()?;
        self.refuse_clause("limit", "LIMIT")?;
        self.refuse_clause("offset", "OFFSET")?;
        Ok(RawSelect { columns, source, condition, order })
    }

    /// Refuses a clause of the language that the service does not have, and names the place of what it says.
    fn refuse_clause(&mut self, word: &str, name: &'static str) -> Result<(), StatementError> {
        if !self.accept_word(word) {
            return Ok(());
        }
        let place = self.expression()?.place;
        Err(StatementError::UnsupportedClause { name, place: At(Some(place)) })
    }

    fn columns(&mut self) -> Result<Vec<Expr>, StatementError> {
        let mut columns = Vec::new();
        loop {
            columns.push(self.expression()?);
            if self.accept_word("as") || self.accept_name().is_some() {
                return Err(StatementError::Aliasing);
            }
            if !self.accept_sign(",") {
                return Ok(columns);
            }
        }
    }

    fn select_source(&mut self) -> Result<Source, StatementError> {
        let expr = self.expression()?;
        if self.peek().is_sign(",")
            || ["join", "inner", "left", "right", "full", "outer", "cross"].iter().any(|w| self.peek().is_word(w))
        {
            return Err(StatementError::SeveralSources);
        }
        if self.accept_word("as") || self.accept_word("at") || self.accept_word("by") || self.accept_name().is_some() {
            return Err(StatementError::Aliasing);
        }
        let Term::Path(steps) = expr.term else { return Err(StatementError::UnexpectedSource) };
        source(steps)
    }

    fn condition(&mut self) -> Result<Option<Expr>, StatementError> {
        if self.accept_word("where") { self.expression().map(Some) } else { Ok(None) }
    }

    fn order(&mut self) -> Result<Vec<(Expr, bool)>, StatementError> {
        let mut order = Vec::new();
        if !self.accept_word("order") {
            return Ok(order);
        }
        self.expect_word("by", "BY")?;
        loop {
            let key = self.expression()?;
            let descending = self.accept_word("desc");
            if !descending {
                self.accept_word("asc");
            }
            // Every key has a value, so there is nothing that could come first or last.
            if self.accept_word("nulls") && !self.accept_word("first") && !self.accept_word("last") {
                return Err(Malformed::ExpectedKeyword("FIRST").into());
            }
            order.push((key, descending));
            if !self.accept_sign(",") {
                return Ok(order);
            }
        }
    }

    /// The table of a write.
    fn target(&mut self) -> Result<Source, StatementError> {
        let steps = self.simple_path()?;
        if self.accept_word("as") || self.accept_name().is_some() {
            return Err(StatementError::Aliasing);
        }
        source(steps)
    }

    fn insert(&mut self) -> Result<RawStatement, StatementError> {
        let place = self.tokens[self.at - 1].place;
        self.expect_word("into", "INTO")?;
        let steps = self.simple_path()?;
        if !self.accept_word("value") {
            // Values in parentheses, or a bag: several items at once.
            self.accept_word("values");
            self.expression()?;
            self.end()?;
            return Err(StatementError::UnsupportedOperation("InsertOp"));
        }
        let item = self.expression()?;
        if self.accept_word("at") {
            return Err(StatementError::InsertAt(place));
        }
        if self.peek().is_word("returning") {
            return Err(StatementError::InsertReturning);
        }
        Ok(RawStatement::Insert { source: source(steps)?, item })
    }

    fn update(&mut self) -> Result<RawStatement, StatementError> {
        let source = self.target()?;
        let actions = self.actions()?;
        let condition = self.condition()?;
        let returning = self.returning()?;
        Ok(RawStatement::Update { source, actions, condition, returning })
    }

    /// `FROM t WHERE ... SET ...`: an update in another order.
    fn from(&mut self) -> Result<RawStatement, StatementError> {
        let source = self.target()?;
        let condition = self.condition()?;
        let actions = self.actions()?;
        let returning = self.returning()?;
        Ok(RawStatement::Update { source, actions, condition, returning })
    }

    fn delete(&mut self) -> Result<RawStatement, StatementError> {
        self.expect_word("from", "FROM")?;
        let source = self.target()?;
        let condition = self.condition()?;
        let returning = self.returning()?;
        Ok(RawStatement::Delete { source, condition, returning })
    }

    /// One clause or more, of any kind in any order; `SET` may set several paths.
    fn actions(&mut self) -> Result<Vec<RawAction>, StatementError> {
        let mut actions = Vec::new();
        loop {
            if self.accept_word("set") {
                loop {
                    let target = self.simple_path()?;
                    self.expect_sign("=")?;
                    actions.push(RawAction::Set(target, self.expression()?));
                    if !self.accept_sign(",") {
                        break;
                    }
                }
            } else if self.accept_word("remove") {
                actions.push(RawAction::Remove(self.simple_path()?));
            } else if actions.is_empty() {
                return Err(Malformed::ExpectedDml.into());
            } else {
                return Ok(actions);
            }
        }
    }

    fn returning(&mut self) -> Result<Option<Returning>, StatementError> {
        if !self.accept_word("returning") {
            return Ok(None);
        }
        let all = self.accept_word("all");
        if !all {
            self.expect_word("modified", "ALL or MODIFIED")?;
        }
        let old = self.accept_word("old");
        if !old {
            self.expect_word("new", "OLD or NEW")?;
        }
        if !self.accept_sign("*") {
            self.expression()?;
            return Err(StatementError::ReturningStar);
        }
        if self.peek().is_sign(",") {
            return Err(StatementError::ReturningSeveral);
        }
        Ok(Some(match (all, old) {
            (true, true) => Returning::AllOld,
            (true, false) => Returning::AllNew,
            (false, true) => Returning::ModifiedOld,
            (false, false) => Returning::ModifiedNew,
        }))
    }

    fn simple_path(&mut self) -> Result<Vec<Step>, StatementError> {
        let name = self.accept_name().ok_or(Malformed::ExpectedPath)?;
        self.steps(name)
    }
}

/// What a path in the place of a table means.
fn source(steps: Vec<Step>) -> Result<Source, StatementError> {
    let mut names = steps.into_iter().map(|step| match step {
        Step::Name(name) => Ok(name),
        Step::Index(_) | Step::All => Err(StatementError::UnexpectedSource),
    });
    let table = names.next().expect("invariant: a path has a name")?;
    let index = names.next().transpose()?;
    if names.next().is_some() {
        return Err(StatementError::LongSource);
    }
    Ok(Source { table, index })
}
