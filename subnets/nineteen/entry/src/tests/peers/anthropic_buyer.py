"""Calls the routes of Anthropic's API with Anthropic's client for Python. Reads {"url", "key", "unfunded_key"}, prints
the results of all calls."""

import json
import sys

import anthropic

TOOL = {"name": "weather", "input_schema": {"type": "object"}}


def failure(call):
    try:
        call()
    except anthropic.APIStatusError as error:
        return [type(error).__name__, error.status_code, error.type, error.request_id is not None]
    return None


def used(message):
    block = message.content[-1]
    return [message.stop_reason, block.type, block.id, block.name, block.input]


def main():
    question = json.load(sys.stdin)
    # The client's paths begin with /v1.
    url = question["url"].removesuffix("/v1")
    client = anthropic.Anthropic(base_url=url, api_key=question["key"], max_retries=0)
    messages = [{"role": "user", "content": "12345678"}]
    ask = {"model": "chat-llama-3-2-3b", "messages": messages, "max_tokens": 12}
    results = {"conversation": []}

    for _ in range(2):
        counted = client.messages.count_tokens(model=ask["model"], messages=messages).input_tokens
        message = client.messages.create(**ask)
        results["conversation"].append({
            "type": message.type,
            "role": message.role,
            "text": message.content[0].text,
            "stop": message.stop_reason,
            "usage": [message.usage.input_tokens, message.usage.output_tokens],
            "counted": counted,
        })
        messages += [{"role": "assistant", "content": message.content}, {"role": "user", "content": "more"}]

    with client.messages.stream(**{**ask, "max_tokens": 2}) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    usage = [final.usage.input_tokens, final.usage.output_tokens]
    results["stream"] = {"text": text, "final": final.content[0].text, "stop": final.stop_reason, "usage": usage}
    results["events"] = [event.type for event in client.messages.create(**{**ask, "max_tokens": 1}, stream=True)]

    message = client.messages.create(**ask, tools=[TOOL], tool_choice={"type": "any"})
    results["tool"] = used(message)
    with client.messages.stream(**ask, tools=[TOOL]) as stream:
        results["streamed_tool"] = used(stream.get_final_message())
    result = {"type": "tool_result", "tool_use_id": message.content[-1].id, "content": "rain"}
    turns = [{"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}]
    message = client.messages.create(**{**ask, "messages": messages + turns}, system="Be brief.")
    results["after_tool"] = message.content[0].text

    source = {"type": "base64", "media_type": "image/jpeg", "data": "/9j/4AAQ"}
    seen = [{"role": "user", "content": [{"type": "image", "source": source}, {"type": "text", "text": "a"}]}]
    message = client.messages.create(**{**ask, "messages": seen})
    results["vision"] = [message.content[0].text, message.usage.input_tokens]

    # Earlier clients send the key in this header.
    header = {"x-api-key": question["key"], "Authorization": anthropic.omit}
    keyed = anthropic.Anthropic(base_url=url, api_key="none", max_retries=0)
    results["x_api_key"] = keyed.messages.create(**ask, extra_headers=header).stop_reason

    stranger = anthropic.Anthropic(base_url=url, api_key="sk-tao-none", max_retries=0)
    unfunded = anthropic.Anthropic(base_url=url, api_key=question["unfunded_key"], max_retries=0)
    results["errors"] = [
        failure(lambda: stranger.messages.create(**ask)),
        failure(lambda: client.messages.create(**{**ask, "model": "claude"})),
        failure(lambda: client.messages.create(**{**ask, "max_tokens": 0})),
        failure(lambda: unfunded.messages.create(**ask)),
    ]
    # The answer does not fit into the model's context.
    long = [{"role": "user", "content": "long"}]
    try:
        client.messages.create(**{**ask, "messages": long, "max_tokens": 20_000})
    except anthropic.BadRequestError as error:
        results["context"] = [error.type, "the model's context has 20000" in error.body["error"]["message"]]
    print(json.dumps(results))


main()
