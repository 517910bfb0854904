//! The life of a run: which state may follow which, and how long a run may take.
//!
//! ```text
//! pending ──▶ running ◀──▶ waiting
//!    │           │            │
//!    │           ├────────────┴──────────▶ done
//!    ├───────────┼────────────┬──────────▶ failed, cancelled, incomplete
//!    ▼           ▼            ▼                        ▲
//!   ┌─────────────────────────────┐                    │
//!   │ interrupted                 │────────────────────┘
//!   └─────────────────────────────┘
//!    └──▶ pending, running or waiting, as recovery finds it
//! ```
//!
//! A run is `interrupted` when its driver is gone and can be taken up again; `incomplete` when the client that
//! drove it is gone for good. `done`, `failed`, `cancelled` and `incomplete` are final. No state follows itself,
//! so every journalled change is one. A rerun is no step of this life: it opens a run that was over as if its end had
//! not been.

use adjutant_model::run::{RunStatus, StepPath, TtlSource};

/// The longest time to live, in seconds: seven days.
pub const TTL_SECS_MAX: u64 = 604_800;

/// Tells whether `to` may follow `from`.
pub fn can(from: RunStatus, to: RunStatus) -> bool {
    followers(from).contains(&to)
}

/// Gives the states that may follow.
pub fn followers(from: RunStatus) -> &'static [RunStatus] {
    use RunStatus::{Cancelled, Done, Failed, Incomplete, Interrupted, Pending, Running, Waiting};
    match from {
        Pending => &[Running, Failed, Cancelled, Interrupted, Incomplete],
        Running => &[Waiting, Done, Failed, Cancelled, Interrupted, Incomplete],
        Waiting => &[Running, Done, Failed, Cancelled, Interrupted, Incomplete],
        Interrupted => &[Pending, Running, Waiting, Failed, Cancelled, Incomplete],
        Done | Failed | Cancelled | Incomplete => &[],
    }
}

/// Tells whether a rerun from `from` takes back a step: when that is its agent's name, its path, or a path above it.
pub fn takes_back(from: &str, agent: &str, path: &StepPath) -> bool {
    let below = |rest: &str| rest.is_empty() || rest.starts_with('/');
    from == "." || from == agent || path.as_str().strip_prefix(from).is_some_and(below)
}

/// Where a time to live may come from, the first that is there wins; all in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TtlCascade {
    /// The request's `ttl_secs`.
    pub request_secs: Option<u64>,
    /// The blueprint's `metadata.default_run_ttl_secs`.
    pub metadata_secs: Option<u64>,
    /// The setting.
    pub default_secs: u64,
}

/// A time to live that no run can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a time to live of {secs} s is not between 1 and {TTL_SECS_MAX}")]
pub struct TtlRefusal {
    /// What was asked for.
    pub secs: u64,
    /// Who asked.
    pub chosen_by: TtlSource,
}

/// Chooses how long a run may take, in milliseconds, and says who chose.
///
/// # Errors
/// [`TtlRefusal`] when the chosen one is 0 or more than [`TTL_SECS_MAX`].
pub fn ttl(cascade: TtlCascade) -> Result<(u64, TtlSource), TtlRefusal> {
    let (secs, chosen_by) = match (cascade.request_secs, cascade.metadata_secs) {
        (Some(secs), _) => (secs, TtlSource::RequestBody),
        (None, Some(secs)) => (secs, TtlSource::BpMetadata),
        (None, None) => (cascade.default_secs, TtlSource::ServerDefault),
    };
    if (1..=TTL_SECS_MAX).contains(&secs) {
        Ok((secs * 1000, chosen_by))
    } else {
        Err(TtlRefusal { secs, chosen_by })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RunStatus::{Cancelled, Done, Failed, Incomplete, Interrupted, Pending, Running, Waiting};

    #[test]
    fn each_of_the_64_pairs_is_allowed_or_refused_as_the_table_says() {
        // Rows are `from`, columns `to`, both in the order of `RunStatus::ALL`.
        let table = [
            (Pending, ".x..xxxx"),
            (Running, "..xxxxxx"),
            (Waiting, ".x.xxxxx"),
            (Done, "........"),
            (Failed, "........"),
            (Cancelled, "........"),
            (Interrupted, "xxx.xx.x"),
            (Incomplete, "........"),
        ];
        for (from, row) in table {
            for (to, cell) in RunStatus::ALL.into_iter().zip(row.chars()) {
                assert_eq!(can(from, to), cell == 'x', "{from} → {to}");
            }
        }
    }

    #[test]
    fn nothing_follows_exactly_the_terminal_states() {
        for status in RunStatus::ALL {
            assert_eq!(followers(status).is_empty(), status.is_terminal(), "{status}");
        }
    }

    #[test]
    fn a_rerun_takes_back_a_step_by_its_agent_its_path_or_one_above() {
        for (from, taken) in [
            ("fix", true),
            ("0/body#1/2", true),
            ("0/body#1", true),
            ("0", true),
            (".", true),
            ("0/body#", false),
            ("0/body#1/2/0", false),
            ("1", false),
            ("fi", false),
        ] {
            assert_eq!(takes_back(from, "fix", &StepPath::new("0/body#1/2")), taken, "{from}");
        }
    }

    #[test]
    fn the_time_to_live_comes_from_the_first_that_says_one() {
        let rows = [
            (Some(5), Some(7), 1800, Ok((5_000, TtlSource::RequestBody))),
            (None, Some(7), 1800, Ok((7_000, TtlSource::BpMetadata))),
            (None, None, 1800, Ok((1_800_000, TtlSource::ServerDefault))),
            (Some(604_800), None, 1800, Ok((604_800_000, TtlSource::RequestBody))),
            (Some(0), Some(7), 1800, Err(0)),
            (Some(604_801), None, 1800, Err(604_801)),
            (Some(u64::MAX), None, 1800, Err(u64::MAX)),
            (None, Some(0), 1800, Err(0)),
            (None, None, 0, Err(0)),
        ];
        for (request_secs, metadata_secs, default_secs, expected) in rows {
            let found = ttl(TtlCascade { request_secs, metadata_secs, default_secs });
            assert_eq!(found.map_err(|refusal| refusal.secs), expected, "{request_secs:?} {metadata_secs:?}");
        }
    }
}
