//! What a session may spend.

use crate::price::Price;
use adjutant_model::Timestamp;
use adjutant_model::session::{Session, SessionUsage};

const MS_PER_MINUTE: u64 = 60_000;

/// Says what is spent, when something is: also what the next step would pass, if it used as much as the largest so far.
/// What an agent does not say of its cost is reckoned by its model's price.
pub fn over(session: &Session, price: Option<Price>, now: Timestamp) -> Option<String> {
    let budget = &session.budget;
    if let Some(max) = budget.max_cost_usd {
        let is_estimated = session.usage.cost_usd.is_none();
        let price = price.filter(|_| is_estimated);
        let cost =
            |usage: &SessionUsage| usage.cost_usd.or(price.map(|price| price.of(usage))).unwrap_or(0.0);
        let (used, next) = (cost(&session.usage), cost(&session.usage_step));
        if used + next > max || used >= max {
            let estimated = if is_estimated { ", as estimated" } else { "" };
            return Some(format!("{used:.4} of {max:.4} US dollars{estimated}{}", foreseen(used < max)));
        }
    }
    if let Some(max) = budget.max_tokens {
        let (used, next) = (session.usage.tokens(), session.usage_step.tokens());
        if used.saturating_add(next) > max || used >= max {
            return Some(format!("{used} of {max} tokens{}", foreseen(used < max)));
        }
    }
    let max = budget.max_minutes?;
    let used_ms = active_ms(session, now);
    (used_ms >= max.saturating_mul(MS_PER_MINUTE)).then(|| format!("{max} minutes"))
}

fn foreseen(is_below: bool) -> &'static str {
    if is_below { ", and the next step would pass it" } else { "" }
}

/// Gives when the minutes of a running session are over.
pub(super) fn minutes_over_at(session: &Session) -> Option<Timestamp> {
    let max_ms = session.budget.max_minutes?.saturating_mul(MS_PER_MINUTE);
    Some(session.launched_at?.plus_ms(max_ms.saturating_sub(session.active_ms)))
}

fn active_ms(session: &Session, now: Timestamp) -> u64 {
    session.active_ms + session.launched_at.map_or(0, |at| now.ms_since(at))
}

/// Adds what one step used.
pub(super) fn add(session: &mut Session, step: &SessionUsage) {
    session.usage = session.usage.plus(step);
    let most = &session.usage_step;
    session.usage_step = SessionUsage {
        input_tokens: most.input_tokens.max(step.input_tokens),
        output_tokens: most.output_tokens.max(step.output_tokens),
        cache_read_tokens: most.cache_read_tokens.max(step.cache_read_tokens),
        cache_write_tokens: most.cache_write_tokens.max(step.cache_write_tokens),
        cost_usd: match (most.cost_usd, step.cost_usd) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        },
        context_used: None,
        context_window: None,
    };
}

/// Takes what an agent counts from its start: what is new of it is one step.
pub(super) fn set(session: &mut Session, total: &SessionUsage) {
    let known = &session.usage_of_launch;
    let more = SessionUsage {
        input_tokens: total.input_tokens.saturating_sub(known.input_tokens),
        output_tokens: total.output_tokens.saturating_sub(known.output_tokens),
        cache_read_tokens: total.cache_read_tokens.saturating_sub(known.cache_read_tokens),
        cache_write_tokens: total.cache_write_tokens.saturating_sub(known.cache_write_tokens),
        cost_usd: total.cost_usd.map(|cost| (cost - known.cost_usd.unwrap_or(0.0)).max(0.0)),
        context_used: total.context_used,
        context_window: total.context_window,
    };
    session.usage_of_launch =
        known.plus(&SessionUsage { context_used: None, context_window: None, ..more.clone() });
    add(session, &more);
}
