//! Whether an operator is there.

use adjutant_model::Timestamp;

/// What is known of an operator's presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presence {
    /// Whether its socket is open.
    pub connected: bool,
    /// When it was last heard of.
    pub seen_at: Timestamp,
}

/// How an operator stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is there, or has only just gone.
    Live,
    /// It is away, and may come back.
    Away,
    /// It was away for so long that it is not known any more.
    Forgotten,
}

/// Gives how an operator stands: away when it was not heard of for `lost_ms`, forgotten after `forget_ms`.
pub fn standing(presence: Presence, (lost_ms, forget_ms): (u64, u64), now: Timestamp) -> Standing {
    let away_ms = now.ms_since(presence.seen_at);
    match presence.connected {
        true => Standing::Live,
        false if away_ms >= forget_ms => Standing::Forgotten,
        false if away_ms >= lost_ms => Standing::Away,
        false => Standing::Live,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_away_is_lost_first_and_then_forgotten() {
        let at = Timestamp::from_unix_ms;
        for (connected, now, expected) in [
            (false, 1_000, Standing::Live),
            (false, 1_149, Standing::Live),
            (false, 1_150, Standing::Away),
            (false, 1_999, Standing::Away),
            (false, 2_000, Standing::Forgotten),
            (true, 9_000, Standing::Live),
            (false, 0, Standing::Live),
        ] {
            let presence = Presence { connected, seen_at: at(1_000) };
            assert_eq!(standing(presence, (150, 1_000), at(now)), expected, "{connected} {now}");
        }
    }
}
