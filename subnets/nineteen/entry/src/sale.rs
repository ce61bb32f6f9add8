//! Handling of a buyer's request: selects the task, reserves credits, queries miners and bills the
//! answer.

use std::time::Duration;

use axum::response::{IntoResponse as _, Json, Response};
use serde_json::{Value, json};
use taonet_nineteen_core::payload::{MAX_SEED, TextInput, TextPayload};
use taonet_nineteen_core::task::{Endpoint, Price};
use taonet_nineteen_core::{MarketConfig, Task};
use taonet_nineteen_query::{
    Chunk, ChunkBody, EarlierTasks, Payload, Request, RequestKind, sealed_size,
};
use taonet_nineteen_store::ApiKey;
use tokio::time::Instant;

use crate::answer::{ResponseHead, complete_response, stream};
use crate::bill::{Bill, Tariff, now_ms};
use crate::download::Downloader;
use crate::embedding::EmbeddingRequest;
use crate::fallback::{may_use, tasks_of_alias};
use crate::image::{ImageRequest, Output};
use crate::logprobs::missing_logprobs_error;
use crate::messages::{self, MessageOptions};
use crate::meter::TokenMeter;
use crate::replies::Replies;
use crate::request::{MAX_TOKENS, TextRequest};
use crate::responses::{self, EchoedFields};
use crate::routes::Inner;
use crate::usage::{PromptTokens, input_tokens, tokens_of_texts};
use crate::vision::{download_images, image_tokens};
use crate::{Gateway, GatewayError, size};

/// Minimum token limit of an answer if neither the request nor the task sets one, and the request
/// fills the context: the miner decides whether the answer fits.
const MIN_DEFAULT_TOKENS: u64 = 16;
/// Maximum number of tokens of an answer if neither the request nor the task sets one, and the
/// length of the model's context is unknown. Synthetic requests allow as many, so miners must
/// support it.
const UNKNOWN_CONTEXT_MAX_TOKENS: u64 = 2_000;
/// Minimum number of tokens for which a key's credits must pay, and its limit of tokens must
/// suffice, if a request sets no `max_tokens`.
const MIN_AFFORDABLE_TOKENS: u64 = 16;
/// Maximum number of attempts to reserve tokens and credits for a request without `max_tokens`,
/// each with fewer tokens.
const MAX_BILL_ATTEMPTS: usize = 4;
/// Tokens that a chat template adds to each message, and to the conversation, at most.
const TEMPLATE_TOKENS: u64 = 32;

/// Protocol of the answer to a text request.
#[derive(Clone)]
pub(crate) enum Protocol {
    /// `/v1/chat/completions` and `/v1/completions`.
    Completions,
    /// `/v1/responses`.
    Responses(EchoedFields),
    /// `/v1/messages`.
    Messages(MessageOptions),
}

impl Protocol {
    /// Returns the prefix of the IDs of answers, and the name of the field with the prompt.
    fn id_prefix_and_prompt_field(&self, endpoint: Endpoint) -> (&'static str, &'static str) {
        match (self, endpoint) {
            (Self::Responses(_), _) => ("resp", "input"),
            (Self::Messages(_), _) => ("msg", "messages"),
            (Self::Completions, Endpoint::Chat) => ("chatcmpl", "messages"),
            (Self::Completions, _) => ("cmpl", "prompt"),
        }
    }
}

/// Limits of the time in which the miners of a task answer a text request.
#[derive(Clone, Copy)]
pub(crate) struct QueryLimits {
    /// Maximum time in the queue; `None` for the operator's.
    pub(crate) max_wait: Option<Duration>,
    /// Tasks of the alias that were asked before.
    pub(crate) earlier: EarlierTasks,
}

