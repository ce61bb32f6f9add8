//! Nodes of a [`Tree`](super::Tree), and their encoding.

use std::mem;
use std::sync::{Arc, OnceLock};

use hash_db::Hasher;
use sp_core::H256;
use sp_core::storage::TRIE_VALUE_NODE_THRESHOLD;
use sp_runtime::traits::BlakeTwo256;
use trie_db::node::{Node as Decoded, NodeHandle, Value as DecodedValue};
use trie_db::{ChildReference, NibbleSlice, NodeCodec as _};

type Codec = sp_trie::NodeCodec<BlakeTwo256>;

/// The value of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Inline(Arc<[u8]>),
    /// The hash of a value that has its own node.
    Hash(H256),
}

impl Value {
    pub(super) fn of(bytes: &[u8]) -> Self {
        if bytes.len() < TRIE_VALUE_NODE_THRESHOLD as usize {
            Self::Inline(bytes.into())
        } else {
            Self::Hash(BlakeTwo256::hash(bytes))
        }
    }

    fn decode(value: &DecodedValue<'_>) -> Option<Self> {
        Some(match value {
            DecodedValue::Inline(bytes) => Self::Inline((*bytes).into()),
            DecodedValue::Node(hash) => Self::Hash(hash_of(hash)?),
        })
    }

    fn to_codec(&self) -> DecodedValue<'_> {
        match self {
            Self::Inline(bytes) => DecodedValue::Inline(bytes),
            Self::Hash(hash) => DecodedValue::Node(hash.as_bytes()),
        }
    }
}

/// A child of a branch.
#[derive(Debug, Clone)]
pub(super) enum Child {
    /// A changed node, until its position is final.
    New(Box<Node>),
    /// An encoded node.
    Sealed(Arc<Sealed>),
}

/// An encoded node, by its hash or with its encoding.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) reference: ChildReference<H256>,
    /// The node, decoded when it is first needed.
    pub(super) node: OnceLock<Node>,
}

impl Child {
    pub(super) fn stored(hash: H256) -> Self {
        Self::sealed(ChildReference::Hash(hash), OnceLock::new())
    }

    pub(super) fn sealed(reference: ChildReference<H256>, node: OnceLock<Node>) -> Self {
        Self::Sealed(Arc::new(Sealed { reference, node }))
    }

    fn decode(handle: NodeHandle<'_>) -> Option<Self> {
        Some(Self::sealed(ChildReference::try_from(handle).ok()?, OnceLock::new()))
    }

    /// Returns the hash under which the node is stored, unless it is a new or an inline one.
    pub(super) fn hash(&self) -> Option<H256> {
        match self.reference() {
            Some(ChildReference::Hash(hash)) => Some(hash),
            Some(ChildReference::Inline(..)) | None => None,
        }
    }

    fn reference(&self) -> Option<ChildReference<H256>> {
        match self {
            Self::New(_) => None,
            Self::Sealed(sealed) => Some(sealed.reference),
        }
    }
}

/// A leaf, or a branch with children.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// The nibbles of the key between the node's position and its value or children.
    pub(super) partial: Arc<[u8]>,
    pub(super) value: Option<Value>,
    /// The nibbles of the children, as a bit set.
    nibble_bits: u16,
    /// The children in the order of their nibbles.
    children: Vec<Child>,
    #[allow(dead_code, reason = "its clones are counted")]
    clone_counter: Arc<()>,
}

impl Node {
    /// Returns a node without a value. `clone_counter` counts the nodes that hold a clone of it.
    pub(super) fn new(partial: &[u8], clone_counter: Arc<()>) -> Self {
        Self {
            partial: partial.into(),
            value: None,
            nibble_bits: 0,
            children: Vec::new(),
            clone_counter,
        }
    }

