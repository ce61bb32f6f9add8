//! Construction of the genesis state.

use codec::{Decode, Encode};
use frame_support::storage::storage_prefix;
use sp_core::storage::Storage;
use sp_core::{Pair, hex2array, sr25519};
use sp_runtime::BuildStorage;

use crate::mev_shield::development_key;
use crate::runtime::{AccountId, BlockNumber, Hash, Runtime, RuntimeGenesisConfig, SlotDuration};
use crate::subtensor::MaxEpochsPerBlock;

/// Seed of the well-known development phrase. Computing it from the phrase would take 2 048
/// rounds of HMAC-SHA512 for each account.
const DEVELOPMENT_SEED: &str = "0xfac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e";

/// Genesis balance of the wealthy accounts: 1 000 000 TAO, in rao.
const WEALTHY_BALANCE: u64 = 1_000_000_000_000_000;
/// Genesis balance of the other accounts: 2 000 TAO, in rao.
const DEFAULT_BALANCE: u64 = 2_000_000_000_000;

/// The real chain's block time, in milliseconds.
const PRODUCTION_SLOT_MILLIS: u64 = 12_000;
/// Maximum number of epochs per block on the real chain; the reference's fast local network allows
/// 32.
const PRODUCTION_MAX_EPOCHS: u8 = 2;

/// Development name of the block author, who receives the fees: the first authority of the
/// reference's local network.
const AUTHOR: &str = "One";

/// Development accounts and their genesis balances in rao.
pub const ACCOUNTS: [(&str, u64); 9] = [
    ("Alice", WEALTHY_BALANCE),
    ("Bob", WEALTHY_BALANCE),
    ("Charlie", WEALTHY_BALANCE),
    ("Dave", DEFAULT_BALANCE),
    ("Eve", DEFAULT_BALANCE),
    ("Ferdie", DEFAULT_BALANCE),
    ("One", DEFAULT_BALANCE),
    ("Two", DEFAULT_BALANCE),
    ("Three", DEFAULT_BALANCE),
];

/// Public keys of the development accounts, and of Alice's hotkey. Deriving them would be a tenth
/// of a chain's startup time.
const DEVELOPMENT_KEYS: [(&str, [u8; 32]); 10] = [
    ("Alice", hex2array!("d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d")),
    ("Alice_hk", hex2array!("506c5a28f51e841b4df26ace64a23d69057fefda24bc9a53cb74197f901e7128")),
    ("Bob", hex2array!("8eaf04151687736326c9fea17e25fc5287613693c912909cb226aa4794f26a48")),
    ("Charlie", hex2array!("90b5ab205c6974c9ea841be688864633dc9ca8a357843eeacf2314649965fe22")),
    ("Dave", hex2array!("306721211d5404bd9da88e0204360a1a9ab8b87c66c1bc2fcdd37f3c2222cc20")),
    ("Eve", hex2array!("e659a7a1628cdd93febc04a4e0646ea20e9f5f0ce097d9a05290d4a9e054df4e")),
    ("Ferdie", hex2array!("1cbd2d43530a44705ad088af313e18f80b53ef16b36177cd4b77b846f2a5f07c")),
    ("One", hex2array!("ac859f8a216eeb1b320b4c76d118da3d7407fa523484d0a980126d3b4d0d220a")),
    ("Two", hex2array!("1254f7017f0b8347ce7ab14f96d818802e7e9e0c0d1b7c9acb3c726b080e7a03")),
    ("Three", hex2array!("9026941b7aa2328a8c5ea4e25bb747a2bf92a066fae0cc3722faf58cf44d3502")),
];

/// Ethereum addresses whose accounts start with 2 000 TAO: those of the well-known development
/// names Alith and Baltathar. The chain does not support contracts; tools that fund themselves from
/// these accounts read their balances.
pub const ETHEREUM_ADDRESSES: [[u8; 20]; 2] = [
    [
        0xf2, 0x4f, 0xf3, 0xa9, 0xcf, 0x04, 0xc7, 0x1d, 0xbc, 0x94, 0xd0, 0xb5, 0x66, 0xf7, 0xa2,
        0x7b, 0x94, 0x56, 0x6c, 0xac,
    ],
    [
        0x3c, 0xd0, 0xa7, 0x05, 0xa2, 0xdc, 0x65, 0xe5, 0xb1, 0xe1, 0x20, 0x58, 0x96, 0xba, 0xa2,
        0xbe, 0x8a, 0x07, 0xc6, 0xe0,
    ],
];

/// Returns the account of an Ethereum address, mapped as on the real chain.
pub fn ethereum_account(address: [u8; 20]) -> AccountId {
    AccountId::new(sp_io::hashing::blake2_256(&[b"evm:", address.as_slice()].concat()))
}

