"""Changes random values in schemathesis's requests: replaces models by offered ones, because unknown ones would all
return 404, and URLs of images by that of a private host, so that no name is resolved. Conversations of `/v1/messages`
must not end with a message of the assistant, which a JSON schema cannot express: such ones get another message. Nor can
it express that all messages together have at most 8 images: further ones are left out."""

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


@schemathesis.hook
def map_body(context, body):
    if isinstance(body, dict) and isinstance(body.get("model"), str) and body["model"]:
        body = {**body, "model": MODELS.get(context.operation.path, body["model"])}
    if isinstance(body, dict) and context.operation.path.startswith("/v1/messages"):
        messages = body.get("messages")
        last = messages[-1] if isinstance(messages, list) and messages else None
        if isinstance(last, dict) and last.get("role") == "assistant":
            body = {**body, "messages": [*messages, {"role": "user", "content": "a"}]}
    if isinstance(body, dict):
        for name in ("init_image", "mask"):
            if isinstance(body.get(name), str) and body[name].startswith("https://"):
                body = {**body, name: PRIVATE}
        for name in ("messages", "input"):
            if name in body:
                body = {**body, name: with_few_images(with_private_urls(body[name]), [8])}
    return body