/// Returns the task of a route that `model` names, which is not an alias. Without `model`, returns
/// the first task of the route.
pub(crate) fn find_task<'a>(
    config: &'a MarketConfig,
    key: &ApiKey,
    model: Option<&str>,
    endpoint: Endpoint,
) -> Result<&'a Task, GatewayError> {
    let is_requested_task =
        |task: &&Task| task.endpoint == endpoint && model.is_none_or(|model| task.is_named(model));
    let task = config.enabled().find(is_requested_task).ok_or_else(|| {
        GatewayError::UnknownModel(model.unwrap_or(endpoint.path()).chars().take(100).collect())
    })?;
    if !may_use(key, task) {
        return Err(GatewayError::Forbidden(task.task.to_string()));
    }
    Ok(task)
}

/// Resolves a buyer's `model` to a task. Accepts the task's name (optionally with underscores,
/// without the prefix `chat-` or without the suffix for the route), the name of the task's model,
/// and an alias, which stands for its first task. Without `model`, returns the route's first task.
fn resolve_task<'a>(
    config: &'a MarketConfig,
    key: &ApiKey,
    model: Option<&str>,
    endpoint: Endpoint,
) -> Result<&'a Task, GatewayError> {
    // Without fallbacks: embeddings and images of two models differ.
    if let Some(tasks) = model.and_then(|model| tasks_of_alias(config, key, model, endpoint)) {
        return tasks?.into_iter().next().ok_or(GatewayError::NoAnswer);
    }
    find_task(config, key, model, endpoint)
}

impl Gateway {
    /// Reserves the tokens of a request, and its maximum cost.
    async fn open_bill(
        &self,
        key: &ApiKey,
        task: &Task,
        tariff: Tariff,
        max_tokens: (u64, u64),
    ) -> Result<Bill, GatewayError> {
        let Inner { store, clock, rate_limiter, .. } = &*self.0;
        let tokens = match tariff {
            Tariff::Text(_) | Tariff::Embedding(_) => {
                rate_limiter
                    .reserve_tokens(store, key, max_tokens.0.saturating_add(max_tokens.1), clock())
                    .await?
            }
            // Denoising steps do not count as tokens.
            Tariff::Image(_) => None,
        };
        match Bill::open(store, clock, &key.id, (task.task.to_string(), tariff), max_tokens).await {
            Ok(bill) => {
                let sale_metrics = self.0.sale_metrics.get(&task.task, key.terms.weight);
                Ok(bill.with_token_reservation(tokens).with_metrics(sale_metrics).with_log(key))
            }
            Err(error) => {
                if let Some(tokens) = tokens {
                    tokens.settle(0).await;
                }
                Err(error)
            }
        }
    }

    /// Queries miners for the answer to each request. Before it returns an error, it settles the
    /// bill, which releases the buyer's credits.
    async fn query(
        &self,
        requests: Vec<Request>,
        bill: Bill,
    ) -> Result<(Replies, Bill), GatewayError> {
        match Replies::query(&self.0.queries, requests).await {
            Ok(replies) => Ok((replies, bill)),
            Err(error) => {
                bill.settle().await;
                Err(error)
            }
        }
    }

    /// Answers a text request with the miners of a task. After an error, nothing was delivered or
    /// charged.
    pub(crate) async fn answer_with_task(
        &self,
        key: &ApiKey,
        task: &Task,
        request: TextRequest,
        endpoint: Endpoint,
        protocol: Protocol,
        limits: QueryLimits,
    ) -> Result<Response, GatewayError> {
        let streams = request.streams;
        let (head, replies, bill) =
            self.query_text(key, task, request, endpoint, &protocol, limits).await?;
        match (protocol, streams) {
            (Protocol::Responses(echo), true) => Ok(responses::stream(head, echo, replies, bill)),
            (Protocol::Responses(echo), false) => {
                responses::respond(head, echo, replies, bill).await
            }
            (Protocol::Messages(options), true) => {
                Ok(messages::stream(head, options, replies, bill))
            }
            (Protocol::Messages(options), false) => {
                messages::respond(head, options, replies, bill).await
            }
            (Protocol::Completions, true) => Ok(stream(head, replies, bill)),
            (Protocol::Completions, false) => {
                complete_response(&head, replies, bill, &self.0.missing_logprobs).await
            }
        }
    }

