//! Memory pressure: how full an agent's context is.

/// Where warnings begin, as parts of the window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PressureConfig {
    /// From here on people may want to know.
    pub warn_at: f64,
    /// From here on they have to.
    pub alert_at: f64,
    /// From here on it is to be compacted.
    pub compact_at: f64,
}

impl Default for PressureConfig {
    fn default() -> Self {
        PressureConfig { warn_at: 0.70, alert_at: 0.85, compact_at: 0.90 }
    }
}

impl PressureConfig {
    /// Tells whether each threshold is a part of the window and they ascend.
    pub fn is_valid(&self) -> bool {
        let parts = [self.warn_at, self.alert_at, self.compact_at];
        parts.iter().all(|part| *part > 0.0 && *part <= 1.0) && parts.is_sorted_by(|a, b| a < b)
    }
}

/// How full a context is; the later in this list, the fuller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// There is room.
    Ok,
    /// It fills.
    Warn,
    /// It is nearly full.
    Alert,
    /// It is to be compacted.
    Compact,
}

impl Pressure {
    /// Gives the name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Pressure::Ok => "ok",
            Pressure::Warn => "warn",
            Pressure::Alert => "alert",
            Pressure::Compact => "compact",
        }
    }
}

/// Gives which part of its window a context takes, between 0 and 1 and to four digits, rounded down: what is shown as
/// reached is reached. 0 of a window of nothing.
pub fn part(used_tokens: u64, window_tokens: u64) -> f64 {
    const PARTS: u128 = 10_000;
    let parts = (u128::from(used_tokens) * PARTS).checked_div(u128::from(window_tokens)).unwrap_or(0);
    // Whole numbers below 2^53, so that the quotient is the nearest to what is meant.
    parts.min(PARTS) as f64 / PARTS as f64
}

/// Tells how full a context is; a threshold that is reached counts.
pub fn pressure(used_tokens: u64, window_tokens: u64, config: &PressureConfig) -> Pressure {
    // Not the part to four digits, which falls short of a threshold with more.
    let reached =
        |threshold: f64| window_tokens > 0 && used_tokens as f64 >= threshold * window_tokens as f64;
    match () {
        () if reached(config.compact_at) => Pressure::Compact,
        () if reached(config.alert_at) => Pressure::Alert,
        () if reached(config.warn_at) => Pressure::Warn,
        () => Pressure::Ok,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_that_is_reached_counts() {
        for (used, window, expected, shown) in [
            (0, 0, Pressure::Ok, "0"),
            (5, 0, Pressure::Ok, "0"),
            (69_999, 100_000, Pressure::Ok, "0.6999"),
            (69_999_999, 100_000_000, Pressure::Ok, "0.6999"),
            (140_000, 200_000, Pressure::Warn, "0.7"),
            (84_999, 100_000, Pressure::Warn, "0.8499"),
            (170_000, 200_000, Pressure::Alert, "0.85"),
            (899_999, 1_000_000, Pressure::Alert, "0.8999"),
            (180_000, 200_000, Pressure::Compact, "0.9"),
            (900_000, 1_000_000, Pressure::Compact, "0.9"),
            (7, 10, Pressure::Warn, "0.7"),
            (17, 20, Pressure::Alert, "0.85"),
            (u64::MAX, 1, Pressure::Compact, "1"),
        ] {
            let found = pressure(used, window, &PressureConfig::default());
            assert_eq!(
                (found, part(used, window).to_string()),
                (expected, shown.to_owned()),
                "{used}/{window}"
            );
        }
    }

    #[test]
    fn thresholds_ascend_within_the_window() {
        let config = |warn_at, alert_at, compact_at| PressureConfig { warn_at, alert_at, compact_at };
        assert!(PressureConfig::default().is_valid() && config(0.1, 0.2, 1.0).is_valid());
        for wrong in [
            config(0.0, 0.5, 0.9),
            config(0.5, 0.5, 0.9),
            config(0.7, 0.6, 0.9),
            config(0.7, 0.8, 1.1),
            config(f64::NAN, 0.8, 0.9),
        ] {
            assert!(!wrong.is_valid(), "{wrong:?}");
        }
    }
}
