"""Tiny random checkpoints of the transformers library, written as a user would have them."""

import string
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.models.grounding_dino.image_processing_pil_grounding_dino import (
    GroundingDinoImageProcessorPil,
)
from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil

LETTERS = string.ascii_lowercase


def write_rt_detr(folder: Path) -> Path:
    """A detector of two classes, person and car."""
    backbone = transformers.RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16, 24, 32],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    config = transformers.RTDetrConfig(
        backbone_config=backbone,
        encoder_hidden_dim=32,
        encoder_in_channels=[16, 24, 32],
        encoder_layers=1,
        encoder_ffn_dim=32,
        encoder_attention_heads=2,
        d_model=32,
        num_queries=20,
        decoder_in_channels=[32, 32, 32],
        decoder_ffn_dim=32,
        decoder_layers=2,
        decoder_attention_heads=2,
        id2label={0: "person", 1: "Car"},
        label2id={"person": 0, "Car": 1},
    )
    torch.manual_seed(0)
    model = transformers.RTDetrForObjectDetection(config)
    with torch.no_grad():
        # Untrained, every query gives the same class; bent, so that both classes are found.
        for head in model.model.decoder.class_embed:
            head.weight.mul_(3)
    size = {"height": 96, "width": 96}
    return _write(folder, model, transformers.RTDetrImageProcessorPil(size=size))


def write_owlv2(folder: Path) -> Path:
    """A detector of any words, of 16 places."""
    letters = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS)]
    vocabulary = {
        token: i for i, token in enumerate([*letters, "<|startoftext|>", "<|endoftext|>"])
    }
    tokenizer = transformers.CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=16)
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config = transformers.Owlv2Config(
        text_config={
            **sizes,
            "vocab_size": len(vocabulary),
            "max_position_embeddings": 16,
            "bos_token_id": len(vocabulary) - 2,
            "eos_token_id": len(vocabulary) - 1,
            "pad_token_id": 0,
        },
        vision_config={**sizes, "image_size": 64, "patch_size": 16},
        projection_dim=32,
    )
    torch.manual_seed(0)
    model = transformers.Owlv2ForObjectDetection(config)
    with torch.no_grad():
        # Untrained, boxes have no extent: without their last layer each is its own place.
        model.box_head.dense2.weight.zero_()
        model.box_head.dense2.bias.zero_()
    pictures = Owlv2ImageProcessorPil(size={"height": 64, "width": 64})
    return _write(folder, model, transformers.Owlv2Processor(pictures, tokenizer))


def write_grounding_dino(folder: Path) -> Path:
    """A detector that reads a label as a sentence."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "person", "car"]
    words = [*special, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    tokenizer = transformers.BertTokenizer(vocab={word: i for i, word in enumerate(words)})
    config = transformers.GroundingDinoConfig(
        backbone_config=transformers.SwinConfig(
            image_size=64,
            patch_size=4,
            embed_dim=8,
            depths=[1, 1, 1, 1],
            num_heads=[1, 1, 2, 2],
            window_size=4,
            out_features=["stage2", "stage3", "stage4"],
        ),
        text_config=transformers.BertConfig(
            vocab_size=len(words),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=300,
        ),
        num_queries=10,
        encoder_layers=1,
        encoder_ffn_dim=16,
        encoder_attention_heads=2,
        decoder_layers=2,
        decoder_ffn_dim=16,
        decoder_attention_heads=2,
        d_model=32,
        num_feature_levels=4,
    )
    torch.manual_seed(0)
    model = transformers.GroundingDinoForObjectDetection(config)
    pictures = GroundingDinoImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96})
    return _write(folder, model, transformers.GroundingDinoProcessor(pictures, tokenizer))


def _write(folder: Path, model: Any, processor: Any) -> Path:
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