    /// Queries the miners of a task for a text, after its maximum cost is reserved.
    async fn query_text(
        &self,
        key: &ApiKey,
        task: &Task,
        mut request: TextRequest,
        endpoint: Endpoint,
        protocol: &Protocol,
        limits: QueryLimits,
    ) -> Result<(ResponseHead, Replies, Bill), GatewayError> {
        request.payload.model = task.task.to_string();
        if request.answers_per_prompt > request.choices_per_prompt
            && self.0.missing_logprobs.contains(&request.payload.model, Instant::now())
        {
            return Err(missing_logprobs_error());
        }
        let input = PromptTokens::estimate(&request)
            .with_images(image_tokens(task, &request.image_fields)?);
        size::check_text(&request)?;
        let bill = self.open_text_bill(key, task, &mut request, input).await?;
        let bill = self.download_images(&mut request, bill).await?;
        let (max_tokens, streams) = (request.payload.max_tokens, request.streams);
        let (prefix, prompt_field) = protocol.id_prefix_and_prompt_field(endpoint);
        let head = ResponseHead {
            id: format!("{prefix}-{}", bill.request_id()),
            model: request.payload.model.clone(),
            created: now_ms(&self.0.clock) / 1_000,
            choice_format: request.choice_format,
            wants_logprobs: request.wants_logprobs,
            wants_usage: request.wants_usage,
            max_tokens,
            choice_count: request.choices_per_prompt.saturating_mul(request.prompt_count()),
            prompt_count: request.prompt_count(),
            echoed_prompts: request.echoed_prompts(),
        };
        let start = Instant::now();
        let result = self.query(build_requests(key, task, request, limits), bill).await;
        let (replies, bill) = result.map_err(|error| {
            error.or_context_exceeded(
                prompt_field,
                (input.longest, max_tokens),
                task.context_length(),
            )
        })?;
        if streams {
            let first_latency = start.elapsed();
            self.0.latencies.record(&task.task, first_latency, Instant::now());
            bill.record_first_token(first_latency);
        }
        Ok((head, replies, bill))
    }

    /// Downloads the images of a text request. Before it returns an error, it settles the bill.
    async fn download_images(
        &self,
        request: &mut TextRequest,
        bill: Bill,
    ) -> Result<Bill, GatewayError> {
        if request.image_fields.is_empty() {
            return Ok(bill);
        }
        let TextRequest { payload, image_fields, .. } = &mut *request;
        let downloaded =
            download_images(payload, image_fields, Downloader::default(), &self.0.download_slots)
                .await;
        match downloaded.and_then(|()| size::check_text(request)) {
            Ok(()) => Ok(bill),
            Err(error) => {
                bill.settle().await;
                Err(error)
            }
        }
    }

