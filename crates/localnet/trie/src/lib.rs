//! The trie of a chain's newest state in memory.
//!
//! A block changes few keys, but `trie-db` fetches, decodes and caches the nodes of their paths for
//! every block. In a [`Tree`] the nodes stay decoded, and consecutive states share all nodes that
//! the block between them does not change. Nodes are loaded when they are first needed. Roots,
//! encodings and names of nodes are those of `trie-db`, with which the tests compare them.
//!
//! ```
//! use sp_runtime::traits::BlakeTwo256;
//! use sp_state_machine::TrieBackendStorage;
//! use taonet_localnet_trie::Tree;
//!
//! fn root_after(
//!     parent: &Tree,
//!     nodes: &dyn TrieBackendStorage<BlakeTwo256>,
//! ) -> Result<sp_core::H256, taonet_localnet_trie::TreeError> {
//!     let changes = [(&b"key"[..], Some(&b"value"[..]))];
//!     let (tree, _changed_nodes) = parent.with_changes(changes, nodes)?;
//!     Ok(tree.root())
//! }
//! ```
//!
//! Uses no other crate of the workspace. Used by `taonet-localnet`.

mod node;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use hash_db::{EMPTY_PREFIX, HashDB, Hasher, Prefix};
use sp_core::H256;
use sp_runtime::traits::BlakeTwo256;
use sp_state_machine::{BackendTransaction, TrieBackendStorage};
use trie_db::{ChildReference, NodeCodec as _};

use node::{Child, Node, Value};

/// Why changes cannot be applied to a trie.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// The storage of nodes failed.
    #[error("reading a trie node failed: {0}")]
    Storage(String),
    /// The storage lacks the node with this hash.
    #[error("the trie node {0:?} is missing")]
    Missing(H256),
    /// The node with this hash, or with this encoding if it is inline, cannot be decoded.
    #[error("the trie node {0:?} is malformed")]
    Malformed(H256),
}

/// The trie of one state.
#[derive(Debug, Clone)]
pub struct Tree {
    root: H256,
    /// The root node; `None` for an empty trie.
    root_node: Option<Child>,
    /// Counter of the decoded nodes, each of which holds a clone.
    clone_counter: Arc<()>,
}

impl Default for Tree {
    fn default() -> Self {
        Self::new(H256::zero())
    }
}

impl Tree {
    /// Returns the trie with this root, without any node in memory.
    #[must_use]
    pub fn new(root: H256) -> Self {
        let is_empty = root == sp_trie::NodeCodec::<BlakeTwo256>::hashed_null_node();
        Self {
            root,
            root_node: (!is_empty).then(|| Child::stored(root)),
            clone_counter: Arc::default(),
        }
    }

    /// Returns the root hash.
    #[must_use]
    pub fn root(&self) -> H256 {
        self.root
    }

    /// Returns the number of nodes in memory, including those of the tries that this one was made
    /// from, or that were made from it, while they exist.
    #[must_use]
    pub fn loaded_nodes(&self) -> usize {
        Arc::strong_count(&self.clone_counter)
    }

    /// Applies changes of values. Returns the new trie with the nodes that appear and disappear. Of
    /// several changes of a key, the last one counts.
    ///
    /// # Errors
    /// [`TreeError`] if a node on the path of a changed key cannot be read from `nodes`.
    pub fn with_changes<'a>(
        &self,
        delta: impl IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>,
        nodes: &dyn TrieBackendStorage<BlakeTwo256>,
    ) -> Result<(Self, BackendTransaction<BlakeTwo256>), TreeError> {
        let mut delta: Vec<_> = delta.into_iter().collect();
        delta.sort_by_key(|(key, _)| *key);
        delta.dedup_by(|later, kept| {
            let is_same = later.0 == kept.0;
            if is_same {
                kept.1 = later.1;
            }
            is_same
        });
        let nibbles = nibbles_of(&delta);
        let changes = changes_of(&delta, &nibbles);
        let mut update = TreeUpdate {
            nodes,
            clone_counter: &self.clone_counter,
            transaction: BackendTransaction::default(),
        };
        let edit = match &self.root_node {
            Some(root_node) => update.update_child(root_node, &changes, 0)?,
            None => update.insert_new(&changes, 0)?,
        };
        let (root, root_node) = match edit {
            Edit::Unchanged => (self.root, self.root_node.clone()),
            Edit::Removed => (sp_trie::NodeCodec::<BlakeTwo256>::hashed_null_node(), None),
            Edit::Changed(node) => {
                // The root node is stored even if its encoding is short.
                let bytes = node.encode();
                let root = BlakeTwo256::hash(&bytes);
                update.transaction.emplace(root, EMPTY_PREFIX, bytes);
                (root, Some(Child::sealed(ChildReference::Hash(root), node.into())))
            }
        };
        Ok((
            Self { root, root_node, clone_counter: self.clone_counter.clone() },
            update.transaction,
        ))
    }
}

