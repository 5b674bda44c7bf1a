//! What stands in a block: its number, a generation, and bytes that follow from both, each of which is checked.

/// What a block's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// All zero: never written, or discarded.
    Zero,
    Block {
        number: u64,
        generation: u64,
    },
    Garbage,
}

/// Makes a block's bytes.
pub(super) fn fill(bytes: &mut [u8], number: u64, generation: u64) {
    let words = bytes.as_chunks_mut::<8>().0;
    for (index, word) in words.iter_mut().enumerate() {
        *word = self::word(index, number, generation).to_le_bytes();
    }
}

/// Finds out what a block's bytes are.
pub(super) fn parse(bytes: &[u8]) -> Content {
    let words = bytes.as_chunks::<8>().0;
    let [number, generation] = [0, 1].map(|index| words.get(index).map_or(0, |word| u64::from_le_bytes(*word)));
    if generation == 0 {
        return if bytes.iter().all(|byte| *byte == 0) { Content::Zero } else { Content::Garbage };
    }
    let is_it = |(index, bytes): (usize, &[u8; 8])| *bytes == word(index, number, generation).to_le_bytes();
    if words.iter().enumerate().all(is_it) { Content::Block { number, generation } } else { Content::Garbage }
}

/// A word of a block. No generation is 0, and no two blocks have a word in common but by chance.
const fn word(index: usize, number: u64, generation: u64) -> u64 {
    match index {
        0 => number,
        1 => generation,
        _ => {
            let mixed =
                (number ^ generation.rotate_left(32)).wrapping_add(index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_known_and_every_changed_byte_is_found() {
        let mut bytes = [0; 512];
        assert_eq!(parse(&bytes), Content::Zero);
        fill(&mut bytes, 7, 3);
        assert_eq!(parse(&bytes), Content::Block { number: 7, generation: 3 });
        for index in 0..bytes.len() {
            bytes[index] ^= 1;
            assert_eq!(parse(&bytes), Content::Garbage, "byte {index}");
            bytes[index] ^= 1;
        }
    }

    #[test]
    fn halves_of_two_generations_are_none() {
        let (mut old, mut new) = ([0; 4096], [0; 4096]);
        fill(&mut old, 7, 3);
        fill(&mut new, 7, 4);
        new[512..].copy_from_slice(&old[512..]);
        assert_eq!(parse(&new), Content::Garbage);
    }
}
