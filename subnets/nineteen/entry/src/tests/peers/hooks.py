"""Changes random values in schemathesis's requests: replaces models by offered ones, because unknown ones would all
return 404, and URLs of images by that of a private host, so that no name is resolved. Conversations of `/v1/messages`
must not end with a message of the assistant, which a JSON schema cannot express: such ones get another message. Nor can
it express that all messages together have at most 8 images: further ones are left out. The schemas of texts
lack some conditions between fields: requests that are valid without them are changed to meet them."""

import schemathesis

MODELS = {
    "/v1/chat/completions": "chat-llama-3-2-3b",
    "/v1/completions": "comp",
    "/v1/responses": "chat-llama-3-2-3b",
    "/v1/messages": "chat-llama-3-2-3b",
    "/v1/messages/count_tokens": "chat-llama-3-2-3b",
    "/v1/embeddings": "embed",
    "/v1/images/generations": "proteus-text-to-image",
    "/v1/text-to-image": "proteus-text-to-image",
    "/v1/image-to-image": "proteus-image-to-image",
    "/v1/inpaint": "inpaint",
    "/v1/avatar": "avatar",
}


PRIVATE = "https://127.0.0.1/"


def with_private_urls(value):
    if isinstance(value, list):
        return [with_private_urls(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    replaced = {name: with_private_urls(entry) for name, entry in value.items()}
    for name in ("url", "image_url"):
        if isinstance(value.get(name), str) and value[name].startswith("https://"):
            replaced[name] = PRIVATE
    return replaced


def with_few_images(value, left):
    """Leaves out the images of a request after the first `left[0]`."""
    if isinstance(value, list):
        kept = []
        for entry in value:
            if isinstance(entry, dict) and entry.get("type") in ("image", "image_url", "input_image"):
                left[0] -= 1
                if left[0] < 0:
                    continue
            kept.append(with_few_images(entry, left))
        return kept
    if isinstance(value, dict):
        return {name: with_few_images(entry, left) for name, entry in value.items()}
    return value


def without_both_calls(messages):
    """Leaves out the function calls of messages that have tool calls, too."""
    return [
        {name: entry for name, entry in message.items() if name != "function_call"}
        if isinstance(message, dict) and "tool_calls" in message
        else message
        for message in messages
    ]


@schemathesis.hook
def map_body(context, body):
    if isinstance(body, dict) and isinstance(body.get("model"), str) and body["model"]:
        body = {**body, "model": MODELS.get(context.operation.path, body["model"])}
    if isinstance(body, dict) and context.operation.path.startswith("/v1/messages"):
        messages = body.get("messages")
        last = messages[-1] if isinstance(messages, list) and messages else None
        if isinstance(last, dict) and last.get("role") == "assistant":
            body = {**body, "messages": [*messages, {"role": "user", "content": "a"}]}
    if isinstance(body, dict) and isinstance(body.get("messages"), list):
        body = {**body, "messages": without_both_calls(body["messages"])}
    if isinstance(body, dict):
        for name in ("init_image", "mask"):
            if isinstance(body.get(name), str) and body[name].startswith("https://"):
                body = {**body, name: PRIVATE}
        for name in ("messages", "input"):
            if name in body:
                body = {**body, name: with_few_images(with_private_urls(body[name]), [8])}
    return body


# Maximum number of answers to a request, and of their tokens together.
ANSWERS = 128
TOKENS = 8 * 32_768


CONSTRAINTS = ("structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar")


def with_conditions(body):
    """Changes a text request to meet the conditions that the schema lacks."""
    left_out = set([name for name in CONSTRAINTS if body.get(name) is not None][1:])
    left_out |= {"function_call"} if body.get("functions") is None else {"tools", "tool_choice"}
    body = {name: value for name, value in body.items() if name not in left_out}
    if body.get("best_of"):
        body["best_of"] = max(body["best_of"], body.get("n") or 1)
    answers = int(body.get("best_of") or body.get("n") or 1)
    if isinstance(body.get("prompt"), list):
        body["prompt"] = body["prompt"][:max(ANSWERS // answers, 1)]
        answers *= len(body["prompt"])
    limits = [name for name in ("max_tokens", "max_completion_tokens") if body.get(name)]
    for name in limits:
        body[name] = min(body[name], TOKENS // answers)
    if body.get("min_tokens"):
        body["min_tokens"] = min([body["min_tokens"], TOKENS // answers, *(body[name] for name in limits)])
    return body


@schemathesis.hook
def map_case(context, case):
    body = case.body
    if not isinstance(body, dict) or not case.meta.generation.mode.is_positive:
        return case
    if case.operation.path in ("/v1/chat/completions", "/v1/completions"):
        case.body = with_conditions(body)
    if case.operation.path == "/v1/responses" and isinstance(body.get("input"), list):
        # Reasoning alone is no question.
        case.body = {**body, "input": [*body["input"][-1_023:], {"role": "user", "content": "a"}]}
    return case
