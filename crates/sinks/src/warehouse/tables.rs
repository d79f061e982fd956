//! Making the tables, and claiming the target: what comes before the first flush.

use super::config::Mode;
use super::layout::{Found, Layout, NotOurs, Target};
use super::ledger::{Claim, Holder, claim};
use super::session::{Answer, Failure, Meaning, Session, field, number, rows};
use super::{Inner, Trouble};
use crate::sink::SourceTable;

/// A target that can be filled.
#[derive(Clone)]
pub(super) struct Ready {
    pub target: Target,
    pub holder: Holder,
    pub generation: i64,
}

/// Why tables are made.
#[derive(Clone, Copy)]
pub(super) enum Making<'a> {
    /// To see whether they can be.
    Ahead,
    /// Somebody comes to fill them.
    For(&'a Holder),
}

impl Inner {
    pub(super) fn layout(&self, source: &SourceTable) -> Result<Layout, Trouble> {
        let layout = Layout::new(&self.config, &self.promoted, self.dialect.as_ref(), source);
        layout.map_err(|error| Trouble::Stop(error.to_string()))
    }

    /// Makes the tables that are not there, adds columns, and sees to it that what is there is ours.
    pub(super) async fn make_tables(
        &self,
        session: &mut dyn Session,
        source: &SourceTable,
        making: Making<'_>,
    ) -> Result<Target, Trouble> {
        let layout = self.layout(source)?;
        let dialect = self.dialect.as_ref();
        let schema = match &layout.schema {
            Some(schema) => dialect.fold(schema),
            None => {
                let answers = self.run(session, "SELECT current_schema()").await?;
                let schema = rows(&answers, 0).first().and_then(|row| row.first().cloned().flatten());
                schema.ok_or_else(|| {
                    let text = "the session has no schema to make tables in: give one, as in table: schema.orders";
                    Trouble::Stop(text.to_owned())
                })?
            }
        };
        let target = Target { layout, dialect: self.dialect.clone(), schema };
        self.run(session, dialect.begin_making()).await?;
        let ledgers = target.ledgers()?;
        let mut names: Vec<&str> = ledgers.iter().map(|(name, _)| *name).collect();
        names.push(&target.layout.table);
        let answers = self.run(session, &dialect.describe(&target.schema, &names)).await?;
        let there = |name: &str| rows(&answers, 0).iter().any(|row| field(row, 0).is_ok_and(|table| table == name));
        for (name, create) in &ledgers {
            if !there(name) {
                self.run(session, create).await?;
            }
        }
        if there(&target.layout.table) {
            self.evolve(session, &target, rows(&answers, 0)).await?;
        } else {
            self.create(session, &target, making).await?;
        }
        self.run(session, "COMMIT").await?;
        Ok(target)
    }

    /// The target is not there: it is made, unless it was there before, and is missed.
    async fn create(&self, session: &mut dyn Session, target: &Target, making: Making<'_>) -> Result<(), Trouble> {
        // Without the BEGIN: we are in a transaction.
        let ask = target.ask_holder();
        let answers = self.run(session, ask.trim_start_matches("BEGIN; ")).await?;
        let held = holder(&answers)?;
        let create = target.create()?;
        match (held, making) {
            (Some(_), Making::Ahead) => Ok(()),
            (Some((held, generation)), Making::For(comes)) => match claim(Some((&held, generation)), comes, target) {
                Claim::Keep(_) => Err(Trouble::Stop(format!(
                    "the table {} is gone, with all that was in it: rebuild the sink, or let it begin with what comes from \
                         now on: {}",
                    target.shown(),
                    target.hand_over(comes),
                ))),
                Claim::First(_) | Claim::Next(_) => self.run(session, &create).await.map(drop),
                Claim::Refuse(why) => Err(Trouble::Stop(why)),
            },
            (None, _) => self.run(session, &create).await.map(drop),
        }
    }

    async fn evolve(
        &self,
        session: &mut dyn Session,
        target: &Target,
        described: &[Vec<Option<String>>],
    ) -> Result<(), Trouble> {
        let dialect = self.dialect.as_ref();
        let mut found = Vec::new();
        for row in described {
            if field(row, 0)? == target.layout.table {
                let is = |column| field(row, column).map(|text| text == "t");
                found.push(Found {
                    name: field(row, 1)?.to_owned(),
                    sql: field(row, 2)?.to_owned(),
                    required: is(3)?,
                    filled: is(4)?,
                });
            }
        }
        let other = |why: String| {
            Trouble::Stop(format!("the table {} is there, but is none that this sink can fill: {why}", target.shown()))
        };
        let missing = target.layout.compare(dialect, &found).map_err(|NotOurs(why)| other(why))?;
        if target.layout.mode == Mode::Merge {
            let keys: Vec<&str> =
                target.layout.columns[..target.layout.keys].iter().map(|key| key.name.as_str()).collect();
            if let Some(ask) = dialect.unique_key(&target.schema, &target.layout.table, &keys) {
                let answers = self.run(session, &ask).await?;
                if rows(&answers, 0).is_empty() {
                    return Err(other(format!("its key is not ({})", keys.join(", "))));
                }
            }
        }
        for column in missing {
            self.run(session, &target.add_column(column)?).await?;
        }
        Ok(())
    }

    /// Takes the target, or goes on with it: its generation.
    pub(super) async fn claim(
        &self,
        session: &mut dyn Session,
        target: &Target,
        comes: &Holder,
    ) -> Result<i64, Trouble> {
        let answers = self.run(session, &target.ask_holder()).await?;
        let held = holder(&answers)?;
        match claim(held.as_ref().map(|(held, generation)| (held, *generation)), comes, target) {
            Claim::Keep(generation) => {
                self.run(session, "ROLLBACK").await?;
                Ok(generation)
            }
            Claim::Refuse(why) => Err(Trouble::Stop(why)),
            Claim::Next(generation) => {
                self.run(session, &target.hold(comes, generation)).await?;
                Ok(generation)
            }
            Claim::First(generation) => {
                match session.run(&target.hold_first(comes, generation), self.limits.statement).await {
                    Ok(_) => Ok(generation),
                    // Somebody else was first.
                    Err(failure) if failure.meaning() == Meaning::Data => {
                        Err(Trouble::Again(failure.text().to_owned()))
                    }
                    Err(failure) => Err(failure.into()),
                }
            }
        }
    }

    /// Runs statements within the time of one.
    pub(super) async fn run(&self, session: &mut dyn Session, sql: &str) -> Result<Vec<Answer>, Trouble> {
        Ok(session.run(sql, self.limits.statement).await?)
    }
}

/// Who holds the target, and in which generation: out of the last of the answers.
fn holder(answers: &[Answer]) -> Result<Option<(Holder, i64)>, Failure> {
    let Some(row) = answers.last().and_then(|answer| answer.rows.first()) else { return Ok(None) };
    let text = |column| field(row, column).map(str::to_owned);
    let holder = Holder { sink: text(1)?, source: text(2)?, label: text(3)?, version: number(row, 4)? };
    Ok(Some((holder, number(row, 0)?)))
}
