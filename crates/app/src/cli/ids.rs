//! Ids as people type them: whole, or any part at the beginning or end that only one thing has.

use super::client_trace;
use crate::exit::Failure;
use adjutant_protocol::http::{GoalView, ManagedView, SessionView};
use adjutant_protocol::{Client, ClientError, ExitCode as Code};
use anyhow::Result;
use std::collections::BTreeSet;

/// How many of the newest runs are looked through.
const LOOK_AT: usize = 1000;
/// A run's id is so long.
const RUN_ID_LEN: usize = 36;
/// A task's id is so long.
const TASK_ID_LEN: usize = 37;
/// A goal's id is so long.
const GOAL_ID_LEN: usize = 18;
/// A fact's id is so long.
const FACT_ID_LEN: usize = 37;
/// An issue's id is so long.
const ISSUE_ID_LEN: usize = 34;
/// An error's fingerprint is so long.
const FINGERPRINT_LEN: usize = 64;
/// So many errors are looked through.
const ERRORS_MAX: usize = 100;

/// Finds the run that is meant.
pub(crate) async fn run(client: &Client, given: &str) -> Result<String> {
    if given.len() == RUN_ID_LEN {
        return Ok(given.to_owned());
    }
    let runs = client.runs(LOOK_AT).await?.runs;
    pick("run", given, runs.iter().map(|run| run.id.as_str()))
}

/// Whose run is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Run {
    /// It executes a blueprint.
    OfBlueprint(String),
    /// A client drives it.
    OfClient(String),
}

impl Run {
    /// Gives its id.
    pub(crate) fn into_id(self) -> String {
        match self {
            Run::OfBlueprint(id) | Run::OfClient(id) => id,
        }
    }
}

/// Finds the run that is meant among those of blueprints and those of clients; a client's may have any id.
pub(crate) async fn run_of_anybody(client: &Client, given: &str) -> Result<Run> {
    if given.len() == RUN_ID_LEN {
        return match client.run(given).await {
            Ok(run) => Ok(Run::OfBlueprint(run.id)),
            Err(ClientError::Api { status: 400 | 404, .. }) => Ok(Run::OfClient(given.to_owned())),
            Err(error) => Err(error.into()),
        };
    }
    let of_blueprints = client.runs(LOOK_AT).await?.runs;
    let of_clients = client_trace::runs(client, LOOK_AT).await?;
    if of_clients.iter().any(|run| run.run_id == given) {
        return Ok(Run::OfClient(given.to_owned()));
    }
    let ids = of_blueprints.iter().map(|run| run.id.as_str());
    let id = pick("run", given, ids.chain(of_clients.iter().map(|run| run.run_id.as_str())))?;
    let of_blueprint = of_blueprints.iter().any(|run| run.id == id);
    Ok(if of_blueprint { Run::OfBlueprint(id) } else { Run::OfClient(id) })
}

/// Finds the run or the session whose workspace is meant; it may be gone.
pub(crate) async fn holder(client: &Client, given: &str) -> Result<String> {
    // A session's id is as long.
    if given.len() == RUN_ID_LEN {
        return Ok(given.to_owned());
    }
    if let Ok(session) = client.session_managed(given).await
        && session.name == given
    {
        return Ok(session.id);
    }
    let workspaces = client.workspaces().await?.workspaces;
    let runs = client.runs(LOOK_AT).await?.runs;
    let held = workspaces.iter().map(|entry| entry.id.as_str());
    let ids: BTreeSet<&str> = held.chain(runs.iter().map(|run| run.id.as_str())).collect();
    pick("workspace", given, ids.into_iter())
}

/// Finds the task that is meant.
pub(crate) async fn task(client: &Client, given: &str) -> Result<String> {
    if given.len() == TASK_ID_LEN {
        return Ok(given.to_owned());
    }
    let runs = client.runs(LOOK_AT).await?.runs;
    let tasks: BTreeSet<&str> = runs.iter().map(|run| run.task_id.as_str()).collect();
    pick("task", given, tasks.into_iter())
}

/// Finds the goal that is meant.
pub(crate) async fn goal(client: &Client, given: &str) -> Result<String> {
    if is_whole_goal(given) {
        return Ok(given.to_owned());
    }
    goal_among(&client.goals(None).await?.goals, given).map(|goal| goal.id.clone())
}

