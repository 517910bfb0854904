//! Ids as people type them: whole, or any part at the beginning or end that only one thing has.

use crate::exit::Failure;
use adjutant_protocol::{Client, ClientError, ExitCode as Code};
use anyhow::Result;

/// How many of the newest runs are looked through.
const LOOK_AT: usize = 1000;
/// A run's id is so long.
const RUN_ID_LEN: usize = 36;

/// Finds the run that is meant.
pub(crate) async fn run(client: &Client, given: &str) -> Result<String> {
    if given.len() == RUN_ID_LEN {
        return Ok(given.to_owned());
    }
    let runs = client.runs(LOOK_AT).await?.runs;
    pick("run", given, runs.iter().map(|run| run.id.as_str()))
}

/// Finds the run of a blueprint that is meant, when there is one.
pub(crate) async fn run_if_any(client: &Client, given: &str) -> Result<Option<String>> {
    if given.len() == RUN_ID_LEN {
        return match client.run(given).await {
            Ok(run) => Ok(Some(run.id)),
            Err(ClientError::Api { status: 400 | 404, .. }) => Ok(None),
            Err(error) => Err(error.into()),
        };
    }
    let runs = client.runs(LOOK_AT).await?.runs;
    match pick("run", given, runs.iter().map(|run| run.id.as_str())) {
        Ok(found) => Ok(Some(found)),
        Err(error) => match error.downcast_ref::<Failure>() {
            Some(failure) if failure.is_not_found() => Ok(None),
            Some(_) | None => Err(error),
        },
    }
}

/// Finds the run that is meant; what names none of a flow is taken for the whole id of a client's run.
pub(crate) async fn run_of_anybody(client: &Client, given: &str) -> Result<String> {
    match run(client, given).await {
        Err(error) if error.downcast_ref::<Failure>().is_some_and(Failure::is_not_found) => {
            Ok(given.to_owned())
        }
        found => found,
    }
}

/// Finds the goal that is meant.
pub(crate) async fn goal(client: &Client, given: &str) -> Result<String> {
    let goals = client.goals(None).await?.goals;
    pick("goal", given, goals.iter().map(|goal| goal.id.as_str()))
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
        "goal" => "`adjutant goal list` lists them".to_owned(),
        "token" => "`adjutant token ls` lists them".to_owned(),
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
