//! What is wanted of a goal, as it is said on the command line.

use super::ids;
use crate::cli::budget::BudgetArgs;
use crate::exit::Failure;
use adjutant_model::goal::{GoalStatus, LinkState};
use adjutant_protocol::Client;
use adjutant_protocol::http::{BudgetView, CriterionParams, GoalParams, GoalUpdateParams, GoalView};
use anyhow::Result;
use clap::Args;
use clap::builder::PossibleValuesParser;
use std::path::{Path, PathBuf};

/// A new goal.
#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// The intent.
    description: String,
    /// A command line that proves it; may be given often.
    #[arg(long = "check", value_name = "COMMAND")]
    checks: Vec<String>,
    /// What must hold in words, and the command line that proves it; may be given often.
    #[arg(long = "prove", num_args = 2, value_names = ["TEXT", "COMMAND"])]
    proved: Vec<String>,
    /// What must hold, in words that a person signs off; may be given often. Criteria count from 0 in this order:
    /// those of --check, of --prove, of --accept.
    #[arg(long = "accept", value_name = "TEXT")]
    texts: Vec<String>,
    /// The project: sessions of a pursuit work in worktrees of it, and checks run there when nothing that is linked
    /// has a workspace.
    #[arg(long, visible_alias = "project", value_name = "DIR")]
    repo: Option<PathBuf>,
    /// A goal that must be done before it; may be given often.
    #[arg(long = "depends-on", value_name = "GOAL")]
    depends_on: Vec<String>,
    #[command(flatten)]
    budget: BudgetArgs,
    /// Until when it is to be done, such as 2027-01-31T12:00:00Z: then its pursuit stops, and the inbox says so.
    #[arg(long, value_name = "INSTANT")]
    deadline: Option<String>,
    /// When its checks are run again by themselves: a cron expression in UTC, such as '0 6 * * *'. What fails then
    /// re-opens it.
    #[arg(long, value_name = "CRON")]
    recheck: Option<String>,
}

/// What a new goal is made of, but for the goals that it names.
pub(super) struct NewGoal {
    params: GoalParams,
    depends_on: Vec<String>,
}

impl NewArgs {
    pub(super) fn read(self) -> Result<NewGoal> {
        let NewArgs { description, checks, proved, texts, repo, depends_on, budget, deadline, recheck } =
            self;
        let checks =
            checks.into_iter().map(|check| CriterionParams { text: String::new(), check: Some(check) });
        let proved = proved
            .chunks_exact(2)
            .map(|pair| CriterionParams { text: pair[0].clone(), check: Some(pair[1].clone()) })
            .collect::<Vec<_>>();
        let texts = texts.into_iter().map(|text| CriterionParams { text, check: None });
        let params = GoalParams {
            description,
            acceptance: checks.chain(proved).chain(texts).collect(),
            project: repo.as_deref().map(absolute).transpose()?,
            depends_on: Vec::new(),
            budget: budget.view(),
            deadline,
            recheck,
        };
        Ok(NewGoal { params, depends_on })
    }
}

impl NewGoal {
    pub(super) async fn params(&self, client: &Client) -> Result<GoalParams> {
        let depends_on = goals(client, &self.depends_on).await?;
        Ok(GoalParams { depends_on, ..self.params.clone() })
    }
}

