//! Expressions, by precedence: `OR`, `AND`, `NOT`, comparisons, `||`, sums, products, signs, then paths and values.
//!
//! Each level that is entered is counted, so a text cannot make it recurse deeper than the limit.

use tailrace_core::expr::Comparison;
use tailrace_core::limits::STATEMENT_NESTING_MAX;
use tailrace_core::{AttributeValue, Number};

use super::Parser;
use crate::error::{At, Malformed, StatementError};
use crate::keywords::is_keyword;
use crate::lexer::{Kind, Token};
use crate::syntax::{Expr, Place, Step, Term};

/// How strong operators bind.
const OR: u8 = 1;
const AND: u8 = 2;
const NOT: u8 = 3;
const COMPARE: u8 = 4;
const CONCATENATE: u8 = 5;
const ADD: u8 = 6;
const MULTIPLY: u8 = 7;

/// An operator behind an operand.
#[derive(Clone, Copy)]
enum Operator {
    Or,
    And,
    Compare(Comparison),
    In,
    Between,
    Is,
    Like,
    Infix(&'static str),
}

impl Parser {
    pub(super) fn expression(&mut self) -> Result<Expr, StatementError> {
        self.operation(OR)
    }

    /// An expression of operators that bind at least so strong.
    fn operation(&mut self, min: u8) -> Result<Expr, StatementError> {
        self.depth += 1;
        if self.depth > STATEMENT_NESTING_MAX {
            return Err(Malformed::Nesting.into());
        }
        let mut left = self.prefix()?;
        // A chain to the left nests in the tree, although nothing recurses here.
        let depth = self.depth;
        while let Some((operator, negated, strength)) = self.operator().filter(|(_, _, strength)| *strength >= min) {
            if !matches!(operator, Operator::Or | Operator::And) {
                self.depth += 1;
                if self.depth > STATEMENT_NESTING_MAX {
                    return Err(Malformed::Nesting.into());
                }
            }
            left = self.infix(left, operator, negated, strength)?;
        }
        self.depth = depth - 1;
        Ok(left)
    }

    /// The operator that stands here, whether it is negated, and how strong it binds.
    fn operator(&self) -> Option<(Operator, bool, u8)> {
        let word = |at: usize| match &self.tokens.get(at)?.kind {
            Kind::Word(word) => Some(word.to_ascii_lowercase()),
            _ => None,
        };
        let of_word = |word: &str| match word {
            "in" => Some(Operator::In),
            "between" => Some(Operator::Between),
            "like" => Some(Operator::Like),
            _ => None,
        };
        match &self.peek().kind {
            Kind::Sign(sign) => Some(match *sign {
                "=" => (Operator::Compare(Comparison::Equal), false, COMPARE),
                "<>" | "!=" => (Operator::Compare(Comparison::NotEqual), false, COMPARE),
                "<" => (Operator::Compare(Comparison::Less), false, COMPARE),
                "<=" => (Operator::Compare(Comparison::LessEqual), false, COMPARE),
                ">" => (Operator::Compare(Comparison::Greater), false, COMPARE),
                ">=" => (Operator::Compare(Comparison::GreaterEqual), false, COMPARE),
                "||" => (Operator::Infix("||"), false, CONCATENATE),
                "+" | "-" => (Operator::Infix(sign), false, ADD),
                "*" | "/" | "%" => (Operator::Infix(sign), false, MULTIPLY),
                _ => return None,
            }),
            Kind::Word(_) => match word(self.at)?.as_str() {
                "or" => Some((Operator::Or, false, OR)),
                "and" => Some((Operator::And, false, AND)),
                "is" => Some((Operator::Is, false, COMPARE)),
                "not" => of_word(&word(self.at + 1)?).map(|operator| (operator, true, COMPARE)),
                word => of_word(word).map(|operator| (operator, false, COMPARE)),
            },
            _ => None,
        }
    }

    /// What is behind `left`, whose operator stands here.
    fn infix(&mut self, left: Expr, operator: Operator, negated: bool, strength: u8) -> Result<Expr, StatementError> {
        self.count()?;
        if negated {
            self.take();
            self.count()?;
        }
        let place = self.take().place;
        if matches!(operator, Operator::Is) {
            return self.is(left, place);
        }
        if self.peek().kind == Kind::End {
            return Err(Malformed::MissingRightHandSide.into());
        }
        let right = self.operation(strength + 1)?;
        let term = match operator {
            Operator::Or => match left.term {
                Term::Or(mut operands) => {
                    operands.push(right);
                    Term::Or(operands)
                }
                _ => Term::Or(vec![left, right]),
            },
            Operator::And => match left.term {
                Term::And(mut operands) => {
                    operands.push(right);
                    Term::And(operands)
                }
                _ => Term::And(vec![left, right]),
            },
            Operator::Compare(comparison) => Term::Compare(comparison, Box::new([left, right])),
            Operator::In => Term::In(Box::new([left, right])),
            Operator::Between => {
                self.expect_word("and", "AND")?;
                Term::Between(Box::new([left, right, self.operation(strength + 1)?]))
            }
            Operator::Like => Term::Infix("like", Box::new([left, right])),
            Operator::Infix(sign) => Term::Infix(sign, Box::new([left, right])),
            Operator::Is => unreachable!("invariant: answered above"),
        };
        let expr = Expr { place, term };
        Ok(if negated { Expr { place, term: Term::Not(Box::new(expr)) } } else { expr })
    }