fn is_whole_goal(given: &str) -> bool {
    given.len() == GOAL_ID_LEN && given.starts_with("g-")
}

/// Finds the goal that is meant among some.
pub(crate) fn goal_among<'a>(goals: &'a [GoalView], given: &str) -> Result<&'a GoalView> {
    let id = pick("goal", given, goals.iter().map(|goal| goal.id.as_str()))?;
    Ok(goals.iter().find(|goal| goal.id == id).expect("it was picked from these"))
}

/// Finds the link of a goal that is meant.
pub(crate) fn link(goal: &GoalView, given: &str) -> Result<String> {
    let mut links = goal.sessions.iter().map(|link| link.session_id.as_str());
    if links.any(|id| id == given) {
        return Ok(given.to_owned());
    }
    pick("link", given, goal.sessions.iter().map(|link| link.session_id.as_str()))
}

/// Finds the session or the run that is meant, whoever drives it: a session's name or id goes before a part of a run's.
pub(crate) async fn work(client: &Client, given: &str) -> Result<String> {
    match session(client, given).await {
        Ok(session) => Ok(session.id),
        Err(error) if error.downcast_ref::<Failure>().is_some_and(Failure::is_not_found) => {
            Ok(run_of_anybody(client, given).await?.into_id())
        }
        Err(error) => Err(error),
    }
}

/// Finds the issue that is meant.
pub(crate) async fn issue(client: &Client, given: &str) -> Result<String> {
    if given.len() == ISSUE_ID_LEN {
        return Ok(given.to_owned());
    }
    let issues = client.issues(None, None).await?.issues;
    pick("issue", given, issues.iter().map(|issue| issue.issue_id.as_str()))
}

/// Finds the fact that is meant, among those that hold and those that hold no more.
pub(crate) async fn fact(client: &Client, given: &str) -> Result<String> {
    if given.len() == FACT_ID_LEN {
        return Ok(given.to_owned());
    }
    let facts = client.memory(&(None, None), true).await?.facts;
    pick("fact", given, facts.iter().map(|fact| fact.id.as_str()))
}

/// A session, whoever has begun it.
#[derive(Debug)]
pub(crate) enum AnySession {
    /// The daemon hosts its agent.
    Managed(Box<ManagedView>),
    /// Somebody else has started its agent, or its holder has a token.
    Other(Box<SessionView>),
}

impl AnySession {
    /// Gives its id.
    pub(crate) fn id(&self) -> &str {
        match self {
            AnySession::Managed(session) => &session.id,
            AnySession::Other(session) => &session.id,
        }
    }
}

/// Finds the session that is meant among all that there are: a name goes before a part of an id, and one that is hosted
/// here before the others.
pub(crate) async fn any_session(client: &Client, given: &str) -> Result<AnySession> {
    if let Some(session) = session_named(client, given).await? {
        return Ok(AnySession::Managed(Box::new(session)));
    }
    let mut managed = client.sessions_managed(Some("all")).await?.sessions;
    let mut others = client.sessions(None).await?.sessions;
    others.retain(|other| managed.iter().all(|session| session.id != other.id));
    if let Some(place) = others.iter().position(|other| other.name == given) {
        return Ok(AnySession::Other(Box::new(others.swap_remove(place))));
    }
    let ids = managed.iter().map(|session| &*session.id).chain(others.iter().map(|session| &*session.id));
    let id = pick("session", given, ids)?;
    Ok(match others.iter().position(|other| other.id == id) {
        Some(place) => AnySession::Other(Box::new(others.swap_remove(place))),
        None => {
            let place =
                managed.iter().position(|session| session.id == id).expect("it was picked from these");
            AnySession::Managed(Box::new(managed.swap_remove(place)))
        }
    })
}

/// Gives the session that is called so, or has this id.
async fn session_named(client: &Client, given: &str) -> Result<Option<ManagedView>> {
    // These would lead to another route.
    if ["", ".", ".."].contains(&given) {
        return Ok(None);
    }
    match client.session_managed(given).await {
        Err(ClientError::Api { status: 400 | 404, .. }) => Ok(None),
        found => Ok(Some(found?)),
    }
}

