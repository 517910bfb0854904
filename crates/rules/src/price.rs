//! What tokens cost, by the name of their model; of a model that nobody knows nothing is claimed.

use adjutant_model::session::SessionUsage;
use std::collections::BTreeMap;

/// What a million tokens cost, in US dollars.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// Of those that the model reads.
    pub input: f64,
    /// Of those that it writes.
    pub output: f64,
}

impl Price {
    /// Gives what was used comes to, in US dollars.
    pub fn of(self, usage: &SessionUsage) -> f64 {
        let read = millions(usage.input_tokens)
            + millions(usage.cache_read_tokens) * CACHE_READ
            + millions(usage.cache_write_tokens) * CACHE_WRITE;
        read * self.input + millions(usage.output_tokens) * self.output
    }
}

/// Prices per million tokens by a part of a model's name: those that the orchestrators of the field reckon with, list
/// prices of the families' 4.5 and earlier. A setting goes over them.
pub const SHIPPED: [(&str, Price); 3] = [
    ("sonnet", Price { input: 3.0, output: 15.0 }),
    ("haiku", Price { input: 0.8, output: 4.0 }),
    ("opus", Price { input: 15.0, output: 75.0 }),
];

/// What reading a token from a model's cache costs of what reading it afresh does, and what putting it there does: the
/// factors of the shipped models' vendor.
const CACHE_READ: f64 = 0.1;
const CACHE_WRITE: f64 = 1.25;

/// Gives a model's price: of the names that are part of the model's the longest, own ones before the shipped.
pub fn of_model(own: &BTreeMap<String, Price>, model: &str) -> Option<Price> {
    let model = model.to_ascii_lowercase();
    let is_part = |name: &str| !name.is_empty() && model.contains(&name.to_ascii_lowercase());
    let found = own.iter().filter(|(name, _)| is_part(name)).max_by_key(|(name, _)| name.len());
    let shipped = || SHIPPED.iter().find(|(name, _)| is_part(name)).map(|(_, price)| *price);
    found.map(|(_, price)| *price).or_else(shipped)
}

/// Gives what an agent's tokens cost, when it does not say so itself; nothing when the model has no price or nothing
/// was used.
pub fn of_usage(own: &BTreeMap<String, Price>, model: Option<&str>, usage: &SessionUsage) -> Option<f64> {
    let SessionUsage { input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, .. } = usage;
    let is_unused = [input_tokens, output_tokens, cache_read_tokens, cache_write_tokens] == [&0; 4];
    Some(of_model(own, model?).filter(|_| !is_unused)?.of(usage))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "nobody pays for so many tokens that one more could be told apart"
)]
fn millions(tokens: u64) -> f64 {
    tokens as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_costs_what_the_longest_part_of_its_name_says_and_own_prices_go_first() {
        let own = BTreeMap::from([
            ("gpt-5".to_owned(), Price { input: 1.0, output: 10.0 }),
            ("gpt-5-mini".to_owned(), Price { input: 0.25, output: 2.0 }),
            ("Haiku".to_owned(), Price { input: 1.0, output: 5.0 }),
        ]);
        for (model, input) in [
            ("claude-sonnet-4-5-20250929", Some(3.0)),
            ("claude-opus-4-5", Some(15.0)),
            ("us.anthropic.Claude-Haiku-4-5", Some(1.0)),
            ("gpt-5-mini-2026", Some(0.25)),
            ("gpt-5", Some(1.0)),
            ("gemini-3-pro", None),
            ("", None),
        ] {
            assert_eq!(of_model(&own, model).map(|price| price.input), input, "{model}");
        }
        assert_eq!(of_model(&BTreeMap::new(), "claude-haiku-4-5").map(|price| price.output), Some(4.0));
    }

    #[test]
    fn tokens_cost_by_how_they_were_read() {
        let used = |input_tokens, output_tokens, cache_read_tokens, cache_write_tokens| SessionUsage {
            input_tokens,
            output_tokens,
            cache_read_tokens,
            cache_write_tokens,
            ..SessionUsage::default()
        };
        for (model, usage, cost) in [
            (Some("sonnet"), used(1_000_000, 100_000, 0, 0), Some(4.5)),
            (Some("sonnet"), used(0, 0, 1_000_000, 1_000_000), Some(4.05)),
            (Some("sonnet"), used(0, 0, 0, 0), None),
            (Some("else"), used(1_000_000, 0, 0, 0), None),
            (None, used(1_000_000, 0, 0, 0), None),
        ] {
            let found = of_usage(&BTreeMap::new(), model, &usage);
            let is_close = match (found, cost) {
                (Some(found), Some(cost)) => (found - cost).abs() < 1e-9,
                (found, cost) => found == cost,
            };
            assert!(is_close, "{model:?} {usage:?}: {found:?}");
        }
    }
}
