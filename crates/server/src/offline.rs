//! What the door would say of goals if there were a daemon: out of their mirror, for the command line.

use crate::convert;
use adjutant_engine::goals::{self, GoalFilter};
use adjutant_model::goal::GoalStatus;
use adjutant_protocol::http::GoalsView;
use std::io;
use std::path::Path;

/// Gives the goals that `goals.json` in a data folder has, all or those in a state, marked with the time since when it
/// says so.
///
/// # Errors
/// When it is not there or cannot be read, or there is no such state.
pub fn goals_mirrored(folder: &Path, status: Option<&str>) -> io::Result<GoalsView> {
    let known = |text: &str| GoalStatus::parse(text).ok_or(io::ErrorKind::InvalidInput);
    let filter = GoalFilter { status: status.map(known).transpose()?, ..GoalFilter::default() };
    Ok(convert::goals(&goals::mirrored(folder, &filter)?))
}
