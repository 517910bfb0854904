//! `adjutant memory …`: what is remembered, for sessions, runs and people.

use super::session::project_here;
use super::{ids, print};
use crate::exit::Failure;
use crate::progress::visible_lines;
use adjutant_protocol::http::{FactView, RecallParams, RememberParams, SupersedeParams};
use adjutant_protocol::{Client, ExitCode as Code};
use anyhow::Result;
use clap::{Args, Subcommand};

/// What to do with memory.
#[derive(Debug, Subcommand)]
pub(crate) enum MemoryCommand {
    /// Remember something.
    Remember {
        /// What.
        text: String,
        #[command(flatten)]
        scope: ScopeArgs,
        /// A word that it is found by, too; may be said again.
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
        /// Until when it holds, such as 2027-01-31T12:00:00Z.
        #[arg(long, value_name = "INSTANT")]
        until: Option<String>,
    },
    /// Recall what has words of a query, the best first.
    Recall {
        /// Words.
        #[arg(required = true)]
        query: Vec<String>,
        #[command(flatten)]
        scope: ScopeArgs,
        /// Only what has this tag; may be said again.
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
        /// At most so many.
        #[arg(long, default_value_t = 10)]
        limit: usize,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List what is remembered, the newest first.
    Ls {
        #[command(flatten)]
        scope: ScopeArgs,
        /// Only what has this tag.
        #[arg(long)]
        tag: Option<String>,
        /// Show what holds no more as well.
        #[arg(long)]
        all: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Put another fact in one's place; the old one is recalled no more.
    Supersede {
        /// The fact's id, or a part of it that only one has.
        fact: String,
        /// What holds now.
        text: String,
        /// Its tags, instead of those of the fact before it; may be said again.
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
        /// Until when it holds, such as 2027-01-31T12:00:00Z.
        #[arg(long, value_name = "INSTANT")]
        until: Option<String>,
    },
    /// Forget facts: their text stands nowhere any more, but in backups.
    Forget {
        /// Ids of facts, or parts that only one has.
        #[arg(required = true)]
        facts: Vec<String>,
    },
}

/// For whom a fact holds.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct ScopeArgs {
    /// For whom: `plane`, `project:PATH`, `agent:NAME` or `goal:ID`.
    #[arg(long)]
    scope: Option<String>,
    /// For whoever works on the project of this directory.
    #[arg(long)]
    here: bool,
}

impl ScopeArgs {
    fn scope(self) -> Result<Option<String>> {
        match self.here {
            true => {
                let project =
                    project_here("say for which project: `--scope project:PATH` instead of `--here`")?;
                Ok(Some(format!("project:{}", project.display())))
            }
            false => Ok(self.scope),
        }
    }
}

pub(crate) async fn run(client: &Client, command: MemoryCommand) -> Result<Code> {
    match command {
        MemoryCommand::Remember { text, scope, tags, until } => {
            let params = RememberParams { text, scope: scope.scope()?, tags, valid_until: until };
            print(&client.memory_remember(&params).await?.id)
        }
        MemoryCommand::Recall { query, scope, tags, limit, json } => {
            let scopes = scope.scope()?.into_iter().collect();
            let params = RecallParams { query: query.join(" "), scopes, tags, limit: Some(limit) };
            show(&client.memory_recall(&params).await?.facts, json)
        }
        MemoryCommand::Ls { scope, tag, all, json } => {
            show(&client.memory(&(scope.scope()?, tag), all).await?.facts, json)
        }
        MemoryCommand::Supersede { fact, text, tags, until } => {
            let fact = ids::fact(client, &fact).await?;
            let tags = Some(tags).filter(|tags| !tags.is_empty());
            let params = SupersedeParams { text, tags, valid_until: until };
            print(&client.memory_supersede(&fact, &params).await?.id)
        }
        MemoryCommand::Forget { facts } => {
            for fact in facts {
                let fact = ids::fact(client, &fact).await?;
                client.memory_forget(&fact).await?;
                print(&format!("{fact} is forgotten"))?;
            }
            Ok(Code::Ok)
        }
    }
}

fn show(facts: &[FactView], json: bool) -> Result<Code> {
    if facts.is_empty() && !json {
        return Err(Failure::new(Code::NotFound, "nothing like that is remembered").into());
    }
    for fact in facts {
        let line = if json { serde_json::to_string(fact)? } else { lines(fact) };
        print(&line)?;
    }
    Ok(Code::Ok)
}

fn lines(fact: &FactView) -> String {
    let tags = if fact.tags.is_empty() { String::new() } else { format!("  [{}]", fact.tags.join(" ")) };
    let end = match (&fact.superseded_by, &fact.valid_until) {
        (Some(by), _) => format!("  superseded by {by}"),
        (None, Some(until)) => format!("  until {until}"),
        (None, None) => String::new(),
    };
    let source = format!("{} {}", fact.source.kind, fact.source.id);
    let head = format!("{}  {}{tags}  {}, {source}{end}", fact.id, fact.scope, fact.created_at);
    let text: Vec<String> = visible_lines(&fact.text).lines().map(|line| format!("    {line}")).collect();
    format!("{}\n{}", visible_lines(&head), text.join("\n"))
}
