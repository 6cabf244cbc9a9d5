//! Chance for the tests: a small generator of their own (xorshift64*), so that a run is its seed.

/// A seeded generator.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// From nought to one less than `sides`.
    pub(crate) fn below(&mut self, sides: u64) -> u64 {
        (self.roll() >> 16) % sides
    }

    /// One to `most`, each magnitude as likely as the next.
    pub(crate) fn magnitude(&mut self, most: u64) -> u64 {
        let bits = u64::from(most.ilog2()) + 1;
        let top = 1 << self.below(bits);
        (top + self.below(top)).min(most)
    }

    /// Once in so many times.
    pub(crate) fn is_one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}