    /// Behind the word `IS`: the name of a type. Types that no attribute has are refused later, so their arguments are
    /// passed over.
    fn is(&mut self, left: Expr, place: Place) -> Result<Expr, StatementError> {
        let negated = self.accept_word("not");
        if negated {
            self.count()?;
        }
        let Kind::Word(word) = self.take().kind else { return Err(Malformed::UnexpectedTerm.into()) };
        let name = match word.to_ascii_uppercase().as_str() {
            "INT" | "INTEGER" => "INTEGER".to_owned(),
            "DEC" | "DECIMAL" => "DECIMAL".to_owned(),
            "BOOL" | "BOOLEAN" => "BOOLEAN".to_owned(),
            "CHAR" | "CHARACTER" if self.accept_word("varying") => "CHARACTER_VARYING".to_owned(),
            "CHAR" | "CHARACTER" => "CHARACTER".to_owned(),
            "VARCHAR" => "CHARACTER_VARYING".to_owned(),
            "DOUBLE" => {
                self.expect_word("precision", "PRECISION")?;
                "DOUBLE_PRECISION".to_owned()
            }
            name @ ("MISSING" | "NULL" | "BLOB" | "CLOB" | "STRING" | "NUMERIC" | "STRUCT" | "TUPLE" | "LIST"
            | "BAG" | "SEXP" | "SYMBOL" | "FLOAT" | "REAL" | "SMALLINT" | "DATE" | "TIME" | "TIMESTAMP") => {
                name.to_owned()
            }
            _ => return Err(Malformed::UnexpectedTerm.into()),
        };
        let expr = Expr { place, term: Term::Is(Box::new(left), name) };
        Ok(if negated { Expr { place, term: Term::Not(Box::new(expr)) } } else { expr })
    }

    /// `NOT` and signs, then what they stand before.
    fn prefix(&mut self) -> Result<Expr, StatementError> {
        let place = self.peek().place;
        if self.accept_word("not") {
            self.count()?;
            return Ok(Expr { place, term: Term::Not(Box::new(self.operation(NOT)?)) });
        }
        for sign in ["-", "+"] {
            if !self.accept_sign(sign) {
                continue;
            }
            let operand = self.operation(MULTIPLY + 1)?;
            let term = match operand.term {
                // The sign belongs to the number, as it does in a number of the service.
                Term::Value(AttributeValue::N(number)) if sign == "+" => Term::Value(AttributeValue::N(number)),
                Term::Value(AttributeValue::N(number)) => {
                    let zero = Number::from(0);
                    Term::Value(AttributeValue::N(zero.checked_sub(number).map_err(|e| core(&e))?))
                }
                _ => {
                    self.count()?;
                    Term::Sign(sign, Box::new(operand))
                }
            };
            return Ok(Expr { place, term });
        }
        self.primary()
    }

    fn primary(&mut self) -> Result<Expr, StatementError> {
        let token = self.take();
        let place = token.place;
        let term = match token.kind {
            Kind::End => return Err(Malformed::UnexpectedTerm.into()),
            Kind::Text(text) => Term::Value(AttributeValue::S(text)),
            Kind::Number(digits) => Term::Value(AttributeValue::N(Number::parse(&digits).map_err(|e| core(&e))?)),
            Kind::Ion(name) => Term::Ion(name),
            Kind::Quoted(name) => Term::Path(self.steps(name)?),
            Kind::Word(word) => return self.word(word, place),
            Kind::Sign("?") => {
                self.parameters += 1;
                Term::Parameter(self.parameters - 1)
            }
            Kind::Sign("(") => return self.parentheses(place),
            Kind::Sign("[") => Term::List(self.list("]")?),
            Kind::Sign("<<") => Term::Bag(self.list(">>")?),
            Kind::Sign("{") => Term::Struct(self.members()?),
            Kind::Sign(")" | "]" | "}" | "," | ":" | "." | ";") => return Err(Malformed::UnexpectedTerm.into()),
            Kind::Sign(_) => return Err(Malformed::UnexpectedOperator.into()),
        };
        Ok(Expr { place, term })
    }