    /// Reserves the maximum cost of the answers to a text request. If the buyer has set no
    /// `max_tokens`, sets it in the payload.
    async fn open_text_bill(
        &self,
        key: &ApiKey,
        task: &Task,
        request: &mut TextRequest,
        input: PromptTokens,
    ) -> Result<Bill, GatewayError> {
        // Each answer is a separate request to the miners.
        let to_u64 = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let input_tokens = input.total.saturating_mul(to_u64(request.answers_per_prompt));
        let answers = to_u64(request.answer_count()).max(1);
        let uses_default_limit = request.max_tokens.is_none();
        if uses_default_limit {
            let tokens = default_max_tokens(task, &request.payload, input.longest);
            request.payload.max_tokens =
                tokens.min(request.max_total_tokens() / answers).max(request.min_tokens);
        }
        let tariff = Tariff::Text(task.price);
        let mut attempts = 1..MAX_BILL_ATTEMPTS;
        let bill = loop {
            let max_tokens = (input_tokens, request.payload.max_tokens.saturating_mul(answers));
            let error = match self.open_bill(key, task, tariff, max_tokens).await {
                Ok(bill) => break bill,
                Err(error) => error,
            };
            let affordable = match &error {
                GatewayError::InsufficientCredits { available: credits, .. }
                | GatewayError::BudgetExceeded { remaining: credits, .. } => {
                    affordable_tokens(task.price, input_tokens, *credits)
                }
                GatewayError::TokenRate { remaining, .. } => remaining.saturating_sub(input_tokens),
                GatewayError::TokenLimit { limit, .. } => {
                    u64::from(*limit).saturating_sub(input_tokens)
                }
                _ => return Err(error),
            };
            let affordable = affordable / answers;
            let min_affordable = MIN_AFFORDABLE_TOKENS.max(request.min_tokens);
            if !uses_default_limit || affordable < min_affordable || attempts.next().is_none() {
                return Err(error);
            }
            // The default limit was too high for the key: lower it.
            request.payload.max_tokens = affordable.min(request.payload.max_tokens);
        };
        let tokenizer = self.0.tokenizers.for_task(task).await;
        let meter = || TokenMeter::new(request.payload.max_tokens, tokenizer.clone());
        Ok(bill.with_meters(std::iter::repeat_with(meter).take(request.answer_count()).collect()))
    }

    /// Returns the number of tokens of a chat request, as it would be charged.
    pub(crate) fn answer_token_count(
        &self,
        key: &ApiKey,
        request: &TextRequest,
    ) -> Result<Response, GatewayError> {
        let config = self.0.market.current();
        let task = resolve_task(&config, key, Some(&request.model), Endpoint::Chat)?;
        let tokens = input_tokens(&request.payload)
            .saturating_add(image_tokens(task, &request.image_fields)?);
        Ok(Json(json!({ "input_tokens": tokens })).into_response())
    }

    pub(crate) async fn answer_embedding(
        &self,
        key: &ApiKey,
        request: EmbeddingRequest,
    ) -> Result<Response, GatewayError> {
        let config = self.0.market.current();
        let task = resolve_task(&config, key, Some(&request.payload.model), Endpoint::Embeddings)?;
        let (model, tokens) = (task.task.to_string(), tokens_of_texts(&request.payload.input));
        size::check_size(sealed_size(&request.payload.input), || Some("input"))?;
        let bill = self.open_bill(key, task, Tariff::Embedding(task.price), (tokens, 0)).await?;
        let mut payload = request.payload.clone();
        payload.model.clone_from(&model);
        let query_result = self
            .query_documents(vec![build_request(key, task, payload.into_map().into())], bill)
            .await;
        let (answers, mut bill) = query_result.map_err(|error| {
            error.or_context_exceeded("input", (tokens, 0), task.context_length())
        })?;
        let document = answers.first().and_then(|value| request.document(value, &model, tokens));
        if document.is_some() {
            bill.record_complete_delivery();
        }
        bill.settle().await;
        Ok(Json(document.ok_or(GatewayError::NoAnswer)?).into_response())
    }

    pub(crate) async fn answer_image(
        &self,
        key: &ApiKey,
        mut request: ImageRequest,
    ) -> Result<Response, GatewayError> {
        let config = self.0.market.current();
        let task = resolve_task(&config, key, request.model.as_deref(), request.endpoint)?;
        request.download_images(Downloader::default(), &self.0.download_slots).await?;
        let ImageRequest { mut payload, count, output, .. } = request;
        size::check_image(sealed_size(&payload.extra_fields), count, output.image_field())?;
        let (seed, steps) =
            (payload.seed, payload.steps.saturating_mul(u64::try_from(count).unwrap_or(u64::MAX)));
        let bill = self.open_bill(key, task, Tariff::Image(task.price), (0, steps)).await?;
        payload.model = config.names_task(task).then(|| task.task.to_string());
        let payload = Payload::from(payload.into_map());
        // Images with the same seed would be equal.
        let choice_request =
            |choice| build_request(key, task, payload.with_seed(seed_of_choice(seed, choice)));
        let requests = (0_u64..).take(count).map(choice_request).collect();
        let (answers, mut bill) = self.query_documents(requests, bill).await?;
        let document = self.image_document(&answers, output).await;
        if document.is_ok() {
            bill.record_image_delivery(steps);
        }
        bill.settle().await;
        Ok(Json(document?).into_response())
    }

