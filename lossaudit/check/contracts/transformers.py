"""Hugging Face Transformers: what its models with a head yield. ``logits`` are raw scores, ``loss`` is a mean loss."""

from __future__ import annotations

from lossaudit.check.contracts.schema import Framework, Layer, Op

_CLASSIFIERS = (
    "SequenceClassification", "TokenClassification", "MultipleChoice", "CausalLM", "MaskedLM", "Seq2SeqLM",
    "ConditionalGeneration", "ImageClassification", "AudioClassification", "VideoClassification", "SemanticSegmentation",
    "NextSentencePrediction", "CTC",
)  # fmt: skip
_FAMILIES = (
    "Auto", "AutoModel", "Albert", "Bart", "Beit", "Bert", "BigBird", "Blip", "Bloom", "Camembert", "CamembertModel", "ConvNext", "Deberta",
    "DebertaV2", "Deit", "DeiT", "DistilBert", "Electra", "Ernie", "Flaubert", "Funnel", "GPT2", "GPTJ", "GPTNeo", "GPTNeoX", "Gemma",
    "Gemma2", "Hubert", "LayoutLM", "LayoutLMv2", "LayoutLMv3", "Llama", "Longformer", "MBart", "MPNet", "MT5", "MegatronBert",
    "Mistral", "Mixtral", "MobileBert", "MobileViT", "ModernBert", "OPT", "Pegasus", "Perceiver", "Phi", "Phi3", "Qwen2", "Qwen3",
    "Reformer", "RemBert", "ResNet", "Roberta", "RoFormer", "SegFormer", "Segformer", "SqueezeBert", "Swin", "Swinv2", "T5", "ViT",
    "VideoMAE", "Wav2Vec2", "WavLM", "Whisper", "XLMRoberta", "XLNet", "XLM",
)  # fmt: skip
_READERS = "QuestionAnswering"


def _models(*heads: str) -> tuple[str, ...]:
    return tuple(f"transformers.{family}For{head}" for family in _FAMILIES for head in heads)


FRAMEWORK = Framework(
    name="transformers",
    roots=("transformers",),
    prefixes=(
        ("transformers.modeling_utils.", "transformers."),
        ("transformers.modeling_outputs.", "transformers."),
        ("transformers.utils.generic.", "transformers."),
        ("transformers.utils.ModelOutput", "transformers.ModelOutput"),
        ("transformers.file_utils.", "transformers."),
        ("transformers.trainer.", "transformers."),
        *((f"transformers.models.{name}.modeling_{name}.", "transformers.") for name in (
            "auto", "bert", "roberta", "distilbert", "gpt2", "t5", "vit", "bart", "albert", "electra", "xlm_roberta", "deberta_v2", "wav2vec2")),
    ),
    ops=(
        Op("model_logits", kind="score", dtype="float", where=""),
        Op("model_loss", kind="loss", shape="scalar", dtype="float", where=""),
        Op("model_output", kind="unknown", where="", result="record", fields=(("logits", "model_logits"), ("loss", "model_loss"))),
        Op("span_output", kind="unknown", where="", result="record",
           fields=(("start_logits", "model_logits"), ("end_logits", "model_logits"), ("loss", "model_loss"))),
    ),
    layers=(
        Layer(_models(*_CLASSIFIERS), "*args, **kwargs", "model_output", "*args, **kwargs"),
        Layer(_models(_READERS), "*args, **kwargs", "span_output", "*args, **kwargs"),
    ),
    builders=("from_pretrained", "from_config"),
    record_bases=("transformers.ModelOutput",),
    module_bases=(("transformers.PreTrainedModel", "forward"),),
    training_steps=(("transformers.Trainer", "compute_loss"),),
)  # fmt: skip
