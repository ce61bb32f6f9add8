"""A chute that predicts utterances for Babelbit's text contest. Written by `bb generate-chute-script`."""

HF_REPO_NAME = @MODEL@
HF_REPO_REVISION = @REVISION@
CHUTES_USERNAME = @USERNAME@
CHUTE_NAME = @NAME@
IMAGE_NAME = @IMAGE_NAME@
IMAGE_TAG = @IMAGE_TAG@

# --- setup.py
@SETUP@

# --- load.py
@LOAD@

# --- predict.py
@PREDICT@


class Utterance(BaseModel):
    index: str
    step: int
    prefix: str
    context: str = ""
    done: bool = False
    prediction: str = ""
    ground_truth: Optional[str] = None
    evaluation: Optional[dict] = None


chute = Chute(
    username=CHUTES_USERNAME,
    name=CHUTE_NAME,
    image=image,
    tagline=f"Babelbit text miner, {HF_REPO_NAME}",
    readme=f"{HF_REPO_NAME} {HF_REPO_REVISION}",
    revision=HF_REPO_REVISION,
    node_selector=NodeSelector(gpu_count=@GPUS@, min_vram_gb_per_gpu=@VRAM@),
    concurrency=4,
)


@chute.on_startup()
async def startup(self):
    self.model, self.tokenizer = load(HF_REPO_NAME, HF_REPO_REVISION)


@chute.cord(public_api_path="/health", public_api_method="POST", method="POST")
async def health(self, *args, **kwargs) -> dict:
    loaded = getattr(self, "model", None) is not None
    return {
        "status": "healthy" if loaded else "loading",
        "model": HF_REPO_NAME if loaded else "not_loaded",
        "model_loaded": loaded,
    }


@chute.cord(public_api_path="/predict", public_api_method="POST", method="POST")
async def predict(self, data: Utterance) -> dict:
    utterance = data.model_dump()
    try:
        utterance["prediction"] = complete(self.model, self.tokenizer, data.prefix, data.context)
        error = None
    except Exception as problem:  # an error must not stop the chute
        utterance["prediction"] = ""
        error = f"{type(problem).__name__}: {problem}"
    return {
        "success": error is None,
        "model": HF_REPO_NAME,
        "utterance": utterance,
        "error": error,
        "context_used": data.context,
        "complete": False,
    }
