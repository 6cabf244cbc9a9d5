//! A rule as Elasticsearch writes it: `any`, `all`, `except` and `field`. How
//! deep and how large one can be is bounded where it is made.

use thiserror::Error;

use super::Principal;
use super::field::Test;
use super::why::{MissWord, Why};

/// Expressions within expressions.
pub(super) const DEPTH_MAX: u8 = 16;

/// Expressions within one rule.
pub(super) const NODES_MAX: usize = 4096;

/// Why expressions cannot be put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ExpressionError {
    /// An empty `all` would hold for everybody.
    #[error("{0} is empty, expected at least one rule in it")]
    Empty(&'static str),
    /// Too deep.
    #[error("the rules are nested deeper than {DEPTH_MAX}")]
    TooDeep,
    /// Too many.
    #[error("the rule has more than {NODES_MAX} parts")]
    TooLarge,
}

/// A condition on a principal.
#[derive(Debug, Clone)]
pub struct Expression {
    node: Node,
    /// Invariant: at most `DEPTH_MAX`, so that recursion over it is bounded.
    depth: u8,
    nodes: usize,
}

#[derive(Debug, Clone)]
enum Node {
    Any(Vec<Expression>),
    All(Vec<Clause>),
    Field(Test),
}

/// A part of `all`, the only place where there are exceptions.
#[derive(Debug, Clone)]
pub enum Clause {
    /// It must hold.
    Is(Expression),
    /// `except`: it must not.
    Except(Expression),
}

impl Clause {
    fn expression(&self) -> &Expression {
        match self {
            Self::Is(expression) | Self::Except(expression) => expression,
        }
    }
}

impl Expression {
    /// A condition on one field.
    #[must_use]
    pub fn field(test: Test) -> Self {
        Self { node: Node::Field(test), depth: 1, nodes: 1 }
    }

    /// Holds if one of them does.
    ///
    /// # Errors
    ///
    /// If there is none, or the whole would be too deep or too large.
    pub fn any(parts: Vec<Self>) -> Result<Self, ExpressionError> {
        let (depth, nodes) = outer("any", parts.iter())?;
        Ok(Self { node: Node::Any(parts), depth, nodes })
    }

    /// Holds if each of them does, and no exception does.
    ///
    /// # Errors
    ///
    /// As [`Self::any`].
    pub fn all(parts: Vec<Clause>) -> Result<Self, ExpressionError> {
        let (depth, nodes) = outer("all", parts.iter().map(Clause::expression))?;
        Ok(Self { node: Node::All(parts), depth, nodes })
    }

    /// The regular expressions in it.
    pub(super) fn regexes(&self) -> usize {
        match &self.node {
            Node::Any(parts) => parts.iter().map(Self::regexes).sum(),
            Node::All(parts) => parts.iter().map(|part| part.expression().regexes()).sum(),
            Node::Field(test) => test.regexes(),
        }
    }

    /// Whether it holds; if not, every part that is to blame says why.
    pub(super) fn holds(&self, principal: &Principal, why: &mut Why) -> bool {
        match &self.node {
            Node::Field(test) => test.holds(principal, why),
            Node::Any(parts) => {
                let before = why.mark();
                let holds = parts.iter().any(|part| part.holds(principal, why));
                if holds {
                    why.back_to(before);
                }
                holds
            }
            // Every part is asked, so that a host that does not fit is not
            // mistaken for the only thing that does not.
            Node::All(parts) => {
                let failing = parts.iter().filter(|part| !clause_holds(part, principal, why));
                failing.count() == 0
            }
        }
    }
}

fn clause_holds(clause: &Clause, principal: &Principal, why: &mut Why) -> bool {
    match clause {
        Clause::Is(expression) => expression.holds(principal, why),
        Clause::Except(expression) => {
            let is_excepted = expression.holds(principal, &mut Why::silent());
            if is_excepted {
                why.miss(MissWord::Excepted, || "an exception holds".to_owned());
            }
            !is_excepted
        }
    }
}

/// The depth and size of what has these parts.
fn outer<'a>(
    name: &'static str,
    parts: impl Iterator<Item = &'a Expression>,
) -> Result<(u8, usize), ExpressionError> {
    let (depth, nodes) =
        parts.fold((0, 0usize), |(depth, nodes), part| (part.depth.max(depth), nodes + part.nodes));
    match (depth, nodes) {
        (0, _) => Err(ExpressionError::Empty(name)),
        (DEPTH_MAX.., _) => Err(ExpressionError::TooDeep),
        (_, NODES_MAX..) => Err(ExpressionError::TooLarge),
        _ => Ok((depth + 1, nodes + 1)),
    }
}
