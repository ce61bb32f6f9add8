//! Registered neurons, and the miners among them with their sessions.

use taonet_database::{Row, Transaction, statement};
use taonet_nineteen_transport::{FernetKey, Session};
use taonet_primitives::{Hotkey, Uid};
use taonet_wire::Peer;
use zeroize::Zeroizing;

use crate::error::{integer_column, invalid_value, parse_column};
use crate::{Store, StoreError};

/// A miner with its address, and its session if it has one.
#[derive(Debug, Clone)]
pub struct Node {
    /// Uid of the miner.
    pub uid: Uid,
    /// Hotkey and address of the miner.
    pub peer: Peer,
    /// Session with the miner, if a handshake succeeded.
    pub session: Option<Session>,
    /// Whether the miner's hotkey has ever signed an encryption key. From then on, it must sign
    /// every key.
    pub has_signed: bool,
}

impl Store {
    /// Replaces the list of miners, and stores the list of all registered neurons. Miners with an
    /// unchanged address keep their sessions. A hotkey that has signed keeps [`Node::has_signed`]
    /// as long as it is registered, also while it is not a miner.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn replace_nodes(
        &self,
        miners: &[(Uid, Peer)],
        registered: &[(Uid, Hotkey)],
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        put_registered(&mut transaction, registered, now_ms).await?;
        for (uid, peer) in miners {
            statement(
                "INSERT INTO node (hotkey, uid, host, port, seen_ms) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (hotkey) DO UPDATE SET uid = excluded.uid, seen_ms = excluded.seen_ms,
                 key_id = CASE WHEN node.host = excluded.host AND node.port = excluded.port THEN node.key_id END,
                 host = excluded.host, port = excluded.port",
            )
            .bind(peer.hotkey().to_string())
            .bind(i64::from(uid.0))
            .bind(peer.host())
            .bind(i64::from(peer.port()))
            .bind(now_ms)
            .execute(&mut transaction)
            .await?;
        }
        statement(
            "DELETE FROM node WHERE seen_ms <> $1 AND hotkey NOT IN
             (SELECT hotkey FROM registered WHERE since_ms = (SELECT MAX(since_ms) FROM registered))",
        )
        .bind(now_ms)
        .execute(&mut transaction)
        .await?;
        // Of registered hotkeys that are no longer miners, only `key_signed` is kept.
        statement("UPDATE node SET host = '', key_id = NULL, key_hex = NULL, key_ends_ns = NULL WHERE seen_ms <> $1")
            .bind(now_ms)
            .execute(&mut transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    /// Returns all miners, ordered by uid.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        let rows = statement("SELECT * FROM node WHERE host <> '' ORDER BY uid")
            .rows(&self.database)
            .await?;
        rows.iter().map(parse_node).collect()
    }

    /// Returns the hotkeys, ordered by uid, of all neurons at the last refresh until `at_ms` (Unix
    /// time in milliseconds); empty if there was none, or if an earlier release performed it.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn registered(&self, at_ms: i64) -> Result<Vec<Hotkey>, StoreError> {
        let rows = statement(
            "SELECT hotkey FROM registered
             WHERE since_ms = (SELECT MAX(since_ms) FROM registered WHERE since_ms <= $1) ORDER BY uid",
        )
        .bind(at_ms)
        .rows(&self.database)
        .await?;
        rows.iter().map(|row| parse_column(row, "hotkey")).collect()
    }

    /// Returns the time when the list of miners was last replaced, in milliseconds since the Unix
    /// epoch; `None` if it is empty.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn nodes_seen_ms(&self) -> Result<Option<i64>, StoreError> {
        let newest = statement("SELECT MAX(seen_ms) FROM node WHERE host <> ''");
        Ok(newest.value::<Option<i64>>(&self.database).await?.flatten())
    }

    /// Stores a miner's session, which replaces the previous one. A signed session sets
    /// [`Node::has_signed`] for good.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn put_session(&self, session: &Session) -> Result<(), StoreError> {
        let key = Zeroizing::new(hex::encode(session.key().as_bytes()));
        statement(
            "UPDATE node SET key_id = $1, key_hex = $2, key_ends_ns = $3,
             key_signed = CASE WHEN key_signed = 0 THEN $4 ELSE key_signed END WHERE hotkey = $5",
        )
        .bind(session.id())
        .bind(key.as_str())
        .bind(i64::try_from(session.expires_at_ns()).unwrap_or(i64::MAX))
        .bind(i64::from(session.is_signed()))
        .bind(session.peer().hotkey().to_string())
        .execute(&self.database)
        .await?;
        Ok(())
    }
}

/// Stores the list of registered neurons if it has changed. An idle validator refreshes it every
/// few seconds.
async fn put_registered(
    transaction: &mut Transaction,
    registered: &[(Uid, Hotkey)],
    now_ms: i64,
) -> Result<(), StoreError> {
    // There are lists of later times if the clock was set back.
    statement("DELETE FROM registered WHERE since_ms >= $1")
        .bind(now_ms)
        .execute(&mut *transaction)
        .await?;
    let rows = statement(
        "SELECT uid, hotkey FROM registered WHERE since_ms = (SELECT MAX(since_ms) FROM registered) ORDER BY uid",
    )
    .rows(&mut *transaction)
    .await?;
    let parse_neuron =
        |row: &Row| Ok((Uid(integer_column(row, "uid")?), parse_column::<Hotkey>(row, "hotkey")?));
    let newest =
        rows.iter().map(parse_neuron).collect::<Result<Vec<(Uid, Hotkey)>, StoreError>>()?;
    let mut registered = registered.to_vec();
    registered.sort_unstable();
    if newest == registered {
        return Ok(());
    }
    for (uid, hotkey) in registered {
        statement("INSERT INTO registered (since_ms, uid, hotkey) VALUES ($1, $2, $3)")
            .bind(now_ms)
            .bind(i64::from(uid.0))
            .bind(hotkey.to_string())
            .execute(&mut *transaction)
            .await?;
    }
    Ok(())
}

fn parse_node(row: &Row) -> Result<Node, StoreError> {
    let hotkey: Hotkey = parse_column(row, "hotkey")?;
    let host: String = row.get("host")?;
    let port = integer_column(row, "port")?;
    let peer = Peer::new(hotkey, host.clone(), port).map_err(|_| invalid_value("host", &host))?;
    let key: (Option<String>, Option<String>, Option<i64>) =
        (row.get("key_id")?, row.get("key_hex")?, row.get("key_ends_ns")?);
    let has_signed = row.get::<i64>("key_signed")? != 0;
    let session = match key {
        (Some(id), Some(key), Some(expiry_ns)) => {
            let key = Zeroizing::new(key);
            // The value is secret and must not appear in the error.
            let mut bytes = [0; 32];
            hex::decode_to_slice(key.as_str(), &mut bytes)
                .map_err(|_| invalid_value("key_hex", &"no key"))?;
            let expires_at_ns =
                u64::try_from(expiry_ns).map_err(|_| invalid_value("key_ends_ns", &expiry_ns))?;
            Some(Session::restore(
                peer.clone(),
                id,
                FernetKey::from_bytes(bytes),
                expires_at_ns,
                has_signed,
            ))
        }
        _ => None,
    };
    Ok(Node { uid: Uid(integer_column(row, "uid")?), peer, session, has_signed })
}
