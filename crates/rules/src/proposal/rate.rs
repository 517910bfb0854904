//! Token buckets, each kept as one instant: when it will be full again.

use adjutant_model::Timestamp;
use adjutant_model::proposal::RateLimit;

/// A tool's bucket.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Bucket {
    /// When it is full, in microseconds since the Unix epoch.
    full_at_us: i64,
}

/// What a bucket says to a call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Taken {
    /// It may go on, and this is the bucket without its token.
    Now(Bucket),
    /// It is empty until this instant.
    NotBefore(Timestamp),
}

impl Bucket {
    /// Takes a token, if there is one.
    pub(super) fn take(self, limit: RateLimit, now: Timestamp) -> Taken {
        let now_us = now.unix_ms().saturating_mul(1000);
        let interval_us = limit.interval_secs * 1_000_000.0;
        let per_token_us = (interval_us / limit.max_calls.max(1) as f64) as i64;
        // No bucket is further from full than empty; one that seems so was filled before a clock was set back.
        let known_us = self.full_at_us.clamp(now_us, now_us.saturating_add(interval_us as i64));
        let full_at_us = known_us.saturating_add(per_token_us);
        let free_at_us = full_at_us.saturating_sub(interval_us as i64);
        if free_at_us <= now_us {
            return Taken::Now(Bucket { full_at_us });
        }
        // Timers count milliseconds; rounding up keeps one from going off too early.
        let free_at_ms = free_at_us.saturating_add(999) / 1000;
        Taken::NotBefore(Timestamp::from_unix_ms(free_at_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_tokens_at_once_and_then_one_per_share_of_the_interval() {
        let limit = RateLimit { max_calls: 3, interval_secs: 1.0 };
        let mut bucket = Bucket::default();
        let mut granted = Vec::new();
        let mut now = Timestamp::from_unix_ms(1_000_000);
        while granted.len() < 6 {
            match bucket.take(limit, now) {
                Taken::Now(rest) => {
                    bucket = rest;
                    granted.push(now.unix_ms() - 1_000_000);
                }
                Taken::NotBefore(at) => {
                    assert!(at > now, "whoever waits gets further");
                    now = at;
                }
            }
        }
        assert_eq!(granted, [0, 0, 0, 334, 667, 1000]);
        now = now.plus_ms(10_000);
        for _ in 0..3 {
            let Taken::Now(rest) = bucket.take(limit, now) else {
                panic!("it is full again, and not fuller")
            };
            bucket = rest;
        }
        assert!(matches!(bucket.take(limit, now), Taken::NotBefore(_)));
        let set_back = Timestamp::from_unix_ms(0);
        let soon = Timestamp::from_unix_ms(334);
        assert_eq!(
            bucket.take(limit, set_back),
            Taken::NotBefore(soon),
            "a clock that was set back costs one interval"
        );
    }
}
