"""A buyer with OpenAI's own client. Reads {"url", "key"} from standard input; prints the result of each call."""

import json
import sys

import openai


def failure(call):
    try:
        call()
    except openai.APIStatusError as error:
        return [type(error).__name__, error.status_code, error.code, error.param]
    return None


def main():
    question = json.load(sys.stdin)
    client = openai.OpenAI(base_url=question["url"], api_key=question["key"], max_retries=5)
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is stan?"}]
    ask = {"model": "chat-demo", "messages": messages, "max_tokens": 12, "temperature": 0.5, "seed": 7}
    results = {"models": sorted(model.id for model in client.models.list())}

    whole = client.chat.completions.create(**ask, logprobs=True)
    results["whole"] = {
        "object": whole.object,
        "role": whole.choices[0].message.role,
        "text": whole.choices[0].message.content,
        "finish": whole.choices[0].finish_reason,
        "logprobs": len(whole.choices[0].logprobs.content),
        "usage": whole.usage.completion_tokens,
        "total": whole.usage.total_tokens - whole.usage.prompt_tokens,
    }

    # The conversation goes on.
    longer = messages + [
        {"role": "assistant", "content": whole.choices[0].message.content or "..."},
        {"role": "user", "content": [{"type": "text", "text": "And then?"}]},
    ]
    results["conversation"] = failure(lambda: client.chat.completions.create(**{**ask, "messages": longer[:3] + messages[1:]}))

    text, finish, usage, roles = "", None, None, []
    for chunk in client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}):
        for choice in chunk.choices:
            text += choice.delta.content or ""
            roles += [choice.delta.role] if choice.delta.role else []
            finish = choice.finish_reason or finish
        usage = chunk.usage or usage
    results["stream"] = {"length": len(text), "finish": finish, "usage": usage.completion_tokens, "roles": roles}

    completion = client.completions.create(model="chat-demo-comp", prompt="What is", max_tokens=5)
    results["completion"] = [completion.object, completion.usage.completion_tokens <= 5]

    stranger = openai.OpenAI(base_url=question["url"], api_key="sk-tao-none", max_retries=0)
    results["stranger"] = failure(lambda: stranger.chat.completions.create(**ask))
    results["unknown"] = failure(lambda: client.chat.completions.create(**{**ask, "model": "gpt"}))
    results["n"] = failure(lambda: client.chat.completions.create(**ask, n=129))
    results["field"] = failure(lambda: client.chat.completions.create(**ask, extra_body={"speed": 11}))
    print(json.dumps(results))


main()
