//! OpenMetrics as Prometheus' older text format.
//!
//! There a counter's description goes by the name of its samples, there are no units, and nothing marks the end.

use std::collections::HashSet;

/// Writes an OpenMetrics text in the older format.
pub(super) fn of_open_metrics(text: &str) -> String {
    let counters: HashSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let mut older = String::with_capacity(text.len());
    for line in text.lines().filter(|line| *line != "# EOF" && !line.starts_with("# UNIT ")) {
        let described =
            ["# HELP ", "# TYPE "].into_iter().find_map(|mark| Some((mark, line.strip_prefix(mark)?)));
        match described.and_then(|(mark, rest)| Some((mark, rest.split_once(' ')?))) {
            Some((mark, (name, rest))) if counters.contains(name) => {
                older.extend([mark, name, "_total ", rest, "\n"]);
            }
            Some(_) | None => older.extend([line, "\n"]),
        }
    }
    older
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_described_by_the_name_of_their_samples() {
        let open = "# HELP steps Steps.\n# TYPE steps counter\nsteps_total{outcome=\"ok\"} 1\n\
                    # HELP hook_seconds Hooks.\n# TYPE hook_seconds histogram\n# UNIT hook_seconds seconds\n\
                    hook_seconds_sum 0.5\n# EOF\n";
        let older = "# HELP steps_total Steps.\n# TYPE steps_total counter\nsteps_total{outcome=\"ok\"} 1\n\
                     # HELP hook_seconds Hooks.\n# TYPE hook_seconds histogram\nhook_seconds_sum 0.5\n";
        assert_eq!(of_open_metrics(open), older);
    }
}
