"""Runs Chutes' own program on a machine without its GPU stack: `chute.py run my_chute:chute --dev`.

torch and transformers are replaced: the model completes every text with the same words. chutes.envdump is replaced too:
it loads a native library that describes the machine to validators, which `--dev` does without.
"""
import contextlib
import sys
import types

COMPLETION = " today?\nFine, thanks."
# Context of the model in tokens: less than the prompts and the tokens to add.
CONTEXT = 32


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
    truncation_side = "right"

    @classmethod
    def from_pretrained(cls, repository, revision):
        assert repository.count("/") == 1 and len(revision) == 40
        return cls()

    def __call__(self, text, return_tensors, truncation, max_length):
        assert truncation and self.truncation_side == "left"
        return Inputs(input_ids=Tokens([list(text[-max_length:])]))

    def decode(self, tokens, skip_special_tokens):
        return "".join(tokens)


class Model:
    device = "cpu"
    config = types.SimpleNamespace(max_position_embeddings=CONTEXT)

    @classmethod
    def from_pretrained(cls, repository, revision, torch_dtype):
        return cls()

    def to(self, _):
        return self

    def eval(self):
        return self

    def generate(self, input_ids, max_new_tokens, pad_token_id, do_sample, temperature, top_p, top_k):
        assert len(input_ids[0]) + max_new_tokens <= CONTEXT
        return [input_ids[0] + list(COMPLETION)]


async def unavailable():
    raise NotImplementedError


def replace(name, **values):
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(values)


def main():
    replace("torch", cuda=types.SimpleNamespace(is_available=lambda: False), no_grad=contextlib.nullcontext)
    replace("transformers", AutoModelForCausalLM=Model, AutoTokenizer=Tokenizer)
    routes = ["handle_dump", "handle_sig", "handle_toca", "handle_slurp"]
    replace("chutes.envdump", **dict.fromkeys(routes, unavailable))
    from chutes.cli import app

    app()


main()