/// Returns the account of a development name: the public key of `//NAME` under the well-known
/// development phrase.
///
/// # Errors
/// When `//NAME` is not a valid derivation path.
pub fn development_account(name: &str) -> Result<AccountId, sp_core::crypto::SecretStringError> {
    if let Some((_, key)) = DEVELOPMENT_KEYS.iter().find(|(account_name, _)| *account_name == name)
    {
        return Ok(AccountId::new(*key));
    }
    let pair = sr25519::Pair::from_string(&format!("{DEVELOPMENT_SEED}//{name}"), None)?;
    Ok(AccountId::new(pair.public().0))
}

/// Why building the genesis state failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenesisError {
    /// A development key could not be derived.
    #[error("cannot derive a development key: {0:?}")]
    Key(sp_core::crypto::SecretStringError),
    /// The pallets refused the configuration.
    #[error("cannot build the genesis state: {0}")]
    Build(String),
}

/// The subnets of a genesis state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Preset {
    /// Root and subnets 1 to 59, of which only subnet 59 (Babelbit) is started; `//Alice` owns 2 to
    /// 59.
    #[default]
    Development,
    /// Root and subnet 1, as in the reference's local network; no hotkey has an owner.
    Reference,
}

/// Builds the genesis state with the subnets of [`Preset::Development`]; see [`genesis_with`].
///
/// # Errors
/// [`GenesisError`], which does not occur with the pallets of this crate.
pub fn genesis(endowed: &[AccountId]) -> Result<Storage, GenesisError> {
    genesis_with(Preset::Development, endowed)
}

/// Builds the genesis state: development accounts, `//Alice` as sudo key, `//One` as block author,
/// and the subnets of `preset`. Each account in `endowed` receives 1 000 000 TAO. The block time is
/// 250 ms; change it with [`set_block_time`].
///
/// # Errors
/// [`GenesisError`], which does not occur with the pallets of this crate.
pub fn genesis_with(preset: Preset, endowed: &[AccountId]) -> Result<Storage, GenesisError> {
    let alice = development_account("Alice").map_err(GenesisError::Key)?;
    let alice_hk = development_account("Alice_hk").map_err(GenesisError::Key)?;
    let mut balances = Vec::new();
    for (name, rao) in ACCOUNTS {
        balances.push((development_account(name).map_err(GenesisError::Key)?, rao));
    }
    balances.extend(ETHEREUM_ADDRESSES.map(|address| (ethereum_account(address), DEFAULT_BALANCE)));
    for account in endowed {
        if let Some(entry) =
            balances.iter_mut().find(|(endowed_account, _)| endowed_account == account)
        {
            entry.1 = WEALTHY_BALANCE;
        } else {
            balances.push((account.clone(), WEALTHY_BALANCE));
        }
    }
    let author = development_account(AUTHOR).map_err(GenesisError::Key)?;
    let author = sr25519::Public::from_raw(author.into());
    RuntimeGenesisConfig {
        balances: pallet_balances::GenesisConfig { balances, ..Default::default() },
        aura: pallet_aura::GenesisConfig { authorities: vec![author.into()] },
        mev_shield: crate::mev_shield::GenesisConfig {
            author: Some((author.into(), development_key().public())),
            ..Default::default()
        },
        sudo: pallet_sudo::GenesisConfig { key: Some(alice.clone()) },
        subtensor_module: crate::subtensor::GenesisConfig {
            owner: Some((alice, alice_hk)),
            is_reference: preset == Preset::Reference,
            ..Default::default()
        },
        ..Default::default()
    }
    .build_storage()
    .map_err(GenesisError::Build)
}

/// Returns the number of the block whose state is this genesis state: 0, or the block after which a
/// fork continues.
pub fn block_number(genesis: &Storage) -> BlockNumber {
    let encoded_number = genesis.top.get(storage_prefix(b"System", b"Number").as_slice());
    encoded_number
        .and_then(|bytes| BlockNumber::decode(&mut bytes.as_slice()).ok())
        .unwrap_or_default()
}

/// Sets the hash of block 0 in the state of a fork. Transactions are signed for the chain with this
/// hash.
pub fn set_genesis_hash(state: &mut Storage, hash: Hash) {
    let key = frame_system::BlockHash::<Runtime>::hashed_key_for(0);
    state.top.insert(key, hash.encode());
}

/// Sets the block time of a genesis state, in milliseconds. Clients read the block time from the
/// constant `Aura.SlotDuration`. A block time of at least 12 seconds, as on the real chain, also
/// sets the real chain's maximum number of epochs per block.
pub fn set_block_time(genesis: &mut Storage, millis: u64) {
    genesis.top.insert(SlotDuration::KEY.to_vec(), millis.encode());
    if millis >= PRODUCTION_SLOT_MILLIS {
        genesis.top.insert(
            MaxEpochsPerBlock::<Runtime>::hashed_key().to_vec(),
            PRODUCTION_MAX_EPOCHS.encode(),
        );
    }
}

#[cfg(test)]
mod tests;