    /// Returns `None` if the encoding is malformed.
    pub(super) fn decode(bytes: &[u8], clone_counter: Arc<()>) -> Option<Self> {
        let (partial, value, handles) = match Codec::decode(bytes).ok()? {
            Decoded::Leaf(partial, value) => (partial, Some(value), None),
            Decoded::NibbledBranch(partial, handles, value) => (partial, value, Some(handles)),
            Decoded::Empty | Decoded::Extension(..) | Decoded::Branch(..) => return None,
        };
        let mut nibble_bits = 0;
        let mut children = Vec::new();
        if let Some(handles) = handles {
            children.reserve_exact(handles.iter().flatten().count());
            for (index, handle) in handles.into_iter().enumerate() {
                let Some(handle) = handle else { continue };
                nibble_bits |= 1 << index;
                children.push(Child::decode(handle)?);
            }
        }
        let value = match value {
            Some(value) => Some(Value::decode(&value)?),
            None => None,
        };
        Some(Self { partial: nibbles_of(&partial), value, nibble_bits, children, clone_counter })
    }

    /// Returns the encoding. All children must be sealed.
    pub(super) fn encode(&self) -> Vec<u8> {
        let length = self.partial.len();
        let (first, pairs) = self.partial.split_at(length % 2);
        let pairs = pairs
            .chunks_exact(2)
            .map(|pair| pair.iter().fold(0, |byte, nibble| (byte << 4) | nibble));
        let partial = first.iter().copied().chain(pairs);
        let value = self.value.as_ref().map(Value::to_codec);
        match value {
            Some(value) if self.children.is_empty() => Codec::leaf_node(partial, length, value),
            value => {
                let children = (0..16).map(|index| self.child(index).and_then(Child::reference));
                Codec::branch_node_nibbled(partial, length, children, value)
            }
        }
    }

    /// Returns whether a child exists, and its index among the children.
    fn child_position(&self, nibble: u8) -> (bool, usize) {
        let bit = 1_u16 << nibble;
        (self.nibble_bits & bit != 0, (self.nibble_bits & (bit - 1)).count_ones() as usize)
    }

    pub(super) fn child(&self, nibble: u8) -> Option<&Child> {
        let (exists, index) = self.child_position(nibble);
        if exists { self.children.get(index) } else { None }
    }

    pub(super) fn set_child(&mut self, nibble: u8, child: Child) {
        let (exists, index) = self.child_position(nibble);
        if !exists {
            self.nibble_bits |= 1 << nibble;
            self.children.insert(index, child);
        } else if let Some(slot) = self.children.get_mut(index) {
            *slot = child;
        }
    }

    pub(super) fn remove_child(&mut self, nibble: u8) {
        let (exists, index) = self.child_position(nibble);
        if exists {
            self.nibble_bits &= !(1 << nibble);
            self.children.remove(index);
        }
    }

    pub(super) fn has_children(&self) -> bool {
        !self.children.is_empty()
    }

    /// Returns the child of a branch that has only one and no value, with its nibble.
    pub(super) fn only_child(&self) -> Option<(u8, &Child)> {
        match self.children.as_slice() {
            [child] if self.value.is_none() => {
                Some((self.nibble_bits.trailing_zeros() as u8, child))
            }
            _ => None,
        }
    }

    /// Replaces each new child by the result of `seal` for its nibble and its node.
    pub(super) fn seal_children(&mut self, mut seal: impl FnMut(u8, Node) -> Child) {
        let nibble_bits = self.nibble_bits;
        let mut nibbles = (0..16).filter(|nibble| nibble_bits & (1 << nibble) != 0);
        let children = mem::take(&mut self.children).into_iter();
        self.children = children
            .map(|child| match (child, nibbles.next()) {
                (Child::New(node), Some(nibble)) => seal(nibble, *node),
                (child, _) => child,
            })
            .collect();
    }
}

fn hash_of(bytes: &[u8]) -> Option<H256> {
    <[u8; 32]>::try_from(bytes).ok().map(H256)
}

fn nibbles_of(slice: &NibbleSlice<'_>) -> Arc<[u8]> {
    (0..slice.len()).map(|index| slice.at(index)).collect()
}
