//! What clients ask for: one key again and again, or the mixture of an application's cache.
//!
//! The mixture is 80 % GET, 15 % SET and 1 % each of MGET, INCR, HSET, ZADD and EVALSHA. Keys follow
//! a Zipf distribution with exponent 0.99 over 20 000 keys; a key's value has between 64 B and 4 KiB,
//! each doubling as likely as the next, and always the same length.

use respgate::resp::write;

/// Keys of the mixture.
pub(crate) const KEYS: usize = 20_000;

const ZIPF_EXPONENT: f64 = 0.99;
const VALUE_BYTES_MIN: usize = 64;
const DOUBLINGS: u32 = 6;
const SCRIPT: &[u8] = b"return redis.call('INCR', KEYS[1])";

/// What a request is drawn from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// GET of this key.
    Key(String),
    /// The mixture.
    Mixed,
}

impl From<&str> for What {
    fn from(word: &str) -> Self {
        if word == "mixed" { Self::Mixed } else { Self::Key(word.to_owned()) }
    }
}

/// Draws requests.
pub(crate) struct Mix {
    /// The share of the first keys, ascending to 1.
    shares: Vec<f64>,
    /// Of the script, as Redis said it.
    digest: Vec<u8>,
    filler: Vec<u8>,
}

/// A xorshift generator: the same draws in each run.
pub(crate) struct Draws(u64);

impl Draws {
    /// A series of its own for each seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Below one, and at least zero.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

impl Mix {
    /// Its distribution and its script.
    pub(crate) fn new() -> Self {
        let weights = (1..=KEYS).map(|rank| (rank as f64).powf(-ZIPF_EXPONENT));
        let mut sum = 0.0;
        let mut shares: Vec<f64> = weights
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
        shares.iter_mut().for_each(|share| *share /= sum);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, SCRIPT);
        let digest = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let filler = vec![b'x'; VALUE_BYTES_MIN << DOUBLINGS];
        Self { shares, digest: digest.into_bytes(), filler }
    }

    /// Appends one request.
    pub(crate) fn draw(&self, what: &What, draws: &mut Draws, out: &mut Vec<u8>) {
        match what {
            What::Key(key) => append(out, &[b"GET", key.as_bytes()]),
            What::Mixed => self.draw_mixed(draws, out),
        }
    }

    fn draw_mixed(&self, draws: &mut Draws, out: &mut Vec<u8>) {
        let rank = self.rank(draws);
        let key = |kind: &str| format!("mix:{kind}:{rank}").into_bytes();
        match draws.below(100) {
            0..80 => append(out, &[b"GET", &key("value")]),
            80..95 => append(out, &[b"SET", &key("value"), self.value(rank)]),
            95 => {
                let others = [self.rank(draws), self.rank(draws)];
                let [b, c] = others.map(|rank| format!("mix:value:{rank}").into_bytes());
                append(out, &[b"MGET", &key("value"), &b, &c]);
            }
            96 => append(out, &[b"INCR", &key("count")]),
            97 => append(out, &[b"HSET", &key("hash"), b"field", b"value"]),
            98 => append(out, &[b"ZADD", &key("set"), b"1", b"member"]),
            _ => append(out, &[b"EVALSHA", &self.digest, b"1", &key("script")]),
        }
    }

    /// What has to be in Redis before the mixture is asked for, and how many requests that is.
    pub(crate) fn preload(&self) -> (Vec<u8>, usize) {
        let mut out = write::command(&[b"SCRIPT", b"LOAD", SCRIPT]);
        for rank in 0..KEYS {
            append(&mut out, &[b"SET", format!("mix:value:{rank}").as_bytes(), self.value(rank)]);
        }
        (out, KEYS + 1)
    }

    /// By how often it is asked for, the first most often.
    fn rank(&self, draws: &mut Draws) -> usize {
        let share = draws.share();
        self.shares.partition_point(|&until| until <= share).min(KEYS - 1)
    }

    fn value(&self, rank: usize) -> &[u8] {
        let mut draws = Draws::new(rank as u64);
        draws.next();
        let bytes = VALUE_BYTES_MIN as f64 * (draws.share() * f64::from(DOUBLINGS)).exp2();
        &self.filler[..(bytes as usize).clamp(VALUE_BYTES_MIN, self.filler.len())]
    }
}

fn append(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.extend_from_slice(&write::command(words));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use respgate::resp::{ReplyScanner, args};

    #[test]
    fn the_mixture_has_its_shares_and_its_sizes() {
        let (mix, mut draws) = (Mix::new(), Draws::new(7));
        let mut counts = BTreeMap::<Vec<u8>, usize>::new();
        let mut first_keys = 0;
        for _ in 0..100_000 {
            let mut request = Vec::new();
            mix.draw(&What::Mixed, &mut draws, &mut request);
            let words: Vec<&[u8]> = args(&request).collect();
            *counts.entry(words[0].to_vec()).or_default() += 1;
            let rank = |word: &[u8]| {
                String::from_utf8_lossy(word).rsplit(':').next().and_then(|rank| rank.parse::<usize>().ok())
            };
            first_keys += usize::from(rank(words[1]).is_some_and(|rank| rank < 10));
        }
        let share = |name: &str| counts[name.as_bytes()] as f64 / 1000.0;
        assert!((share("GET") - 80.0).abs() < 1.0 && (share("SET") - 15.0).abs() < 1.0, "{counts:?}");
        for name in ["MGET", "INCR", "HSET", "ZADD", "EVALSHA"] {
            assert!((share(name) - 1.0).abs() < 0.3, "{counts:?}");
        }
        // The first ten of 20 000 have 27 % of the weight.
        assert!((25_000..29_000).contains(&first_keys), "{first_keys}");
        let sizes: Vec<usize> = (0..KEYS).map(|rank| mix.value(rank).len()).collect();
        assert!(sizes.iter().all(|size| (64..=4096).contains(size)));
        let below = sizes.iter().filter(|&&size| size < 512).count();
        assert!((9_500..10_500).contains(&below), "half of the sizes are below the middle: {below}");
    }

    #[test]
    fn the_preload_is_as_many_requests_as_it_says() {
        let (bytes, count) = Mix::new().preload();
        let (mut scanner, mut at, mut found) = (ReplyScanner::new(1), 0, 0);
        while let Ok(Some(length)) = scanner.scan(&bytes[at..]) {
            at += length;
            found += 1;
        }
        assert_eq!((found, at), (count, bytes.len()));
    }
}
