//! The lexicon as a trie.
#![allow(
    clippy::indexing_slicing,
    reason = "this module creates all node and word numbers within bounds"
)]

use super::{CtcError, labels};

/// The index of a node in the trie; 0 is the root.
pub(super) type NodeId = u32;
/// The index of a word in the lexicon.
pub(super) type WordId = u32;

const NO_WORD: WordId = WordId::MAX;

/// A node of the trie. Its children are adjacent, in the order of [`labels::rank`].
struct TrieNode {
    /// A bit mask of the labels that may follow: bit [`labels::rank`] of each.
    letters: u32,
    first_child: NodeId,
    word: WordId,
}

pub(super) struct Lexicon {
    nodes: Vec<TrieNode>,
    /// All words, concatenated, with their end offsets.
    text: String,
    word_ends: Vec<u32>,
    /// The reward that finishing a word adds to a hypothesis.
    rewards: Vec<f64>,
}

impl Lexicon {
    /// Parses lines of `word cost`, sorted by word; a word's cost is `-100 ln P(word)`, and the
    /// reward for finishing it is `beta - alpha * cost / 100`.
    pub(super) fn parse(file: &str, alpha: f64, beta: f64) -> Result<Self, CtcError> {
        let mut words: Vec<&[u8]> = Vec::with_capacity(file.len() / 12);
        let mut lexicon = Self {
            nodes: Vec::new(),
            text: String::new(),
            word_ends: Vec::new(),
            rewards: Vec::new(),
        };
        for (line, text) in (1..).zip(file.lines()) {
            let (word, cost) = text.split_once(' ').ok_or(CtcError::Lexicon { line })?;
            let cost: u32 = cost.parse().map_err(|_| CtcError::Lexicon { line })?;
            let is_sorted = words.last().is_none_or(|last| *last < word.as_bytes());
            if word.is_empty()
                || word.len() > 64
                || !is_sorted
                || !word.bytes().all(|byte| labels::from_byte(byte).is_some())
            {
                return Err(CtcError::Lexicon { line });
            }
            words.push(word.as_bytes());
            lexicon.text.push_str(word);
            lexicon.word_ends.push(lexicon.text.len() as u32);
            lexicon.rewards.push(beta - alpha * f64::from(cost) / 100.0);
        }
        lexicon.build(&words);
        Ok(lexicon)
    }

    /// Builds the trie level by level: each node is the range of words with its prefix.
    fn build(&mut self, words: &[&[u8]]) {
        let mut ranges = vec![(0, words.len(), 0)];
        let mut index = 0;
        while let Some(&(mut start, end, depth)) = ranges.get(index) {
            let mut trie_node =
                TrieNode { letters: 0, first_child: ranges.len() as NodeId, word: NO_WORD };
            // A word that ends here is the shortest of its range, so it comes first.
            if depth > 0 && start < end && words[start].len() == depth {
                trie_node.word = start as WordId;
                start += 1;
            }
            while start < end {
                let byte = words[start][depth];
                let group_size =
                    words[start..end].iter().take_while(|word| word[depth] == byte).count();
                trie_node.letters |=
                    labels::from_byte(byte).map_or(0, |label| 1 << labels::rank(label));
                ranges.push((start, start + group_size, depth + 1));
                start += group_size;
            }
            self.nodes.push(trie_node);
            index += 1;
        }
    }

    /// Returns the child of `node` for the label of a letter or apostrophe.
    pub(super) fn child(&self, node: NodeId, label: u8) -> Option<NodeId> {
        let trie_node = &self.nodes[node as usize];
        let bit = 1 << labels::rank(label);
        let before = (trie_node.letters & (bit - 1)).count_ones();
        (trie_node.letters & bit != 0).then_some(trie_node.first_child + before)
    }

    /// Returns the word that ends at `node`, with its reward.
    pub(super) fn word_at(&self, node: NodeId) -> Option<(WordId, f64)> {
        let word = self.nodes[node as usize].word;
        (word != NO_WORD).then(|| (word, self.rewards[word as usize]))
    }

    /// Returns the spelling of a word.
    pub(super) fn spelling(&self, word: WordId) -> &str {
        let end = self.word_ends[word as usize] as usize;
        let start = if word == 0 { 0 } else { self.word_ends[word as usize - 1] as usize };
        &self.text[start..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(lexicon: &Lexicon, word: &str) -> Option<f64> {
        let mut node = 0;
        for byte in word.bytes() {
            node = lexicon.child(node, labels::from_byte(byte)?)?;
        }
        lexicon.word_at(node).map(|(id, reward)| {
            assert_eq!(lexicon.spelling(id), word);
            reward
        })
    }

    #[test]
    fn lexicon_returns_the_reward_of_each_word() {
        let lexicon =
            Lexicon::parse("a 100\ncan 200\ncan't 300\ncane 400\nzoo 500\n", 0.5, 2.0).unwrap();
        assert_eq!(find(&lexicon, "a"), Some(1.5));
        assert_eq!(find(&lexicon, "can"), Some(1.0));
        assert_eq!(find(&lexicon, "can't"), Some(0.5));
        assert_eq!(find(&lexicon, "cane"), Some(0.0));
        assert_eq!(find(&lexicon, "zoo"), Some(-0.5));
        for unknown in ["", "c", "ca", "zo", "zooo", "b"] {
            assert_eq!(find(&lexicon, unknown), None, "{unknown}");
        }
    }

    #[test]
    fn malformed_line_of_lexicon_is_reported() {
        let line = |file| match Lexicon::parse(file, 1.0, 0.0) {
            Err(CtcError::Lexicon { line }) => line,
            _ => 0,
        };
        assert_eq!(line("a 1\nb\n"), 2);
        assert_eq!(line("a x\n"), 1);
        assert_eq!(line("a -1\n"), 1);
        assert_eq!(line("A 1\n"), 1);
        assert_eq!(line(" 1\n"), 1);
        assert_eq!(line("b 1\na 1\n"), 2);
        assert_eq!(line("a 1\na 1\n"), 2);
        assert_eq!(line(""), 0);
    }
}
