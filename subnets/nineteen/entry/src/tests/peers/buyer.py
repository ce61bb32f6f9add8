"""Calls every route with OpenAI's client for Python. Reads {"url", "key", "unfunded_key"}, prints the results of all
calls."""

import base64
import json
import sys

import openai

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def failure(call):
    try:
        call()
    except openai.APIStatusError as error:
        return [type(error).__name__, error.status_code, error.code, error.param]
    return None


def main():
    question = json.load(sys.stdin)
    client = openai.OpenAI(base_url=question["url"], api_key=question["key"], max_retries=0)
    messages = [{"role": "user", "content": "12345678"}]
    ask = {"model": "chat-llama-3-2-3b", "messages": messages, "max_tokens": 12, "seed": 7}
    results = {"models": len(list(client.models.list())), "conversation": []}

    for _ in range(2):
        answer = client.chat.completions.create(**ask)
        message, usage = answer.choices[0].message, answer.usage
        results["conversation"].append({
            "object": answer.object,
            "role": message.role,
            "text": message.content,
            "finish": answer.choices[0].finish_reason,
            "usage": [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens],
        })
        messages += [{"role": "assistant", "content": message.content}, {"role": "user", "content": "more"}]

    text, finish, tokens = "", None, None
    stream = client.chat.completions.create(
        **{**ask, "max_tokens": 2}, stream=True, stream_options={"include_usage": True})
    for chunk in stream:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
        tokens = chunk.usage.completion_tokens if chunk.usage else tokens
    results["stream"] = {"text": text, "finish": finish, "usage": tokens}

    data = {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,/9j/4AAQ", "detail": "low"}}
    seen = [{"role": "user", "content": [{"type": "text", "text": "a"}, data]}]
    answer = client.chat.completions.create(**{**ask, "messages": seen})
    results["vision"] = [answer.choices[0].message.content, answer.usage.prompt_tokens]

    answer = client.chat.completions.create(**ask, n=2)
    tokens = [answer.usage.prompt_tokens, answer.usage.completion_tokens]
    results["choices"] = [[[choice.index, choice.message.content] for choice in answer.choices], tokens]
    texts = ["", ""]
    for chunk in client.chat.completions.create(**ask, n=2, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    results["streamed_choices"] = texts

    choice = client.chat.completions.create(**ask, tools=[TOOL], tool_choice="required").choices[0]
    call = choice.message.tool_calls[0]
    results["tool"] = [choice.finish_reason, call.id, call.function.name, call.function.arguments]
    with client.chat.completions.stream(**ask, tools=[TOOL]) as stream:
        choice = stream.get_final_completion().choices[0]
    call = choice.message.tool_calls[0]
    results["streamed_tool"] = [choice.finish_reason, call.id, call.function.name, call.function.arguments]

    completion = client.completions.create(model="comp", prompt="What is", max_tokens=5)
    results["completion"] = [completion.object, completion.choices[0].text]
    response = client.responses.create(model="chat-llama-3-2-3b", input="12345678", store=False)
    results["response"] = [response.status, response.output_text]
    # The client requests vectors in base64, and decodes them.
    embeddings = client.embeddings.create(model="embed", input=["a", "b"]).data
    results["embedding"] = [entry.embedding for entry in embeddings]
    results["image"] = client.images.generate(model="proteus-text-to-image", prompt="a cat").data[0].b64_json
    images = client.images.generate(model="proteus", prompt="a cat", n=2, size="1024x1536", quality="standard").data
    results["images"] = [image.b64_json for image in images]
    # Image and mask are the same transparent pixel.
    file = ("pixel.png", base64.b64decode(results["image"]), "image/png")
    edits = [client.images.edit(image=[file], prompt="a cat"), client.images.edit(image=file, mask=file, prompt="a cat")]
    results["edit"] = [edit.data[0].b64_json for edit in edits]

    stranger = openai.OpenAI(base_url=question["url"], api_key="sk-tao-none", max_retries=0)
    unfunded = openai.OpenAI(base_url=question["url"], api_key=question["unfunded_key"], max_retries=0)
    long = [{"role": "user", "content": "long"}]
    results["errors"] = [
        failure(lambda: stranger.chat.completions.create(**ask)),
        failure(lambda: client.chat.completions.create(**{**ask, "model": "gpt"})),
        failure(lambda: client.chat.completions.create(**ask, n=129)),
        failure(lambda: unfunded.chat.completions.create(**ask)),
        # The answer does not fit into the model's context.
        failure(lambda: client.chat.completions.create(**{**ask, "messages": long, "max_tokens": 20_000})),
    ]
    print(json.dumps(results))


main()
