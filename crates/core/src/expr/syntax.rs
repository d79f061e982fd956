//! The parser behind every kind of expression: tokens to a tree that still borrows the text.
//!
//! Nothing is looked up here; names, values and rules of meaning come after the whole text has parsed. Nothing recurses
//! here either: a text of 4 KB can open 4,000 parentheses, and must get the answer that its faults deserve, so open
//! parentheses and calls are kept in vectors. The tree is less deep: parentheses around parentheses are refused, and so
//! every level of it takes at least three bytes. Source: docs/spec/dynamodb-api.md 4.1, 4.2, 4.6.

use super::error::{ExprError, ExprKind};
use super::lexer::{Keyword, Token, TokenKind, syntax_error, tokenize};
use crate::limits;

/// A document path as written.
pub(super) type RawPath<'a> = Vec<RawElement<'a>>;

/// A step of a document path as written.
#[derive(Clone, Copy, Debug)]
pub(super) enum RawElement<'a> {
    Bare(&'a str),
    Placeholder(&'a str),
    Index(&'a str),
}

/// A function with its operands.
#[derive(Debug)]
pub(super) struct RawCall<'a> {
    pub(super) name: &'a str,
    pub(super) operands: Vec<RawOperand<'a>>,
}

/// Something that has a value.
#[derive(Debug)]
pub(super) enum RawOperand<'a> {
    Path(RawPath<'a>),
    Value(&'a str),
    Call(RawCall<'a>),
    Parenthesized(Box<RawOperand<'a>>),
}

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparator {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

/// Something that holds or does not.
#[derive(Debug)]
pub(super) enum RawCondition<'a> {
    Compare(Comparator, RawOperand<'a>, RawOperand<'a>),
    Between([RawOperand<'a>; 3]),
    In(Vec<RawOperand<'a>>),
    Call(RawCall<'a>),
    And(Vec<RawCondition<'a>>),
    Or(Vec<RawCondition<'a>>),
    /// `NOT`, as many times as it stands there in a row.
    Not(usize, Box<RawCondition<'a>>),
}

/// The right-hand side of `SET`.
#[derive(Debug)]
pub(super) enum RawSetValue<'a> {
    Operand(RawOperand<'a>),
    Plus(RawOperand<'a>, RawOperand<'a>),
    Minus(RawOperand<'a>, RawOperand<'a>),
}

/// One action of an update.
#[derive(Debug)]
pub(super) enum RawAction<'a> {
    Set(RawPath<'a>, RawSetValue<'a>),
    Remove(RawPath<'a>),
    Add(RawPath<'a>, &'a str),
    Delete(RawPath<'a>, &'a str),
}

/// An update as written.
#[derive(Debug, Default)]
pub(super) struct RawUpdate<'a> {
    /// The section keywords in written order, each with the number of actions before it.
    pub(super) sections: Vec<(&'static str, usize)>,
    pub(super) actions: Vec<RawAction<'a>>,
}

/// An operand that may turn out to be the start of a comparison, or a condition.
enum Parsed<'a> {
    Operand(RawOperand<'a>),
    Condition(RawCondition<'a>),
}

/// What is read so far of a disjunction.
#[derive(Default)]
struct Disjunction<'a> {
    /// Where the text in parentheses begins; `None`: the whole text.
    open: Option<usize>,
    alternatives: Vec<RawCondition<'a>>,
    conjuncts: Vec<RawCondition<'a>>,
    /// How many times `NOT` stands before the next condition.
    negations: usize,
}

impl Disjunction<'_> {
    fn is_blank(&self) -> bool {
        self.negations == 0 && self.conjuncts.is_empty() && self.alternatives.is_empty()
    }
}

/// What an operand is inside of.
enum Around<'a> {
    Parentheses { open: usize },
    Call(RawCall<'a>),
}

/// Checks what is checked before parsing: a text that is not empty and not too long. `size_in_text`: Scan's filters and
/// the conditions of transactions name the size: their engines call it before they parse; all other expressions are checked
/// by their parsing.
pub fn check_size(kind: ExprKind, text: &str, size_in_text: bool) -> Result<(), ExprError> {
    if text.is_empty() {
        return Err(ExprError::invalid(kind, "The expression can not be empty;"));
    }
    if text.len() > limits::EXPRESSION_BYTES_MAX {
        const TOO_LONG: &str = "Expression size has exceeded the maximum allowed size;";
        return Err(if size_in_text {
            ExprError::invalid(kind, format_args!("{TOO_LONG} expression size: {}", text.len()))
        } else {
            ExprError::invalid(kind, TOO_LONG)
        });
    }
    Ok(())
}

/// Parses a condition, filter or key condition. Also answers how many operators it has.
pub(super) fn condition(kind: ExprKind, text: &str) -> Result<(RawCondition<'_>, usize), ExprError> {
    let mut parser = Parser::new(kind, text)?;
    let parsed = parser.disjunction()?;
    let condition = parser.as_condition(parsed)?;
    parser.end()?;
    Ok((condition, parser.operators))
}

/// Parses a projection.
pub(super) fn projection(text: &str) -> Result<Vec<RawPath<'_>>, ExprError> {
    let mut parser = Parser::new(ExprKind::Projection, text)?;
    let paths = parser.list(Parser::path)?;
    parser.end()?;
    Ok(paths)
}

/// Parses an update. Also answers how many operators it has.
pub(super) fn update(text: &str) -> Result<(RawUpdate<'_>, usize), ExprError> {
    let mut parser = Parser::new(ExprKind::Update, text)?;
    let mut update = RawUpdate::default();
    loop {
        let TokenKind::Keyword(keyword) = parser.peek() else {
            return Err(parser.error());
        };
        let section = match keyword {
            Keyword::Set => "SET",
            Keyword::Remove => "REMOVE",
            Keyword::Add => "ADD",
            Keyword::Delete => "DELETE",
            _ => return Err(parser.error()),
        };
        parser.at += 1;
        update.sections.push((section, update.actions.len()));
        loop {
            let path = parser.path()?;
            update.actions.push(match keyword {
                Keyword::Set => {
                    parser.expect(TokenKind::Equal)?;
                    RawAction::Set(path, parser.set_value()?)
                }
                Keyword::Remove => RawAction::Remove(path),
                Keyword::Add => RawAction::Add(path, parser.value_placeholder()?),
                _ => RawAction::Delete(path, parser.value_placeholder()?),
            });
            if !parser.accept(TokenKind::Comma) {
                break;
            }
        }
        if parser.peek() == TokenKind::End {
            break;
        }
    }
    parser.end()?;
    Ok((update, parser.operators))
}

/// One condition as it is, several under their operator.
fn joined_by<'a>(
    operator: fn(Vec<RawCondition<'a>>) -> RawCondition<'a>,
    mut conditions: Vec<RawCondition<'a>>,
) -> RawCondition<'a> {
    match conditions.len() {
        1 => conditions.remove(0),
        _ => operator(conditions),
    }
}

struct Parser<'a> {
    kind: ExprKind,
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    operators: usize,
}

impl<'a> Parser<'a> {
    fn new(kind: ExprKind, text: &'a str) -> Result<Self, ExprError> {
        check_size(kind, text, false)?;
        let tokens = tokenize(text);
        Ok(Self { kind, text, tokens, at: 0, operators: 0 })
    }

    fn peek(&self) -> TokenKind {
        self.tokens[self.at].kind
    }

    fn error(&self) -> ExprError {
        syntax_error(self.kind, self.text, &self.tokens, self.at)
    }

    /// The text of the current token, which is stepped over.
    fn take(&mut self) -> &'a str {
        let token = self.tokens[self.at];
        self.at += 1;
        &self.text[token.start..token.end]
    }

    fn accept(&mut self, kind: TokenKind) -> bool {
        let accepted = self.peek() == kind;
        self.at += usize::from(accepted);
        accepted
    }

    fn expect(&mut self, kind: TokenKind) -> Result<(), ExprError> {
        if self.accept(kind) { Ok(()) } else { Err(self.error()) }
    }

    fn end(&self) -> Result<(), ExprError> {
        if self.peek() == TokenKind::End { Ok(()) } else { Err(self.error()) }
    }

    fn list<T>(&mut self, element: fn(&mut Self) -> Result<T, ExprError>) -> Result<Vec<T>, ExprError> {
        let mut elements = vec![element(self)?];
        while self.accept(TokenKind::Comma) {
            elements.push(element(self)?);
        }
        Ok(elements)
    }

    fn as_condition(&self, parsed: Parsed<'a>) -> Result<RawCondition<'a>, ExprError> {
        match parsed {
            Parsed::Condition(condition) => Ok(condition),
            Parsed::Operand(mut operand) => loop {
                match operand {
                    RawOperand::Call(call) => return Ok(RawCondition::Call(call)),
                    RawOperand::Parenthesized(inner) => operand = *inner,
                    RawOperand::Path(_) | RawOperand::Value(_) => return Err(self.error()),
                }
            },
        }
    }

    /// `NOT` binds tighter than `AND`, which binds tighter than `OR`.
    fn disjunction(&mut self) -> Result<Parsed<'a>, ExprError> {
        let mut around: Vec<Disjunction<'a>> = Vec::new();
        let mut inner = Disjunction::default();
        loop {
            while self.accept(TokenKind::Keyword(Keyword::Not)) {
                inner.negations += 1;
                self.operators += 1;
            }
            if self.peek() == TokenKind::Open {
                let open = Some(self.open());
                around.push(std::mem::replace(&mut inner, Disjunction { open, ..Disjunction::default() }));
                continue;
            }
            let operand = self.operand()?;
            let mut parsed = self.comparison(operand)?;
            while let Some(whole) = self.joined(&mut inner, parsed)? {
                // `inner` is read to its end: it is an operand or a condition of what is around it, or all there is.
                let (Some(open), Some(outer)) = (inner.open, around.pop()) else { return Ok(whole) };
                inner = outer;
                self.close(open)?;
                parsed = match whole {
                    Parsed::Condition(_) => whole,
                    Parsed::Operand(operand) => self.comparison(RawOperand::Parenthesized(Box::new(operand)))?,
                };
            }
        }
    }

    /// Adds `parsed`, and steps over the `AND` or `OR` behind it. Without one `inner` is complete, and is answered.
    fn joined(&mut self, inner: &mut Disjunction<'a>, parsed: Parsed<'a>) -> Result<Option<Parsed<'a>>, ExprError> {
        let next = self.peek();
        let joined = matches!(next, TokenKind::Keyword(Keyword::And | Keyword::Or));
        if !joined && inner.is_blank() {
            return Ok(Some(parsed));
        }
        let mut condition = self.as_condition(parsed)?;
        match std::mem::take(&mut inner.negations) {
            0 => {}
            negations => condition = RawCondition::Not(negations, Box::new(condition)),
        }
        inner.conjuncts.push(condition);
        if next != TokenKind::Keyword(Keyword::And) {
            let conjuncts = std::mem::take(&mut inner.conjuncts);
            inner.alternatives.push(joined_by(RawCondition::And, conjuncts));
        }
        if !joined {
            let alternatives = std::mem::take(&mut inner.alternatives);
            return Ok(Some(Parsed::Condition(joined_by(RawCondition::Or, alternatives))));
        }
        self.operators += 1;
        self.at += 1;
        Ok(None)
    }

    /// What follows an operand, if anything does.
    fn comparison(&mut self, left: RawOperand<'a>) -> Result<Parsed<'a>, ExprError> {
        let comparator = match self.peek() {
            TokenKind::Equal => Comparator::Equal,
            TokenKind::NotEqual => Comparator::NotEqual,
            TokenKind::Less => Comparator::Less,
            TokenKind::LessEqual => Comparator::LessEqual,
            TokenKind::Greater => Comparator::Greater,
            TokenKind::GreaterEqual => Comparator::GreaterEqual,
            TokenKind::Keyword(Keyword::Between) => {
                self.at += 1;
                self.operators += 1;
                let lower = self.operand()?;
                self.expect(TokenKind::Keyword(Keyword::And))?;
                return Ok(Parsed::Condition(RawCondition::Between([left, lower, self.operand()?])));
            }
            TokenKind::Keyword(Keyword::In) => {
                self.at += 1;
                self.operators += 1;
                self.expect(TokenKind::Open)?;
                let mut operands = vec![left];
                operands.extend(self.list(Self::operand)?);
                self.expect(TokenKind::Close)?;
                return Ok(Parsed::Condition(RawCondition::In(operands)));
            }
            _ => return Ok(Parsed::Operand(left)),
        };
        self.at += 1;
        self.operators += 1;
        let right = self.operand()?;
        Ok(Parsed::Condition(RawCondition::Compare(comparator, left, right)))
    }

    /// Steps over `(`. The answer is for [`Parser::close`].
    fn open(&mut self) -> usize {
        self.at += 1;
        self.at
    }

    /// Steps over `)`. Nothing between it and `open` but another pair of parentheses is refused on the spot, before any
    /// syntax error that comes later.
    fn close(&mut self, open: usize) -> Result<(), ExprError> {
        let close = self.at;
        self.expect(TokenKind::Close)?;
        if self.encloses(open, close) {
            return Err(ExprError::invalid(self.kind, "The expression has redundant parentheses;"));
        }
        Ok(())
    }

    /// Whether the tokens `from..to` are one pair of parentheses with something in it.
    fn encloses(&self, from: usize, to: usize) -> bool {
        if self.tokens[from].kind != TokenKind::Open || self.tokens[to - 1].kind != TokenKind::Close {
            return false;
        }
        let mut open = 0usize;
        for (i, token) in self.tokens[from..to].iter().enumerate() {
            match token.kind {
                TokenKind::Open => open += 1,
                TokenKind::Close => open -= 1,
                _ => {}
            }
            if open == 0 {
                return from + i == to - 1;
            }
        }
        false
    }

    fn operand(&mut self) -> Result<RawOperand<'a>, ExprError> {
        let mut around: Vec<Around<'a>> = Vec::new();
        loop {
            let mut operand = match self.peek() {
                TokenKind::Open => {
                    around.push(Around::Parentheses { open: self.open() });
                    continue;
                }
                TokenKind::Identifier if self.tokens[self.at + 1].kind == TokenKind::Open => {
                    self.operators += 1;
                    around.push(Around::Call(RawCall { name: self.take(), operands: Vec::new() }));
                    self.at += 1;
                    continue;
                }
                TokenKind::ValuePlaceholder => RawOperand::Value(self.take()),
                _ => RawOperand::Path(self.path()?),
            };
            loop {
                match around.pop() {
                    None => return Ok(operand),
                    Some(Around::Parentheses { open }) => {
                        self.close(open)?;
                        operand = RawOperand::Parenthesized(Box::new(operand));
                    }
                    Some(Around::Call(mut call)) => {
                        call.operands.push(operand);
                        if self.accept(TokenKind::Comma) {
                            around.push(Around::Call(call));
                            break;
                        }
                        self.expect(TokenKind::Close)?;
                        operand = RawOperand::Call(call);
                    }
                }
            }
        }
    }

    fn path(&mut self) -> Result<RawPath<'a>, ExprError> {
        let mut path = vec![self.path_name()?];
        loop {
            if self.accept(TokenKind::Dot) {
                path.push(self.path_name()?);
            } else if self.accept(TokenKind::OpenBracket) {
                if self.peek() != TokenKind::Index {
                    return Err(self.error());
                }
                path.push(RawElement::Index(self.take()));
                self.expect(TokenKind::CloseBracket)?;
            } else {
                return Ok(path);
            }
        }
    }

    fn path_name(&mut self) -> Result<RawElement<'a>, ExprError> {
        match self.peek() {
            TokenKind::Identifier => Ok(RawElement::Bare(self.take())),
            TokenKind::NamePlaceholder => Ok(RawElement::Placeholder(self.take())),
            _ => Err(self.error()),
        }
    }

    fn value_placeholder(&mut self) -> Result<&'a str, ExprError> {
        if self.peek() == TokenKind::ValuePlaceholder { Ok(self.take()) } else { Err(self.error()) }
    }

    fn set_value(&mut self) -> Result<RawSetValue<'a>, ExprError> {
        let mut around = Vec::new();
        while self.peek() == TokenKind::Open {
            around.push(self.open());
        }
        let operand = self.operand()?;
        let mut value = self.arithmetic(operand)?;
        while let Some(open) = around.pop() {
            self.close(open)?;
            value = match value {
                RawSetValue::Operand(operand) => self.arithmetic(RawOperand::Parenthesized(Box::new(operand)))?,
                arithmetic => arithmetic,
            };
        }
        Ok(value)
    }

    /// What `left` is with a `+` or `-` behind it, if there is one.
    fn arithmetic(&mut self, left: RawOperand<'a>) -> Result<RawSetValue<'a>, ExprError> {
        let sign = self.peek();
        if !matches!(sign, TokenKind::Plus | TokenKind::Minus) {
            return Ok(RawSetValue::Operand(left));
        }
        self.at += 1;
        self.operators += 1;
        let right = self.operand()?;
        Ok(if sign == TokenKind::Plus { RawSetValue::Plus(left, right) } else { RawSetValue::Minus(left, right) })
    }
}