/// What is to be different about a goal.
#[derive(Debug, Args)]
pub(super) struct UpdateArgs {
    /// A goal's id, or a part that only one has.
    goal: String,
    /// The intent.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    description: Option<String>,
    /// The project.
    #[arg(long, visible_alias = "project", value_name = "DIR")]
    repo: Option<PathBuf>,
    /// A goal that must be done before it, instead of those so far; may be given often.
    #[arg(long = "depends-on", value_name = "GOAL", conflicts_with = "no_depends")]
    depends_on: Vec<String>,
    /// It waits for no goal any more.
    #[arg(long)]
    no_depends: bool,
    #[command(flatten)]
    budget: BudgetArgs,
    /// Its pursuit may spend anything.
    #[arg(long, conflicts_with_all = ["max_cost", "max_tokens", "max_minutes"])]
    no_budget: bool,
    /// Until when it is to be done.
    #[arg(long, value_name = "INSTANT", conflicts_with = "no_deadline")]
    deadline: Option<String>,
    /// It may take as long as it takes.
    #[arg(long)]
    no_deadline: bool,
    /// When its checks are run again by themselves, a cron expression in UTC.
    #[arg(long, value_name = "CRON", conflicts_with = "no_recheck")]
    recheck: Option<String>,
    /// They are run when somebody asks for it only.
    #[arg(long)]
    no_recheck: bool,
    /// A linked session or run, whose state `--state` says.
    #[arg(long, value_name = "ID", requires = "state")]
    link: Option<String>,
    /// Where that link stands; `verified` only with evidence that stands there already.
    #[arg(long, requires = "link", value_parser = PossibleValuesParser::new(LinkState::ALL.map(LinkState::as_str)))]
    state: Option<String>,
    /// What is said.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    note: Option<String>,
    /// Another state of the goal.
    #[arg(long, value_parser = PossibleValuesParser::new(GoalStatus::ALL.map(GoalStatus::as_str)))]
    status: Option<String>,
    /// Why it goes there.
    #[arg(long, value_name = "TEXT", requires = "status", allow_hyphen_values = true)]
    reason: Option<String>,
}

/// What is to be different, but for the goals and links that are named.
pub(super) struct Update {
    goal: String,
    params: GoalUpdateParams,
    depends_on: Option<Vec<String>>,
    budget: BudgetArgs,
}

impl UpdateArgs {
    pub(super) fn read(self) -> Result<Update> {
        let taken = |given: Option<String>, away: bool| if away { Some(String::new()) } else { given };
        let params = GoalUpdateParams {
            description: self.description,
            project: self.repo.as_deref().map(absolute).transpose()?,
            depends_on: None,
            budget: self.no_budget.then(BudgetView::default),
            deadline: taken(self.deadline, self.no_deadline),
            recheck: taken(self.recheck, self.no_recheck),
            session_id: self.link,
            state: self.state,
            note: self.note,
            status: self.status,
            reason: self.reason,
        };
        let depends_on = (self.no_depends || !self.depends_on.is_empty()).then_some(self.depends_on);
        let says_nothing = params == GoalUpdateParams::default();
        if says_nothing && depends_on.is_none() && !self.budget.says_something() {
            let hint = "`adjutant goal update --help` tells what can be";
            return Err(Failure::usage("what is to be different about the goal?").hinted(hint).into());
        }
        Ok(Update { goal: self.goal, params, depends_on, budget: self.budget })
    }
}

impl Update {
    pub(super) async fn apply(&self, client: &Client) -> Result<GoalView> {
        let goal_id = ids::goal(client, &self.goal).await?;
        let mut params = self.params.clone();
        if let Some(given) = &self.depends_on {
            params.depends_on = Some(goals(client, given).await?);
        }
        if self.budget.says_something() || params.session_id.is_some() {
            let goal = client.goal(&goal_id).await?;
            if self.budget.says_something() {
                params.budget = Some(self.budget.over(goal.budget));
            }
            params.session_id =
                params.session_id.as_deref().map(|given| ids::link(&goal, given)).transpose()?;
        }
        Ok(client.goal_update(&goal_id, &params).await?)
    }
}

async fn goals(client: &Client, given: &[String]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for goal in given {
        found.push(ids::goal(client, goal).await?);
    }
    Ok(found)
}

fn absolute(path: &Path) -> Result<String> {
    let found = path
        .canonicalize()
        .map_err(|error| Failure::usage(format!("the directory {}: {error}", path.display())))?;
    Ok(found.to_string_lossy().into_owned())
}
