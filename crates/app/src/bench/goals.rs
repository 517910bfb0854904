//! Goals by the thousand: how long it takes to change one, to look at one and to list them, as there are more and more.
//!
//! Each change is durable, and stands in the mirror, before it is answered; the mirror is one file with all goals.

use super::{median, owner, say};
use adjutant_engine::goals::{CriterionSpec, GoalFilter, GoalParams, PAGE_MAX};
use adjutant_engine::{Plane, Settings};
use adjutant_model::GoalId;
use adjutant_protocol::ExitCode as Code;
use anyhow::{Context, Result};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// It is measured in so many places on the way to all goals.
const PLACES: usize = 5;
/// Each thing is done so often in a place; the median counts.
const REPEATS: usize = 15;
/// So many goals are made at once between two places.
const AT_ONCE: usize = 64;

/// Makes so many goals, and measures on the way.
pub(super) async fn run(parent: &Path, goals: usize) -> Result<Code> {
    let folder =
        tempfile::tempdir_in(parent).with_context(|| format!("no folder in {}", parent.display()))?;
    let settings = || Settings::new(folder.path().to_owned(), PathBuf::from("adjutant"));
    let plane = Plane::open(settings()).await?;
    plane.resume().await?;
    say(&format!("measured in {}; milliseconds, the median of {REPEATS}", parent.display()))?;
    say("   goals    make    note    show  page of 200     all  mirror (KiB)")?;
    let mut there = 0;
    for place in 1..=PLACES {
        let wanted = (goals * place / PLACES).max(1);
        fill(&plane, wanted.saturating_sub(there + REPEATS)).await?;
        let measured = Measured::of(&plane).await?;
        there = all(&plane).await?;
        let mirror = fs::metadata(folder.path().join("goals.json"))?.len() >> 10;
        let Measured { make, note, show, page, list } = measured;
        say(&format!("{there:>8}{make:>8.2}{note:>8.2}{show:>8.2}{page:>13.2}{list:>8.1}{mirror:>14}"))?;
    }
    plane.stop().await;
    drop(plane);
    let begun = Instant::now();
    let plane = Plane::open(settings()).await?;
    plane.resume().await?;
    say(&format!("a daemon with {there} goals is ready after {:.0} ms", since(begun)))?;
    plane.stop().await;
    Ok(Code::Ok)
}

/// What things take, in milliseconds.
struct Measured {
    make: f64,
    note: f64,
    show: f64,
    page: f64,
    list: f64,
}

impl Measured {
    async fn of(plane: &Plane) -> Result<Measured> {
        let (mut make, mut note, mut show, mut page, mut list) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..REPEATS {
            let begun = Instant::now();
            let id = made(plane).await?;
            make.push(since(begun));
            let begun = Instant::now();
            plane.goal_note(&owner(), &id, "measured".to_owned()).await?;
            note.push(since(begun));
            let begun = Instant::now();
            plane.goal_show(&id).await?;
            show.push(since(begun));
            let begun = Instant::now();
            plane.goal_list(GoalFilter { limit: 200, ..GoalFilter::default() }).await?;
            page.push(since(begun));
            let begun = Instant::now();
            all(plane).await?;
            list.push(since(begun));
        }
        Ok(Measured {
            make: median(&mut make),
            note: median(&mut note),
            show: median(&mut show),
            page: median(&mut page),
            list: median(&mut list),
        })
    }
}

async fn fill(plane: &Plane, goals: usize) -> Result<()> {
    stream::iter((0..goals).map(|_| made(plane)))
        .buffer_unordered(AT_ONCE)
        .try_for_each(async |_id| Ok(()))
        .await
}

async fn made(plane: &Plane) -> Result<GoalId> {
    let check = CriterionSpec { text: "the tests pass".to_owned(), check: Some("make test".to_owned()) };
    let params = GoalParams {
        description: "a goal of a common length, said in a sentence".to_owned(),
        acceptance: vec![check, CriterionSpec { text: "it reads well".to_owned(), check: None }],
        ..GoalParams::default()
    };
    Ok(plane.goal_create(&owner(), params).await?.id)
}

/// Lists all goals, page after page, and gives how many there are.
async fn all(plane: &Plane) -> Result<usize> {
    let mut filter = GoalFilter { limit: PAGE_MAX, ..GoalFilter::default() };
    let mut count = 0;
    loop {
        let page = plane.goal_list(filter.clone()).await?;
        count += page.goals.len();
        match page.goals.last().filter(|_| page.has_more) {
            Some(last) => filter.after = Some(last.id.clone()),
            None => return Ok(count),
        }
    }
}

fn since(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1000.0
}