/// A new value of a key, or its removal.
struct Change<'a> {
    key: &'a [u8],
    nibbles: &'a [u8],
    value: Option<&'a [u8]>,
}

impl Change<'_> {
    /// Returns the nibbles from a depth on.
    fn nibbles_from(&self, depth: usize) -> &[u8] {
        self.nibbles.get(depth..).unwrap_or_default()
    }

    /// Returns whether the nibbles from a depth on begin with a node's partial key.
    fn starts_with_partial(&self, depth: usize, partial: &[u8]) -> bool {
        self.nibbles_from(depth).starts_with(partial)
    }
}

/// Returns the nibbles of all keys.
fn nibbles_of(delta: &[(&[u8], Option<&[u8]>)]) -> Vec<u8> {
    let mut nibbles = Vec::with_capacity(delta.iter().map(|(key, _)| 2 * key.len()).sum());
    for (key, _) in delta {
        for byte in *key {
            nibbles.extend([byte >> 4, byte & 15]);
        }
    }
    nibbles
}

fn changes_of<'a>(
    delta: &[(&'a [u8], Option<&'a [u8]>)],
    mut nibbles: &'a [u8],
) -> Vec<Change<'a>> {
    delta
        .iter()
        .map(|(key, value): &(&'a [u8], Option<&'a [u8]>)| {
            let (key_nibbles, following) = nibbles.split_at(2 * key.len());
            nibbles = following;
            Change { key, nibbles: key_nibbles, value: *value }
        })
        .collect()
}

/// Effect of changes on a node.
enum Edit {
    Unchanged,
    Removed,
    /// The node that replaces it, whose children are sealed.
    Changed(Node),
}

impl Edit {
    /// Returns the edit of a node without further changes.
    fn of(node: Cow<'_, Node>) -> Self {
        match node {
            Cow::Borrowed(_) => Self::Unchanged,
            Cow::Owned(node) => Self::Changed(node),
        }
    }
}

/// One application of changes, which are sorted by key. A node's depth is the number of nibbles
/// before its partial key; all changes that reach it share these nibbles.
struct TreeUpdate<'a> {
    nodes: &'a dyn TrieBackendStorage<BlakeTwo256>,
    clone_counter: &'a Arc<()>,
    transaction: BackendTransaction<BlakeTwo256>,
}

