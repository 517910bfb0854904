//! What a run cost, in one line.

use adjutant_protocol::http::{CostView, RunView, UsageView};

/// Says what the models of a run used, as far as its agents said; `None` when none did.
pub(crate) fn of(run: &RunView) -> Option<String> {
    run.usage.as_ref().and_then(told)
}

/// Says it; `None` when there is nothing to say.
pub(crate) fn told(usage: &UsageView) -> Option<String> {
    let money = usage.cost_usd.map(|usd| format!("${usd:.4}"));
    let read = usage.input_tokens.map(|n| format!("{} tokens in", grouped(n)));
    let written = usage.output_tokens.map(|n| {
        let noun = if usage.input_tokens.is_none() { " tokens" } else { "" };
        format!("{}{noun} out", grouped(n))
    });
    let tokens: Vec<String> = read.into_iter().chain(written).collect();
    let tokens = (!tokens.is_empty()).then(|| tokens.join(", "));
    let turns = usage.num_turns.map(|n| match n {
        1 => "1 turn".to_owned(),
        n => format!("{} turns", grouped(n)),
    });
    let parts: Vec<String> = [money, tokens, turns, usage.model.clone()].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(" · "))
}

/// Says what all that was started for something cost; `None` when no session was, or nothing is known.
pub(crate) fn with_sessions(cost: &CostView) -> Option<String> {
    let about = if cost.is_estimated { "about " } else { "" };
    let money = cost.cost_usd.map(|usd| format!("{about}${usd:.4}"));
    let unpriced = (cost.unpriced_tokens > 0)
        .then(|| format!("{} tokens whose cost nobody knows", grouped(cost.unpriced_tokens)));
    let sessions = match cost.sessions {
        0 => return None,
        1 => "1 session".to_owned(),
        sessions => format!("{sessions} sessions"),
    };
    let parts: Vec<String> = money.into_iter().chain(unpriced).collect();
    (!parts.is_empty()).then(|| format!("{} with {sessions}", parts.join(" and ")))
}

/// Shows a number with its thousands apart.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(' ');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_says_is_left_out() {
        let tokens =
            |input, output| UsageView { input_tokens: input, output_tokens: output, ..UsageView::default() };
        let all = UsageView { cost_usd: Some(0.0123), num_turns: Some(3), ..tokens(Some(1234), Some(567)) };
        let one =
            UsageView { num_turns: Some(1), model: Some("m".to_owned()), ..tokens(Some(234), Some(67)) };
        for (usage, expected) in [
            (all, Some("$0.0123 · 1 234 tokens in, 567 out · 3 turns")),
            (one, Some("234 tokens in, 67 out · 1 turn · m")),
            (tokens(None, Some(1_234_567)), Some("1 234 567 tokens out")),
            (UsageView::default(), None),
        ] {
            assert_eq!(told(&usage).as_deref(), expected, "{usage:?}");
        }
    }
}