    /// Converts miners' images to the format that the buyer expects.
    async fn image_document(
        &self,
        answers: &[Value],
        output: Output,
    ) -> Result<Value, GatewayError> {
        let images =
            answers.iter().map(|value| ImageRequest::image_from_answer(value).map(str::to_owned));
        let images = images.collect::<Result<Vec<_>, _>>()?;
        let created = now_ms(&self.0.clock) / 1_000;
        if !output.needs_conversion() {
            return output.document(images, created);
        }
        self.0.convert(move || output.document(images, created)).await
    }

    /// Queries miners for answers that are one JSON document each.
    async fn query_documents(
        &self,
        requests: Vec<Request>,
        bill: Bill,
    ) -> Result<(Vec<Value>, Bill), GatewayError> {
        let mut answers = vec![None; requests.len()];
        let (mut replies, bill) = self.query(requests, bill).await?;
        let failure = loop {
            if answers.iter().all(Option::is_some) {
                return Ok((answers.into_iter().flatten().collect(), bill));
            }
            match replies.next().await {
                Some((choice, Some(Ok(Chunk { body: ChunkBody::Object(value), .. })))) => {
                    if let Some(slot) = answers.get_mut(choice) {
                        *slot = Some(value);
                    }
                }
                // A document ends with its only chunk.
                Some((choice, None)) if answers.get(choice).is_some_and(Option::is_some) => {}
                Some((_, Some(Err(error)))) => break error,
                _ => break GatewayError::NoAnswer,
            }
        };
        bill.settle().await;
        Err(failure)
    }
}

/// Returns the maximum number of tokens of an answer to a request that sets none: that of the task,
/// otherwise what remains of the model's context, as with vLLM.
fn default_max_tokens(task: &Task, payload: &TextPayload, input: u64) -> u64 {
    if let Some(tokens) = task.default_max_tokens {
        return u64::from(tokens.get()).min(MAX_TOKENS);
    }
    let Some(context) = task.context_length() else { return UNKNOWN_CONTEXT_MAX_TOKENS };
    let messages = match &payload.input {
        TextInput::Messages(messages) => u64::try_from(messages.len()).unwrap_or(u64::MAX),
        TextInput::Prompt(_) => 1,
    };
    // Numbers and code have more tokens than estimated, and chat templates add some to each
    // message.
    let max_input = input.saturating_mul(3) / 2;
    let reserved = max_input
        .saturating_add(messages.saturating_mul(TEMPLATE_TOKENS))
        .saturating_add(TEMPLATE_TOKENS);
    context.saturating_sub(reserved).clamp(MIN_DEFAULT_TOKENS, MAX_TOKENS)
}

/// Returns the maximum number of output tokens that a number of credits pays for, beside the input.
fn affordable_tokens(price: Price, input: u64, credits: i64) -> u64 {
    let thousandths = u128::from(credits.max(0).unsigned_abs()) * 1_000;
    let remaining = thousandths.saturating_sub(u128::from(input) * u128::from(price.input));
    remaining
        .checked_div(u128::from(price.output))
        .map_or(0, |tokens| u64::try_from(tokens).unwrap_or(u64::MAX))
}

/// Returns the seed of a choice, in `1..=MAX_SEED`. The seeds of a request's choices differ, so
/// that the answers do.
const fn seed_of_choice(seed: u64, choice: u64) -> u64 {
    seed.saturating_sub(1).saturating_add(choice) % MAX_SEED + 1
}

