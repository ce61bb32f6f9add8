"""Buys through LangChain's packages for OpenAI and Anthropic. Reads {"url", "key"}, prints the results of all calls."""

import json
import sys

import anthropic
import openai
import pydantic
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

MODEL = "chat-llama-3-2-3b"


@tool
def weather(town: str) -> str:
    """Tell the weather of a town."""
    return f"rain in {town}"


class Place(pydantic.BaseModel):
    """A place."""

    town: str


def failure(call):
    try:
        call()
    except (openai.APIStatusError, anthropic.APIStatusError) as error:
        return [type(error).__name__, error.status_code]
    return None


def calls(message):
    return [[call["id"], call["name"], call["args"]] for call in message.tool_calls]


def tokens(message):
    return [message.usage_metadata["input_tokens"], message.usage_metadata["output_tokens"]]


def streamed(model, request):
    """Sums the chunks of a streamed message."""
    chunks = list(model.stream(request))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole


def bought(model):
    """Buys what models of both providers can."""
    answer = model.invoke("12345678")
    results = {"chat": [answer.text, tokens(answer)]}
    answer = streamed(model, "12345678")
    results["stream"] = [answer.text, tokens(answer)]
    results["batch"] = [answer.text for answer in model.batch(["a", "b"])]
    with_tools = model.bind_tools([weather])
    request = [HumanMessage("12345678")]
    answer = with_tools.invoke(request)
    results["tool"] = calls(answer)
    results["streamed_tool"] = calls(streamed(with_tools, request))
    turns = [*request, answer, *(weather.invoke(call) for call in answer.tool_calls)]
    results["after_tool"] = with_tools.invoke(turns).text
    parts = ToolMessage([{"type": "text", "text": "rain"}], tool_call_id=answer.tool_calls[0]["id"])
    results["after_parts"] = with_tools.invoke([*turns[:-1], parts]).text
    image = {"type": "image", "base64": "/9j/4AAQ", "mime_type": "image/jpeg"}
    answer = model.invoke([HumanMessage([{"type": "text", "text": "a"}, image])])
    results["vision"] = [answer.text, tokens(answer)]
    results["object"] = model.with_structured_output(Place, method="json_schema").invoke("12345678").town
    by_call = model.with_structured_output(Place, method="function_calling")
    results["called_object"] = by_call.invoke("12345678").town
    return results


def main():
    question = json.load(sys.stdin)
    access = {"base_url": question["url"], "api_key": question["key"], "max_retries": 0}
    # The paths of Anthropic's client begin with /v1.
    theirs = {**access, "base_url": question["url"].removesuffix("/v1")}
    # With another URL than OpenAI's, streams have no usage by default.
    results = {"chat": bought(ChatOpenAI(model=MODEL, stream_usage=True, **access))}
    results["responses"] = bought(ChatOpenAI(model=MODEL, use_responses_api=True, **access))
    results["anthropic"] = bought(ChatAnthropic(model=MODEL, **theirs))

    # The first request fails.
    results["retried"] = ChatOpenAI(model=MODEL, **{**access, "max_retries": 1}).invoke("flaky").text
    # Otherwise, the texts are sent as tokens of OpenAI's models.
    embeddings = OpenAIEmbeddings(model="embed", check_embedding_ctx_length=False, **access)
    results["embedding"] = [embeddings.embed_documents(["a", "b"]), embeddings.embed_query("a")]
    stranger = {"model": MODEL, "api_key": "sk-tao-none", "max_retries": 0}
    results["errors"] = [
        failure(lambda: ChatOpenAI(**{**stranger, "base_url": access["base_url"]}).invoke("a")),
        failure(lambda: ChatOpenAI(**access, model="gpt").invoke("a")),
        failure(lambda: ChatOpenAI(**access, model=MODEL, n=129).invoke("a")),
        failure(lambda: ChatAnthropic(**{**stranger, "base_url": theirs["base_url"]}).invoke("a")),
        failure(lambda: ChatAnthropic(**theirs, model="claude").invoke("a")),
    ]
    print(json.dumps(results))


main()
