//! Serves a [`MockChain`] to other processes, by JSON lines over TCP.
#![allow(clippy::unimplemented, reason = "a submitter does not call these methods")]

use std::time::Duration;

use async_trait::async_trait;
use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use taonet_chain::testing::MockChain;
use taonet_chain::{
    At, Block, Call, Chain, ChainError, Detail, DryRun, Event, Extrinsic, Follow, HotkeyState,
    Metagraph, NonceLease, Outcome, SignOptions, SignedExtrinsic, WeightRow, WeightRules,
};
use taonet_primitives::{
    AccountId, BlockHash, BlockNumber, ExtrinsicHash, Hotkey, MechId, NetUid, Uid,
};
use taonet_wallet::Keypair;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};

#[derive(Debug, Serialize, Deserialize)]
enum RemoteRequest {
    Head,
    FinalizedHead,
    BlockHash(BlockNumber),
    WeightRules(NetUid),
    SpecVersion,
    HotkeyState { netuid: NetUid, mech: MechId, hotkey: Hotkey },
    Nonce(AccountId),
    Submit(SignedExtrinsic),
    Lookup { hash: ExtrinsicHash, from: BlockNumber, to: BlockNumber },
}

/// A server of a chain, which runs until dropped.
pub(crate) struct Server {
    port: u16,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(chain: MockChain) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, chain.clone()));
            }
        });
        Self { port, task }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves a connection until the peer closes it or is killed.
async fn serve(stream: TcpStream, chain: MockChain) -> Option<()> {
    let mut stream = BufStream::new(stream);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let response = respond(&chain, serde_json::from_str(&line).unwrap()).await;
        stream.write_all(format!("{response}\n").as_bytes()).await.ok()?;
        stream.flush().await.ok()?;
    }
}

/// Adds the calls that other processes signed, which the mock cannot decode: their bytes begin with
/// the call as text.
fn with_foreign_calls(mut state: HotkeyState, chain: &MockChain) -> HotkeyState {
    for extrinsic in chain.included() {
        let text = String::from_utf8_lossy(&extrinsic.bytes).into_owned();
        if text.contains("reveal_mechanism_weights") {
            state.commits.remove(0);
        } else if let Some((_, hash)) = text.split_once("commit_hash") {
            let numbers = hash
                .split("U128(")
                .skip(1)
                .filter_map(|remaining| remaining.split_once(')')?.0.parse().ok());
            let bytes: Vec<u8> = numbers.collect();
            state.commits.push(bytes.try_into().unwrap());
        }
    }
    state
}

async fn respond(chain: &MockChain, request: RemoteRequest) -> Value {
    let json = match request {
        RemoteRequest::Head => serde_json::to_value(chain.head().await.unwrap()),
        RemoteRequest::FinalizedHead => serde_json::to_value(chain.finalized_head().await.unwrap()),
        RemoteRequest::BlockHash(number) => {
            serde_json::to_value(chain.block_hash(number).await.unwrap())
        }
        RemoteRequest::WeightRules(netuid) => {
            serde_json::to_value(chain.weight_rules(netuid, At::Head).await.unwrap())
        }
        RemoteRequest::SpecVersion => serde_json::to_value(chain.spec_version().await.unwrap()),
        RemoteRequest::HotkeyState { netuid, mech, hotkey } => {
            let state = chain.hotkey_state(netuid, mech, &hotkey, At::Head).await.unwrap();
            serde_json::to_value(with_foreign_calls(state, chain))
        }
        RemoteRequest::Nonce(account) => {
            serde_json::to_value(chain.lease_nonce(account).await.unwrap().nonce())
        }
        RemoteRequest::Submit(extrinsic) => {
            serde_json::to_value(chain.submit(&extrinsic, Follow::default()).await)
        }
        RemoteRequest::Lookup { hash, from, to } => {
            serde_json::to_value(chain.lookup(hash, from, to).await.unwrap())
        }
    };
    json.unwrap()
}

/// A client of a [`Server`], as a [`Chain`].
pub(crate) struct RemoteChain {
    stream: Mutex<BufStream<TcpStream>>,
}

impl RemoteChain {
    pub(crate) async fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        Self { stream: Mutex::new(BufStream::new(stream)) }
    }

    async fn query<T: for<'de> Deserialize<'de>>(&self, request: &RemoteRequest) -> T {
        let mut stream = self.stream.lock().await;
        let mut line = serde_json::to_string(request).unwrap();
        line.push('\n');
        stream.write_all(line.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        let mut response = String::new();
        stream.read_line(&mut response).await.unwrap();
        serde_json::from_str(&response).unwrap()
    }
}