impl TreeUpdate<'_> {
    fn update_child(
        &mut self,
        child: &Child,
        changes: &[Change<'_>],
        depth: usize,
    ) -> Result<Edit, TreeError> {
        let Some(first) = changes.first() else { return Ok(Edit::Unchanged) };
        let position = prefix(first.key, depth);
        let node = self.load(child, position)?;
        let edit = self.update_node(Cow::Borrowed(node), changes, depth)?;
        if !matches!(edit, Edit::Unchanged) {
            self.mark_obsolete(child, position);
        }
        Ok(edit)
    }

    fn update_node(
        &mut self,
        node: Cow<'_, Node>,
        changes: &[Change<'_>],
        depth: usize,
    ) -> Result<Edit, TreeError> {
        if changes.first().is_some_and(|change| change.starts_with_partial(depth, &node.partial))
            && changes.last().is_some_and(|change| change.starts_with_partial(depth, &node.partial))
        {
            return self.update_children(node, changes, depth);
        }
        // The first nibble of the partial key at which a new key leaves it.
        let fork = changes
            .iter()
            .filter(|change| change.value.is_some())
            .map(|change| common_length(change.nibbles_from(depth), &node.partial))
            .filter(|common| *common < node.partial.len())
            .min();
        if let Some(fork) = fork {
            return self.update_node(
                Cow::Owned(self.split(node.into_owned(), fork)),
                changes,
                depth,
            );
        }
        // The other changes remove keys that do not exist.
        let start = changes
            .iter()
            .take_while(|change| !change.starts_with_partial(depth, &node.partial))
            .count();
        let following = changes.get(start..).unwrap_or_default();
        let count = following
            .iter()
            .take_while(|change| change.starts_with_partial(depth, &node.partial))
            .count();
        match following.get(..count) {
            Some(following) if count > 0 => self.update_children(node, following, depth),
            _ => Ok(Edit::of(node)),
        }
    }

    /// Splits a node at a nibble of its partial key: returns a branch whose only child has the
    /// remainder.
    fn split(&self, mut node: Node, fork: usize) -> Node {
        let partial = node.partial.clone();
        let (before, after) = partial.split_at(fork);
        let mut branch = Node::new(before, self.clone_counter.clone());
        if let Some((nibble, after)) = after.split_first() {
            node.partial = after.into();
            branch.set_child(*nibble, Child::New(Box::new(node)));
        }
        branch
    }

    /// Applies changes of keys that start with the node's partial key.
    fn update_children(
        &mut self,
        mut node: Cow<'_, Node>,
        changes: &[Change<'_>],
        depth: usize,
    ) -> Result<Edit, TreeError> {
        let Some(first) = changes.first() else { return Ok(Edit::of(node)) };
        let depth = depth + node.partial.len();
        let mut remaining = changes;
        if first.nibbles.len() == depth {
            self.set_value(&mut node, first);
            remaining = changes.get(1..).unwrap_or_default();
        }
        while let Some(nibble) = remaining.first().and_then(|change| change.nibbles.get(depth)) {
            let count = remaining
                .iter()
                .take_while(|change| change.nibbles.get(depth) == Some(nibble))
                .count();
            let (child_changes, following) = remaining.split_at(count);
            remaining = following;
            let edit = match node.child(*nibble) {
                Some(child) => self.update_child(child, child_changes, depth + 1)?,
                None => self.insert_new(child_changes, depth + 1)?,
            };
            match edit {
                Edit::Unchanged => {}
                Edit::Removed => node.to_mut().remove_child(*nibble),
                Edit::Changed(child) => {
                    node.to_mut().set_child(*nibble, Child::New(Box::new(child)));
                }
            }
        }
        match node {
            Cow::Borrowed(_) => Ok(Edit::Unchanged),
            Cow::Owned(node) => self.complete_node(node, first.key, depth),
        }
    }

    /// Returns a new node with the values of new keys.
    fn insert_new(&mut self, changes: &[Change<'_>], depth: usize) -> Result<Edit, TreeError> {
        let start = changes.iter().take_while(|change| change.value.is_none()).count();
        let Some((first, following)) = changes.get(start..).and_then(<[_]>::split_first) else {
            return Ok(Edit::Unchanged);
        };
        let mut leaf = Cow::Owned(Node::new(first.nibbles_from(depth), self.clone_counter.clone()));
        self.set_value(&mut leaf, first);
        if following.is_empty() {
            Ok(Edit::of(leaf))
        } else {
            self.update_node(leaf, following, depth)
        }
    }

    /// Completes a changed node: seals its children, merges it with an only child, or removes it if
    /// it is empty. The depth is that of the children: the nibbles of `key` before it lead to
    /// them.
    fn complete_node(
        &mut self,
        mut node: Node,
        key: &[u8],
        depth: usize,
    ) -> Result<Edit, TreeError> {
        let mut buffer = Vec::new();
        if let Some((nibble, child)) = node.only_child() {
            let mut child_node = match child {
                Child::New(child_node) => Node::clone(child_node),
                Child::Sealed(_) => {
                    let position = child_prefix(key, depth, nibble, &mut buffer);
                    let child_node = Node::clone(self.load(child, position)?);
                    self.mark_obsolete(child, position);
                    child_node
                }
            };
            child_node.partial = [&*node.partial, &[nibble], &*child_node.partial].concat().into();
            return Ok(Edit::Changed(child_node));
        }
        if node.value.is_none() && !node.has_children() {
            return Ok(Edit::Removed);
        }
        node.seal_children(|nibble, child| {
            self.seal(child, child_prefix(key, depth, nibble, &mut buffer))
        });
        Ok(Edit::Changed(node))
    }

    fn set_value(&mut self, node: &mut Cow<'_, Node>, change: &Change<'_>) {
        let value = change.value.map(Value::of);
        if node.value == value {
            return;
        }
        // Values have the whole key as their position.
        let position = (change.key, None);
        if let Some(Value::Hash(hash)) = &node.value {
            self.transaction.remove(hash, position);
        }
        if let (Some(Value::Hash(hash)), Some(bytes)) = (&value, change.value) {
            self.transaction.emplace(*hash, position, bytes.to_vec());
        }
        node.to_mut().value = value;
    }

    fn load<'c>(&self, child: &'c Child, position: Prefix<'_>) -> Result<&'c Node, TreeError> {
        let sealed = match child {
            Child::New(node) => return Ok(node),
            Child::Sealed(sealed) => sealed,
        };
        if let Some(node) = sealed.node.get() {
            return Ok(node);
        }
        let decoded = match &sealed.reference {
            ChildReference::Hash(hash) => {
                let bytes = self.nodes.get(hash, position).map_err(TreeError::Storage)?;
                let bytes = bytes.ok_or(TreeError::Missing(*hash))?;
                Node::decode(&bytes, self.clone_counter.clone())
                    .ok_or(TreeError::Malformed(*hash))?
            }
            ChildReference::Inline(bytes, length) => {
                let encoded = bytes.as_bytes().get(..*length).unwrap_or_default();
                Node::decode(encoded, self.clone_counter.clone())
                    .ok_or(TreeError::Malformed(*bytes))?
            }
        };
        Ok(sealed.node.get_or_init(|| decoded))
    }

    /// Encodes a node, and stores it unless its encoding is short enough for its parent.
    fn seal(&mut self, node: Node, position: Prefix<'_>) -> Child {
        let bytes = node.encode();
        let reference = if bytes.len() < BlakeTwo256::LENGTH {
            let mut inline = H256::zero();
            inline.as_bytes_mut().iter_mut().zip(&bytes).for_each(|(to, from)| *to = *from);
            ChildReference::Inline(inline, bytes.len())
        } else {
            let hash = BlakeTwo256::hash(&bytes);
            self.transaction.emplace(hash, position, bytes);
            ChildReference::Hash(hash)
        };
        Child::sealed(reference, node.into())
    }

    /// Reports a stored node as obsolete.
    fn mark_obsolete(&mut self, child: &Child, position: Prefix<'_>) {
        if let Some(hash) = child.hash() {
            self.transaction.remove(&hash, position);
        }
    }
}

/// Returns the position after the first nibbles of a key.
fn prefix(key: &[u8], nibbles: usize) -> Prefix<'_> {
    let (bytes, remaining) = key.split_at(nibbles / 2);
    let high_nibble =
        if nibbles % 2 == 1 { remaining.first().map(|byte| byte & 0xf0) } else { None };
    (bytes, high_nibble)
}

/// Returns the position after the first nibbles of a key and another nibble.
fn child_prefix<'b>(
    key: &'b [u8],
    nibbles: usize,
    nibble: u8,
    buffer: &'b mut Vec<u8>,
) -> Prefix<'b> {
    let (bytes, high_nibble) = prefix(key, nibbles);
    let Some(high_nibble) = high_nibble else { return (bytes, Some(nibble << 4)) };
    buffer.clear();
    buffer.extend_from_slice(bytes);
    buffer.push(high_nibble | nibble);
    (buffer, None)
}

/// Returns the length of the common prefix.
fn common_length(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}
