import os
from typing import Optional

from chutes.chute import Chute, NodeSelector
from chutes.image import Image
from pydantic import BaseModel

image = (
    Image(username=CHUTES_USERNAME, name=IMAGE_NAME, tag=IMAGE_TAG)
    .from_base("parachutes/python:3.12")
    .run_command("pip install --no-cache-dir torch transformers accelerate huggingface_hub")
)
