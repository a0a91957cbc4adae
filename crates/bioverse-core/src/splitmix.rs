//! The finaliser of SplitMix64 (Steele, Lea and Flood 2014): a word in, a word out of which nothing can be told of the first.
//! It draws no numbers; what they are drawn from is for callers to say.

/// 64 bits mixed.
pub fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}
