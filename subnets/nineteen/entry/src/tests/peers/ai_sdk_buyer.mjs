// Buys through Vercel's AI SDK, with its providers for OpenAI (chat completions, and responses, its default) and
// Anthropic. The packages are installed in the directory of the first argument. Reads {"url", "key"}, prints the results
// of all calls.

import { createRequire } from "node:module";
import { join } from "node:path";
import { text as read } from "node:stream/consumers";

const load = createRequire(join(process.argv[2], "package.json"));
const { embedMany, generateImage, generateObject, generateText, stepCountIs, streamObject, streamText, tool } = load("ai");
const { createAnthropic } = load("@ai-sdk/anthropic");
const { createOpenAI } = load("@ai-sdk/openai");
const { z } = load("zod");

// Without it, warnings are printed among the results.
globalThis.AI_SDK_LOG_WARNINGS = false;
const MODEL = "chat-llama-3-2-3b";
const question = JSON.parse(await read(process.stdin));
const access = { baseURL: question.url, apiKey: question.key };
const openai = createOpenAI(access);
const anthropic = createAnthropic(access);
const schema = z.object({ town: z.string() });
const weather = tool({ inputSchema: schema, execute: async ({ town }) => `rain in ${town}` });
const image = { type: "image", image: "/9j/4AAQ", mediaType: "image/jpeg" };

async function failure(call) {
  try {
    await call();
  } catch (error) {
    return [error.statusCode, error.isRetryable];
  }
  return null;
}

const answered = async ({ text, finishReason, usage }) => {
  const { inputTokens, outputTokens } = await usage;
  return [await text, await finishReason, inputTokens, outputTokens];
};

async function streamedObject(options) {
  const { object, partialObjectStream } = streamObject({ ...options, prompt: "a", schema });
  // The object is complete when its parts have been read.
  for await (const _ of partialObjectStream);
  return object;
}

async function bought(model, providerOptions) {
  const options = { model, providerOptions, maxRetries: 0, maxOutputTokens: 12 };
  const first = { role: "user", content: "12345678" };
  const answer = await generateText({ ...options, messages: [first] });
  const turns = [first, ...answer.response.messages, { role: "user", content: "more" }];
  const tools = { ...options, prompt: "a", tools: { weather } };
  const called = (await generateText(tools)).toolCalls[0];
  const loop = await generateText({ ...tools, stopWhen: stepCountIs(3) });
  const streamedLoop = streamText({ ...tools, stopWhen: stepCountIs(3) });
  const seen = { role: "user", content: [{ type: "text", text: "a" }, image] };
  return {
    conversation: [await answered(answer), await answered(await generateText({ ...options, messages: turns }))],
    stream: await answered(streamText({ ...options, prompt: "12345678", maxOutputTokens: 2 })),
    tool: [called.toolCallId, called.toolName, called.input],
    loop: [loop.steps.length, loop.text],
    streamed_loop: [(await streamedLoop.steps).length, await streamedLoop.text],
    object: (await generateObject({ ...options, prompt: "a", schema })).object,
    streamed_object: await streamedObject(options),
    vision: (await generateText({ ...options, messages: [seen] })).text,
  };
}

const results = {
  chat: await bought(openai.chat(MODEL)),
  // Otherwise, the next turn refers to stored responses.
  responses: await bought(openai(MODEL), { openai: { store: false } }),
  anthropic: await bought(anthropic(MODEL)),
};
const effort = { store: false, forceReasoning: true, reasoningEffort: "low", reasoningSummary: "auto" };
const reasoned = { model: openai(MODEL), prompt: "a", maxRetries: 0, providerOptions: { openai: effort } };
results.reasoning = (await generateText(reasoned)).text;
// The first request fails.
results.retried = (await generateText({ model: openai.chat(MODEL), prompt: "flaky" })).text;
results.completion = (await generateText({ model: openai.completion("comp"), prompt: "What is", maxOutputTokens: 5 })).text;
results.embedding = (await embedMany({ model: openai.embedding("embed"), values: ["a", "b"] })).embeddings;
results.image = (await generateImage({ model: openai.image("proteus-text-to-image"), prompt: "a cat" })).image.base64;
const stranger = createOpenAI({ ...access, apiKey: "sk-tao-none" });
const ask = (model) => generateText({ model, prompt: "a" });
results.errors = [
  await failure(() => ask(stranger.chat(MODEL))),
  await failure(() => ask(openai.chat("gpt"))),
  await failure(() => ask(anthropic("claude"))),
];
console.log(JSON.stringify(results));
