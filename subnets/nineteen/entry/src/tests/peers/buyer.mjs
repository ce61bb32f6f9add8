// Calls every route with OpenAI's client for Node.js, which is installed in the directory of the first argument. Reads
// {"url", "key", "unfunded_key"}, prints the results of all calls.

import { createRequire } from "node:module";
import { join } from "node:path";
import { text as read } from "node:stream/consumers";

const { default: OpenAI, toFile } = createRequire(join(process.argv[2], "package.json"))("openai");

const TOOL = { type: "function", function: { name: "weather", parameters: { type: "object" } } };
const question = JSON.parse(await read(process.stdin));
const client = new OpenAI({ baseURL: question.url, apiKey: question.key, maxRetries: 0 });
const messages = [{ role: "user", content: "12345678" }];
const ask = { model: "chat-llama-3-2-3b", messages, max_tokens: 12, seed: 7 };

async function failure(call) {
  try {
    await call();
  } catch (error) {
    return [error.constructor.name, error.status, error.code, error.param];
  }
  return null;
}

async function conversation() {
  const turns = [];
  for (let turn = 0; turn < 2; turn += 1) {
    const { object, choices, usage } = await client.chat.completions.create(ask);
    const { role, content } = choices[0].message;
    const tokens = [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens];
    turns.push({ object, role, text: content, finish: choices[0].finish_reason, usage: tokens });
    messages.push({ role: "assistant", content }, { role: "user", content: "more" });
  }
  return turns;
}

async function stream() {
  const options = { stream: true, stream_options: { include_usage: true } };
  const result = { text: "", finish: null, usage: null };
  for await (const chunk of await client.chat.completions.create({ ...ask, max_tokens: 2, ...options })) {
    for (const choice of chunk.choices) {
      result.text += choice.delta.content ?? "";
      result.finish = choice.finish_reason ?? result.finish;
    }
    result.usage = chunk.usage?.completion_tokens ?? result.usage;
  }
  return result;
}

async function choices() {
  const { choices, usage } = await client.chat.completions.create({ ...ask, n: 2 });
  const texts = choices.map(({ index, message }) => [index, message.content]);
  return [texts, [usage.prompt_tokens, usage.completion_tokens]];
}

async function streamedChoices() {
  const texts = ["", ""];
  for await (const chunk of await client.chat.completions.create({ ...ask, n: 2, stream: true })) {
    for (const choice of chunk.choices) texts[choice.index] += choice.delta.content ?? "";
  }
  return texts;
}

function called({ finish_reason, message }) {
  const call = message.tool_calls[0];
  return [finish_reason, call.id, call.function.name, call.function.arguments];
}

let models = 0;
for await (const _ of client.models.list()) models += 1;
const results = { models, conversation: await conversation(), stream: await stream() };
const data = { type: "image_url", image_url: { url: "data:image/jpeg;base64,/9j/4AAQ", detail: "low" } };
const seen = [{ role: "user", content: [{ type: "text", text: "a" }, data] }];
const vision = await client.chat.completions.create({ ...ask, messages: seen });
results.vision = [vision.choices[0].message.content, vision.usage.prompt_tokens];
results.choices = await choices();
results.streamed_choices = await streamedChoices();
const whole = await client.chat.completions.create({ ...ask, tools: [TOOL], tool_choice: "required" });
results.tool = called(whole.choices[0]);
const streamed = await client.chat.completions.stream({ ...ask, tools: [TOOL] }).finalChatCompletion();
results.streamed_tool = called(streamed.choices[0]);
const completion = await client.completions.create({ model: "comp", prompt: "What is", max_tokens: 5 });
results.completion = [completion.object, completion.choices[0].text];
const response = await client.responses.create({ model: "chat-llama-3-2-3b", input: "12345678", store: false });
results.response = [response.status, response.output_text];
// The client requests vectors in base64, and decodes them.
const embeddings = await client.embeddings.create({ model: "embed", input: ["a", "b"] });
results.embedding = embeddings.data.map((entry) => Array.from(entry.embedding));
const images = await client.images.generate({ model: "proteus-text-to-image", prompt: "a cat" });
results.image = images.data[0].b64_json;
const two = { model: "proteus", prompt: "a cat", n: 2, size: "1024x1536", quality: "standard" };
results.images = (await client.images.generate(two)).data.map((entry) => entry.b64_json);
// Image and mask are the same transparent pixel.
const file = () => toFile(Buffer.from(results.image, "base64"), "pixel.png", { type: "image/png" });
const edit = { image: await file(), prompt: "a cat" };
const edits = [await client.images.edit(edit), await client.images.edit({ ...edit, mask: await file() })];
results.edit = edits.map((answer) => answer.data[0].b64_json);
const stranger = new OpenAI({ baseURL: question.url, apiKey: "sk-tao-none", maxRetries: 0 });
const unfunded = new OpenAI({ baseURL: question.url, apiKey: question.unfunded_key, maxRetries: 0 });
const long = [{ role: "user", content: "long" }];
results.errors = [
  await failure(() => stranger.chat.completions.create(ask)),
  await failure(() => client.chat.completions.create({ ...ask, model: "gpt" })),
  await failure(() => client.chat.completions.create({ ...ask, n: 129 })),
  await failure(() => unfunded.chat.completions.create(ask)),
  // The answer does not fit into the model's context.
  await failure(() => client.chat.completions.create({ ...ask, messages: long, max_tokens: 20_000 })),
];
console.log(JSON.stringify(results));
