"""Buys through Simon Willison's llm, with the gateway's model as in its file extra-openai-models.yaml. Reads {"url",
"key"}, prints the results of all calls."""

import json
import os
import pathlib
import sys
import tempfile

question = json.load(sys.stdin)
folder = tempfile.TemporaryDirectory()
# Read when llm loads its plugins.
os.environ["LLM_USER_PATH"] = folder.name
MODEL = {
    "model_name": "chat-llama-3-2-3b",
    "api_base": question["url"],
    "api_key_name": "market",
    "supports_schema": True,
    "supports_tools": True,
    "vision": True,
}
MODELS = [
    {**MODEL, "model_id": "chat"},
    {**MODEL, "model_id": "response", "responses": True},
    {**MODEL, "model_id": "completion", "model_name": "comp", "completion": True},
    {**MODEL, "model_id": "stranger", "api_key_name": "none"},
    {**MODEL, "model_id": "unknown", "model_name": "gpt"},
]
home = pathlib.Path(folder.name)
# JSON is YAML, too.
(home / "extra-openai-models.yaml").write_text(json.dumps(MODELS))
(home / "keys.json").write_text(json.dumps({"market": question["key"], "none": "sk-tao-none"}))

import llm
import openai
import pydantic


class Place(pydantic.BaseModel):
    town: str


def weather(town: str) -> str:
    """Tell the weather of a town."""
    return f"rain in {town}"


def failure(call):
    try:
        call()
    except openai.APIStatusError as error:
        return [type(error).__name__, error.status_code]
    return None


def answered(response):
    return [response.text(), response.input_tokens, response.output_tokens]


def bought(model):
    conversation = model.conversation()
    chain = model.chain("a", tools=[weather])
    image = llm.Attachment(type="image/jpeg", content=b"\xff\xd8\xff\xe0\x00\x10")
    return {
        "conversation": [answered(conversation.prompt("12345678")), answered(conversation.prompt("more"))],
        "whole": answered(model.prompt("12345678", stream=False)),
        "chunks": list(model.prompt("12345678")),
        "object": model.prompt("a", schema=Place).text(),
        "tool": [chain.text(), [len(response.tool_calls()) for response in chain.responses()]],
        "vision": model.prompt("a", attachments=[image]).text(),
    }


def main():
    results = {name: bought(llm.get_model(name)) for name in ["chat", "response"]}
    results["completion"] = llm.get_model("completion").prompt("What is", max_tokens=5).text()
    names = ["stranger", "unknown"]
    results["errors"] = [failure(lambda: llm.get_model(name).prompt("a").text()) for name in names]
    print(json.dumps(results))


main()
