//! Buyers of the demonstration.

use std::time::Duration;

use rand::Rng as _;
use serde_json::{Map, json};
use taonet_nineteen_core::payload::{LARGEST_SEED, TextInput, TextPayload};
use taonet_nineteen_query::{Querier, Request, RequestKind};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Pause between two requests of the buyer.
const PAUSE: Duration = Duration::from_millis(250);
/// Tokens that the buyer asks for.
const TOKENS: u64 = 16;

/// A buyer that sends one request after the other.
pub(super) struct Load {
    stop: oneshot::Sender<()>,
    task: JoinHandle<usize>,
}

impl Load {
    /// Starts the buyer.
    pub(super) fn start(querier: &Querier) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let querier = querier.clone();
        let task = tokio::spawn(async move {
            let mut tokens = 0;
            while stopped.try_recv() == Err(oneshot::error::TryRecvError::Empty) {
                tokio::time::sleep(PAUSE).await;
                tokens += buy(&querier).await;
            }
            tokens
        });
        Self { stop, task }
    }

    /// Ends the buyer, and gives the tokens that it has bought.
    pub(super) async fn stop(self) -> usize {
        let _ = self.stop.send(());
        self.task.await.unwrap_or_default()
    }
}

async fn buy(querier: &Querier) -> usize {
    let seed = rand::rng().random_range(1..=LARGEST_SEED);
    let payload = TextPayload {
        input: TextInput::Messages(vec![json!({"role": "user", "content": format!("Tell me about number {seed}.")})]),
        model: "chat-demo".to_owned(),
        temperature: 0.7,
        seed,
        top_p: 1.0,
        max_tokens: TOKENS,
        further: Map::new(),
    };
    let Ok(task) = "chat-demo".parse() else { return 0 };
    let most_chunks = usize::try_from(TOKENS).unwrap_or(0) + 1;
    let request = Request { task, payload: payload.into_map(), kind: RequestKind::Organic, most_chunks };
    let Ok(mut answer) = querier.ask(request).await else { return 0 };
    while let Some(Ok(_)) = answer.next().await {}
    answer.pieces()
}
