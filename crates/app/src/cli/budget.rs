//! What agents may spend, as it is said on the command line.

use adjutant_protocol::http::BudgetView;
use clap::Args;

/// What may be spent; whoever works is stopped before it passes that.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(super) struct BudgetArgs {
    /// US dollars; what agents tell as tokens alone counts by their model's price, when that is known.
    #[arg(long, value_name = "USD", value_parser = dollars)]
    max_cost: Option<f64>,
    /// Tokens, but for those that are read from a cache.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_tokens: Option<u64>,
    /// Minutes in which agents are there.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_minutes: Option<u64>,
}

impl BudgetArgs {
    /// Gives the budget; what is not said is not limited.
    pub(super) fn view(self) -> BudgetView {
        self.over(BudgetView::default())
    }

    /// Gives a budget as it is when what is said here is different about it.
    pub(super) fn over(self, budget: BudgetView) -> BudgetView {
        BudgetView {
            max_cost_usd: self.max_cost.or(budget.max_cost_usd),
            max_tokens: self.max_tokens.or(budget.max_tokens),
            max_minutes: self.max_minutes.or(budget.max_minutes),
        }
    }

    /// Tells whether anything is said.
    pub(super) fn says_something(self) -> bool {
        self.max_cost.is_some() || self.max_tokens.is_some() || self.max_minutes.is_some()
    }
}

/// Reads an amount. What JSON cannot say would be no limit at all.
fn dollars(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(usd) if usd.is_finite() && usd > 0.0 => Ok(usd),
        Ok(_) | Err(_) => Err("an amount is a number above 0, such as 2.50".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_an_amount_that_can_be_kept() {
        assert_eq!(dollars("2.5"), Ok(2.5));
        for wrong in ["NaN", "inf", "-1", "0", "two", ""] {
            assert!(dollars(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_said_of_a_budget_stays() {
        let before = BudgetView { max_cost_usd: Some(2.0), max_tokens: Some(9), max_minutes: None };
        let said = BudgetArgs { max_tokens: Some(5), ..BudgetArgs::default() };
        let after = BudgetView { max_cost_usd: Some(2.0), max_tokens: Some(5), max_minutes: None };
        assert_eq!(said.over(before), after);
        assert!(said.says_something() && !BudgetArgs::default().says_something());
    }
}