/// Returns a request to miners for each answer to a buyer's text request. The answers to a prompt
/// have different seeds.
fn build_requests(
    key: &ApiKey,
    task: &Task,
    request: TextRequest,
    limits: QueryLimits,
) -> Vec<Request> {
    let TextRequest {
        payload,
        extra_prompts,
        image_fields,
        choices_per_prompt,
        answers_per_prompt,
        streams,
        wants_logprobs,
        cache_key,
        ..
    } = request;
    let max_chunks = usize::try_from(payload.max_tokens).unwrap_or(usize::MAX).saturating_add(1);
    let seed = payload.seed;
    let extra_payloads: Vec<_> =
        extra_prompts.into_iter().map(|prompt| payload.with_prompt(prompt)).collect();
    let mut requests = Vec::new();
    for payload in std::iter::once(payload).chain(extra_payloads) {
        let payload = Payload::from(payload.into_map());
        let answer_request = |answer| Request {
            has_images: !image_fields.is_empty(),
            max_chunks,
            is_collected: !streams,
            // The best answers are selected by their log-probabilities.
            relays_logprobs: wants_logprobs || answers_per_prompt > choices_per_prompt,
            max_wait: limits.max_wait,
            cache_key,
            earlier: limits.earlier,
            ..build_request(key, task, payload.with_seed(seed_of_choice(seed, answer)))
        };
        requests.extend((0_u64..).take(answers_per_prompt).map(answer_request));
    }
    requests
}

/// Returns a buyer's request for an answer in one chunk.
fn build_request(key: &ApiKey, task: &Task, payload: Payload) -> Request {
    Request {
        task: task.task.clone(),
        payload,
        has_images: false,
        kind: RequestKind::Organic,
        max_chunks: 1,
        key: key.id.as_str().into(),
        weight: key.terms.weight,
        is_collected: true,
        relays_logprobs: false,
        max_wait: None,
        cache_key: None,
        earlier: EarlierTasks::default(),
    }
}

#[cfg(test)]
mod tests {
    use taonet_nineteen_core::MarketConfig;

    use super::*;

    #[test]
    fn default_max_tokens_is_the_remaining_context() {
        let mut task = MarketConfig::default().task("chat-llama-3-2-3b").unwrap().clone();
        let payload = TextRequest::parse_chat(
            json!({"model": "m", "messages": [{"role": "user", "content": "a"}]})
                .to_string()
                .as_bytes(),
        );
        let payload = payload.unwrap().payload;
        assert_eq!(task.context_length(), Some(20_000));
        for (input, tokens) in
            [(10, 19_921), (12_000, 1_936), (13_000, 436), (20_000, 16), (u64::MAX, 16)]
        {
            assert_eq!(default_max_tokens(&task, &payload, input), tokens, "{input}");
        }
        let options = &mut task.orchestrator_server_config.load_model_config;
        options.insert("max_model_len".to_owned(), json!(131_072));
        assert_eq!(default_max_tokens(&task, &payload, 10), MAX_TOKENS);
        task.orchestrator_server_config.load_model_config.shift_remove("max_model_len");
        assert_eq!(default_max_tokens(&task, &payload, 10), 2_000);
        task.default_max_tokens = std::num::NonZeroU32::new(99);
        assert_eq!(default_max_tokens(&task, &payload, 10), 99);
    }

    #[test]
    fn seeds_of_choices_differ_and_wrap_around() {
        let seeds = [0, 1, 2].map(|choice| seed_of_choice(MAX_SEED - 1, choice));
        assert_eq!(seeds, [MAX_SEED - 1, MAX_SEED, 1]);
        assert_eq!(seed_of_choice(7, 0), 7);
    }

    #[test]
    fn affordable_tokens_follow_the_price() {
        let price = Price { input: 100, output: 400, step: 0 };
        assert_eq!((affordable_tokens(price, 100, 20), price.text(100, 25)), (25, 20));
        assert_eq!((affordable_tokens(price, 100, 10), affordable_tokens(price, 0, -5)), (0, 0));
        assert_eq!(affordable_tokens(Price { output: 0, ..price }, 100, 5), 0);
    }
}