    fn word(&mut self, word: String, place: Place) -> Result<Expr, StatementError> {
        let term = match word.to_ascii_lowercase().as_str() {
            "null" => Term::Value(AttributeValue::Null),
            "true" => Term::Value(AttributeValue::Bool(true)),
            "false" => Term::Value(AttributeValue::Bool(false)),
            "missing" => Term::Missing,
            "select" => {
                return Err(StatementError::UnsupportedToken { name: "SELECT".to_owned(), place: At(Some(place)) });
            }
            "case" => {
                return Err(StatementError::UnsupportedToken { name: "CASE".to_owned(), place: At(Some(place)) });
            }
            "cast" if self.peek().is_sign("(") => {
                return Err(StatementError::UnsupportedToken { name: "cast".to_owned(), place: At(Some(place)) });
            }
            "and" | "or" | "in" | "is" | "like" | "between" => return Err(Malformed::UnexpectedOperator.into()),
            "exists" if self.peek().is_sign("(") && self.tokens[self.at + 1].is_word("select") => {
                // A query in an expression is refused wherever it stands, but as a statement of its own.
                if self.at != 1 {
                    let place = self.tokens[self.at + 1].place;
                    return Err(StatementError::UnsupportedToken { name: "SELECT".to_owned(), place: At(Some(place)) });
                }
                self.at += 2;
                let select = self.select()?;
                self.expect_sign(")")?;
                Term::Exists(Box::new(select))
            }
            name if self.peek().is_sign("(") && (!is_keyword(name) || CALLED.contains(&name)) => {
                self.take();
                self.count()?;
                let operands = if name == "count" && self.accept_sign("*") {
                    self.expect_sign(")")?;
                    Vec::new()
                } else {
                    self.list(")")?
                };
                Term::Call { name: word, operands }
            }
            name if is_keyword(name) => return Err(Malformed::UnexpectedKeyword.into()),
            _ => Term::Path(self.steps(word)?),
        };
        Ok(Expr { place, term })
    }

    /// Behind `(`: an expression, or several values.
    fn parentheses(&mut self, place: Place) -> Result<Expr, StatementError> {
        if self.peek().is_sign(")") {
            return Err(Malformed::UnexpectedTerm.into());
        }
        let mut values = self.list(")")?;
        if values.len() > 1 {
            return Ok(Expr { place, term: Term::Row(values) });
        }
        let inner = values.pop().expect("invariant: there is one");
        // One value in parentheses is a value, and a list of one for IN.
        Ok(match inner.term {
            Term::Value(_) | Term::Parameter(_) => Expr { place: inner.place, term: Term::Row(vec![inner]) },
            _ => inner,
        })
    }

    /// Expressions up to the closing sign.
    fn list(&mut self, close: &'static str) -> Result<Vec<Expr>, StatementError> {
        let mut elements = Vec::new();
        if self.accept_sign(close) {
            return Ok(elements);
        }
        loop {
            elements.push(self.expression()?);
            if self.accept_sign(close) {
                return Ok(elements);
            }
            self.expect_sign(",")?;
        }
    }

    fn members(&mut self) -> Result<Vec<(Expr, Expr)>, StatementError> {
        let mut members = Vec::new();
        if self.accept_sign("}") {
            return Ok(members);
        }
        loop {
            let key = self.expression()?;
            self.expect_sign(":")?;
            members.push((key, self.expression()?));
            if self.accept_sign("}") {
                return Ok(members);
            }
            self.expect_sign(",")?;
        }
    }

    /// The steps of a path behind its first name.
    pub(super) fn steps(&mut self, first: String) -> Result<Vec<Step>, StatementError> {
        let mut steps = vec![Step::Name(first)];
        loop {
            if self.accept_sign(".") {
                steps.push(if self.accept_sign("*") {
                    Step::All
                } else {
                    Step::Name(self.accept_name().ok_or(Malformed::ExpectedPath)?)
                });
            } else if self.accept_sign("[") {
                steps.push(self.bracketed()?);
                self.expect_sign("]")?;
            } else {
                return Ok(steps);
            }
        }
    }

    /// What stands in the brackets of a path: an index, or a name in quotes of either kind.
    fn bracketed(&mut self) -> Result<Step, StatementError> {
        let negative = self.peek().is_sign("-") && matches!(self.tokens[self.at + 1].kind, Kind::Number(_));
        let token = self.take();
        let out_of_range = |index: String, place: Place| StatementError::ListIndex { index, place };
        match token.kind {
            Kind::Text(name) | Kind::Quoted(name) => Ok(Step::Name(name)),
            Kind::Word(name) if !is_keyword(&name) => Ok(Step::Name(name)),
            Kind::Number(digits) => {
                let index = digits.parse::<i32>().ok().and_then(|index| u32::try_from(index).ok());
                index.map(Step::Index).ok_or_else(|| out_of_range(digits, token.place))
            }
            Kind::Sign("-") if negative => match self.take() {
                Token { kind: Kind::Number(digits), place } => Err(out_of_range(format!("-{digits}"), place)),
                _ => Err(Malformed::UnexpectedTerm.into()),
            },
            Kind::Sign("*") => Err(Malformed::UnexpectedOperator.into()),
            _ => Err(Malformed::UnexpectedTerm.into()),
        }
    }
}

/// Keywords that are functions where parentheses follow.
const CALLED: &[&str] = &[
    "avg",
    "cast",
    "char_length",
    "character_length",
    "coalesce",
    "count",
    "date_add",
    "date_diff",
    "exists",
    "extract",
    "lower",
    "max",
    "min",
    "nullif",
    "size",
    "substring",
    "sum",
    "trim",
    "upper",
];

fn core(error: &tailrace_core::number::NumberError) -> StatementError {
    StatementError::Core(error.to_string())
}