#[async_trait]
impl Chain for RemoteChain {
    fn block_time(&self) -> Duration {
        Duration::from_secs(12)
    }

    async fn head(&self) -> Result<Block, ChainError> {
        Ok(self.query(&RemoteRequest::Head).await)
    }

    async fn finalized_head(&self) -> Result<Block, ChainError> {
        Ok(self.query(&RemoteRequest::FinalizedHead).await)
    }

    fn heads(&self) -> watch::Receiver<Option<Block>> {
        unimplemented!()
    }

    async fn block_hash(&self, number: BlockNumber) -> Result<Option<BlockHash>, ChainError> {
        Ok(self.query(&RemoteRequest::BlockHash(number)).await)
    }

    async fn weight_rules(&self, netuid: NetUid, _: At) -> Result<WeightRules, ChainError> {
        Ok(self.query(&RemoteRequest::WeightRules(netuid)).await)
    }

    async fn uid(&self, _: NetUid, _: &Hotkey, _: At) -> Result<Option<Uid>, ChainError> {
        unimplemented!()
    }

    async fn hotkey_state(
        &self,
        netuid: NetUid,
        mech: MechId,
        hotkey: &Hotkey,
        _: At,
    ) -> Result<HotkeyState, ChainError> {
        Ok(self.query(&RemoteRequest::HotkeyState { netuid, mech, hotkey: *hotkey }).await)
    }

    async fn metagraph(
        &self,
        _: NetUid,
        _: MechId,
        _: Detail,
        _: At,
    ) -> Result<Metagraph, ChainError> {
        unimplemented!()
    }

    async fn weights_of(
        &self,
        _: NetUid,
        _: MechId,
        _: Uid,
        _: At,
    ) -> Result<WeightRow, ChainError> {
        unimplemented!()
    }

    async fn events(&self, _: At) -> Result<Vec<Event>, ChainError> {
        unimplemented!()
    }

    async fn extrinsics(&self, _: At) -> Result<Vec<Extrinsic>, ChainError> {
        unimplemented!()
    }

    async fn spec_version(&self) -> Result<u32, ChainError> {
        Ok(self.query(&RemoteRequest::SpecVersion).await)
    }

    async fn lease_nonce(&self, account: AccountId) -> Result<NonceLease, ChainError> {
        Ok(NonceLease::unshared(self.query(&RemoteRequest::Nonce(account)).await))
    }

    async fn sign(
        &self,
        call: &Call,
        signer: &Keypair,
        options: SignOptions,
    ) -> Result<SignedExtrinsic, ChainError> {
        let birth = self.finalized_head().await?;
        let mut bytes = format!("{call:?} {options:?}").into_bytes();
        // Signatures are randomised: signing twice gives two different extrinsics.
        bytes.extend(signer.sign(&bytes).as_bytes());
        let hash = ExtrinsicHash::from_bytes(Blake2b::<U32>::digest(&bytes).into());
        let (signer, last_block) = (signer.hotkey().into(), options.era.last_block(birth.number));
        let spec_version = self.spec_version().await?;
        Ok(SignedExtrinsic {
            bytes,
            hash,
            signer,
            nonce: options.nonce,
            birth,
            last_block,
            spec_version,
        })
    }

    async fn call_hash(&self, _: &Call) -> Result<[u8; 32], ChainError> {
        unimplemented!()
    }

    async fn shield_key(&self) -> Result<Option<Vec<u8>>, ChainError> {
        unimplemented!()
    }

    async fn dry_run(&self, _: &SignedExtrinsic) -> Result<DryRun, ChainError> {
        unimplemented!()
    }

    async fn submit_leased(
        &self,
        extrinsic: &SignedExtrinsic,
        _: Follow,
        _: Option<NonceLease>,
    ) -> Outcome {
        self.query(&RemoteRequest::Submit(extrinsic.clone())).await
    }

    async fn lookup(
        &self,
        hash: ExtrinsicHash,
        from: BlockNumber,
        to: BlockNumber,
    ) -> Result<Option<Outcome>, ChainError> {
        Ok(self.query(&RemoteRequest::Lookup { hash, from, to }).await)
    }
}