/// Finds the session that is meant: a name goes before a part of an id.
pub(crate) async fn session(client: &Client, given: &str) -> Result<ManagedView> {
    if let Some(session) = session_named(client, given).await? {
        return Ok(session);
    }
    let mut sessions = client.sessions_managed(Some("all")).await?.sessions;
    let id = match pick("session", given, sessions.iter().map(|session| session.id.as_str())) {
        Ok(id) => id,
        Err(error) => return Err(not_hosted(client, given).await?.unwrap_or(error)),
    };
    let place = sessions.iter().position(|session| session.id == id).expect("it was picked from these");
    Ok(sessions.swap_remove(place))
}

/// Gives what is said when a session is meant whose agent is not hosted here.
async fn not_hosted(client: &Client, given: &str) -> Result<Option<anyhow::Error>> {
    let all = client.sessions(None).await?.sessions;
    let is_meant = |session: &&SessionView| session.name == given || session.id.eq_ignore_ascii_case(given);
    Ok(all.iter().find(is_meant).map(|session| {
        let message = format!("the session {given} is {}: its agent is not hosted here", session.kind);
        Failure::new(Code::NotFound, message).hinted("`adjutant session show` tells of it").into()
    }))
}

/// Finds the delegation that is meant, among those that are open and those that are over.
pub(crate) async fn delegation(client: &Client, given: &str) -> Result<String> {
    let delegations = client.delegations(false).await?.delegations;
    pick("delegation", given, delegations.iter().map(|delegation| delegation.delegation_id.as_str()))
}

/// Finds the error that is meant.
pub(crate) async fn error(client: &Client, given: &str) -> Result<String> {
    if given.len() == FINGERPRINT_LEN {
        return Ok(given.to_owned());
    }
    let errors = client.errors(Some(ERRORS_MAX)).await?.errors;
    pick("error", given, errors.iter().map(|error| error.fingerprint.as_str()))
}

/// Finds the token that is meant, among those that are good.
pub(crate) async fn token(client: &Client, given: &str) -> Result<String> {
    let tokens = client.tokens().await?.tokens;
    pick("token", given, tokens.iter().map(|token| token.id.as_str()))
}

fn pick<'a>(kind: &str, given: &str, ids: impl Iterator<Item = &'a str>) -> Result<String> {
    let bare = |id: &'a str| id.split_once(['_', '-']).map_or(id, |(_, digits)| digits);
    let matches = |id: &&'a str| {
        !given.is_empty() && (id.starts_with(given) || bare(id).starts_with(given) || id.ends_with(given))
    };
    let found: Vec<&str> = ids.filter(matches).collect();
    match found.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => Err(Failure::new(Code::NotFound, format!("there is no {kind} `{given}`"))
            .hinted(list_hint(kind))
            .into()),
        [first, second, ..] => {
            let message = format!("`{given}` may be {first} or {second}");
            Err(Failure::usage(message).hinted("give more of the id").into())
        }
    }
}

fn list_hint(kind: &str) -> String {
    match kind {
        "goal" => "`adjutant goal ls` lists them".to_owned(),
        "link" => "`adjutant goal show GOAL` lists them".to_owned(),
        "task" => "`adjutant show RUN` tells a run's task".to_owned(),
        "delegation" => "`adjutant delegation ls --all` lists them".to_owned(),
        "error" => "`adjutant errors` lists them".to_owned(),
        "fact" => "`adjutant memory ls --all` lists them".to_owned(),
        "issue" => "`adjutant issue ls` lists them".to_owned(),
        "session" => "`adjutant session ls` lists them".to_owned(),
        "token" => "`adjutant token ls` lists them".to_owned(),
        "workspace" => "`adjutant workspace ls` lists them".to_owned(),
        _ => "`adjutant runs` lists them".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_only_one_has_is_enough() {
        let ids = ["run_0123", "run_0199", "run_4499"];
        let pick = |given| pick("run", given, ids.into_iter()).ok();
        assert_eq!(pick("run_0123").as_deref(), Some("run_0123"));
        assert_eq!(pick("44").as_deref(), Some("run_4499"));
        assert_eq!(pick("23").as_deref(), Some("run_0123"));
        for unclear in ["99", "01", "", "nope"] {
            assert_eq!(pick(unclear), None, "{unclear}");
        }
    }
}
