"""Buys through LiteLLM, with its providers for OpenAI and Anthropic. Reads {"url", "key", "unfunded_key"}, prints
the results of all calls."""

import asyncio
import json
import os
import sys

# Otherwise, LiteLLM downloads a list of prices when it is imported, and the tokenizers of some models.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["HF_HUB_OFFLINE"] = "1"

import litellm
import openai
import pydantic

# Otherwise, errors are printed among the results.
litellm.suppress_debug_info = True
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


class Place(pydantic.BaseModel):
    town: str


def failure(call):
    try:
        call()
    except openai.APIStatusError as error:
        return [type(error).__name__, error.status_code]
    return None


def called(choice):
    call = choice.message.tool_calls[0]
    return [choice.finish_reason, call.id, call.function.name, call.function.arguments]


def main():
    question = json.load(sys.stdin)
    access = {"api_base": question["url"], "api_key": question["key"], "max_retries": 0}
    chat = "openai/chat-llama-3-2-3b"
    messages = [{"role": "user", "content": "12345678"}]
    ask = {"model": chat, "messages": messages, "max_tokens": 12, **access}
    results = {}

    answer = litellm.completion(**ask)
    usage = answer.usage
    results["chat"] = [answer.choices[0].message.content, answer.choices[0].finish_reason, usage.total_tokens]

    chunks = list(litellm.completion(**{**ask, "max_tokens": 2}, stream=True, stream_options={"include_usage": True}))
    answer = litellm.stream_chunk_builder(chunks, messages=messages)
    usage = answer.usage
    results["stream"] = [
        answer.choices[0].message.content, answer.choices[0].finish_reason, usage.prompt_tokens,
        usage.completion_tokens,
    ]

    answer = litellm.completion(**ask, tools=[TOOL], tool_choice="required")
    results["tool"] = called(answer.choices[0])
    chunks = list(litellm.completion(**ask, tools=[TOOL], stream=True))
    results["streamed_tool"] = called(litellm.stream_chunk_builder(chunks).choices[0])
    # LiteLLM's own messages are sent back as they are.
    turn = {"role": "tool", "tool_call_id": "c1", "name": "weather", "content": "rain"}
    again = {**ask, "messages": [*messages, answer.choices[0].message, turn]}
    results["after_tool"] = litellm.completion(**again, tools=[TOOL]).choices[0].message.content

    results["object"] = litellm.completion(**ask, response_format=Place).choices[0].message.content
    data = {"type": "image_url", "image_url": "data:image/jpeg;base64,/9j/4AAQ"}
    seen = [{"role": "user", "content": [{"type": "text", "text": "a"}, data]}]
    results["vision"] = litellm.completion(**{**ask, "messages": seen}).choices[0].message.content
    results["choices"] = [choice.message.content for choice in litellm.completion(**ask, n=2).choices]

    response = litellm.responses(model=chat, input="12345678", **access)
    results["response"] = [response.status, response.output[0].content[0].text]
    # These messages are translated into a request for a response.
    message = asyncio.run(litellm.anthropic_messages(**ask))
    results["message"] = [message["stop_reason"], message["content"][0]["text"]]
    embeddings = litellm.embedding(model="openai/embed", input=["a", "b"], **access).data
    results["embedding"] = [entry["embedding"] for entry in embeddings]
    image = litellm.image_generation(model="openai/proteus-text-to-image", prompt="a cat", **access)
    results["image"] = image.data[0].b64_json

    # The paths of the other provider begin with /v1.
    theirs = {**ask, "model": "anthropic/chat-llama-3-2-3b", "api_base": question["url"].removesuffix("/v1")}
    # Without a limit, LiteLLM sends a large one.
    results["anthropic"] = litellm.completion(**{**theirs, "max_tokens": None}).choices[0].message.content
    chunks = list(litellm.completion(**theirs, tools=[TOOL], stream=True))
    results["anthropic_tool"] = called(litellm.stream_chunk_builder(chunks).choices[0])

    # The first request fails.
    flaky = {**ask, "messages": [{"role": "user", "content": "flaky"}], "max_retries": 1}
    results["retried"] = litellm.completion(**flaky).choices[0].message.content
    results["errors"] = [
        failure(lambda: litellm.completion(**{**ask, "api_key": "sk-tao-none"})),
        failure(lambda: litellm.completion(**{**ask, "model": "openai/gpt"})),
        failure(lambda: litellm.completion(**ask, n=129)),
        failure(lambda: litellm.completion(**{**ask, "api_key": question["unfunded_key"]})),
    ]
    print(json.dumps(results))


main()
