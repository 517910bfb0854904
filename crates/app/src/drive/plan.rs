//! What a drive does next: pure, from what has happened.
//!
//! ```text
//!  Drive ──► the check passes ──────────────────────► Done
//!    ▲            │ it does not
//!    └── attempts and budget are left
//!                 │ else
//!                 └─────────────────────────────────► GiveUp
//! ```

/// The bounds of a drive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limits {
    /// How often the agent is driven at most.
    pub(super) attempts: u32,
    /// What it may cost, in US dollars, as far as the agent says what it costs.
    pub(super) budget_usd: Option<f64>,
}

/// What has been spent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Spent {
    pub(super) attempts: u32,
    pub(super) usd: f64,
}

/// What the check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) passed: bool,
    /// How it ended, such as `exit 1`.
    pub(super) ended: String,
    pub(super) output_tail: String,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Drive the agent with this prompt.
    Drive { prompt: String },
    /// The check passes.
    Done,
    /// Stop without it.
    GiveUp { why: String },
}

/// Decides behind a check.
pub(super) fn next(limits: Limits, spent: Spent, task: &str, check: &str, verdict: &Verdict) -> Next {
    if verdict.passed {
        return Next::Done;
    }
    if spent.attempts >= limits.attempts {
        let times =
            if spent.attempts == 1 { "1 attempt".to_owned() } else { format!("{} attempts", spent.attempts) };
        return Next::GiveUp { why: format!("the check does not pass after {times}") };
    }
    if let Some(budget) = limits.budget_usd.filter(|budget| spent.usd >= *budget) {
        let why =
            format!("the check does not pass and the budget of ${budget:.2} is spent (${:.4})", spent.usd);
        return Next::GiveUp { why };
    }
    Next::Drive { prompt: again(task, check, verdict) }
}

/// Tells an agent that remembers nothing of the last attempt what came of it.
fn again(task: &str, check: &str, verdict: &Verdict) -> String {
    let Verdict { ended, output_tail, .. } = verdict;
    let printed = match output_tail.trim_end() {
        "" => "It printed nothing.".to_owned(),
        tail => format!("It printed at the end:\n\n{tail}"),
    };
    format!(
        "{task}\n\nWork on this has begun in this directory, and is not done: the check `{check}` does not pass \
         ({ended}). {printed}\n\nFind out why, and mend it."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_until_the_check_passes_or_something_is_spent() {
        let limits = |attempts, budget_usd| Limits { attempts, budget_usd };
        let spent = |attempts, usd| Spent { attempts, usd };
        for (limits, spent, passed, expected) in [
            (limits(1, None), spent(1, 0.0), true, "done"),
            (limits(3, Some(1.0)), spent(3, 5.0), true, "done"),
            (limits(3, None), spent(1, 9.0), false, "drive"),
            (limits(3, Some(1.0)), spent(2, 0.99), false, "drive"),
            (limits(1, None), spent(1, 0.0), false, "the check does not pass after 1 attempt"),
            (limits(3, Some(1.0)), spent(3, 2.0), false, "the check does not pass after 3 attempts"),
            (
                limits(3, Some(1.0)),
                spent(2, 1.0),
                false,
                "the check does not pass and the budget of $1.00 is spent ($1.0000)",
            ),
        ] {
            let verdict = Verdict { passed, ended: "exit 1".to_owned(), output_tail: "boom\n".to_owned() };
            let told = match next(limits, spent, "fix it", "make test", &verdict) {
                Next::Done => "done".to_owned(),
                Next::Drive { .. } => "drive".to_owned(),
                Next::GiveUp { why } => why,
            };
            assert_eq!(told, expected, "{limits:?} {spent:?}");
        }
    }

    #[test]
    fn the_next_attempt_is_told_the_task_the_check_and_what_it_printed() {
        for (output_tail, printed) in
            [("1 failed\n", "It printed at the end:\n\n1 failed\n\n"), (" \n", "It printed nothing.")]
        {
            let verdict =
                Verdict { passed: false, ended: "exit 2".to_owned(), output_tail: output_tail.to_owned() };
            let prompt = again("fix it", "make test", &verdict);
            assert!(
                prompt.starts_with("fix it\n") && prompt.contains("`make test` does not pass (exit 2)"),
                "{prompt}"
            );
            assert!(prompt.contains(printed), "{prompt}");
        }
    }
}
