"""Stands in for `chutes run`: serves the cords of a chute's script, below any path, on a free port that it prints.

The modules that the script imports are replaced: the model completes every text with the same words.
"""
import asyncio
import contextlib
import http.server
import inspect
import json
import sys
import types

COMPLETION = " today?\nFine, thanks."


class Image:
    def __init__(self, **names):
        self.names = names

    def from_base(self, _):
        return self

    def run_command(self, _):
        return self


class NodeSelector:
    def __init__(self, gpu_count, min_vram_gb_per_gpu):
        self.gpus = gpu_count, min_vram_gb_per_gpu


class Chute:
    def __init__(self, username, name, image, tagline, readme, node_selector, concurrency):
        assert isinstance(image, Image) and isinstance(node_selector, NodeSelector)
        self.startups, self.cords = [], {}

    def on_startup(self):
        return self.startups.append

    def cord(self, public_api_path, public_api_method, method):
        assert public_api_method == method
        return lambda function: self.cords.update({(method, public_api_path): function})


class BaseModel:
    """Fields with their defaults, as in pydantic, but without checks of their types."""

    def __init__(self, **data):
        for field in self.__annotations__:
            if field not in data and not hasattr(type(self), field):
                raise ValueError(f"{field} is missing")
            setattr(self, field, data.get(field, getattr(type(self), field, None)))

    def model_dump(self):
        return {field: getattr(self, field) for field in self.__annotations__}


class Tokens(list):
    """A batch of one text, whose tokens are its characters."""

    @property
    def shape(self):
        return len(self), len(self[0])


class Inputs(dict):
    def to(self, _):
        return self


class Tokenizer:
    eos_token_id = 0

    @classmethod
    def from_pretrained(cls, repository, revision):
        assert repository == "al/Babelbit-default" and len(revision) == 40
        return cls()

    def __call__(self, text, return_tensors):
        return Inputs(input_ids=Tokens([list(text)]))

    def decode(self, tokens, skip_special_tokens):
        return "".join(tokens)


class Model:
    device = "cpu"

    @classmethod
    def from_pretrained(cls, repository, revision, torch_dtype):
        return cls()

    def to(self, _):
        return self

    def eval(self):
        return self

    def generate(self, input_ids, max_new_tokens, pad_token_id, do_sample, temperature, top_p, top_k):
        return [input_ids[0] + list(COMPLETION)]


def replace(name, **values):
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(values)


def main():
    cuda = types.SimpleNamespace(is_available=lambda: False)
    replace("chutes")
    replace("chutes.chute", Chute=Chute, NodeSelector=NodeSelector)
    replace("chutes.image", Image=Image)
    replace("pydantic", BaseModel=BaseModel)
    replace("torch", cuda=cuda, no_grad=contextlib.nullcontext)
    replace("transformers", AutoModelForCausalLM=Model, AutoTokenizer=Tokenizer)
    script = types.ModuleType("my_chute")
    with open(sys.argv[1], encoding="utf-8") as file:
        exec(compile(file.read(), sys.argv[1], "exec"), vars(script))
    state = types.SimpleNamespace()
    for startup in script.chute.startups:
        asyncio.run(startup(state))

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):
            content = self.rfile.read(int(self.headers.get("content-length") or 0))
            cord = script.chute.cords["POST", "/" + self.path.rsplit("/", 1)[1]]
            parameter = inspect.signature(cord).parameters.get("data")
            arguments = [] if parameter is None else [parameter.annotation(**json.loads(content))]
            answer = json.dumps(asyncio.run(cord(state, *arguments))).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


main()
