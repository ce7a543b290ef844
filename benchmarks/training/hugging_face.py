"""transformers' `Trainer` with `LlamaForCausalLM` or `GPT2LMHeadModel` of the same numbers, fresh weights, scaled dot
product attention, no dropout, `adamw_torch_fused`, clipping, no evaluation and no checkpoint; rows of T ids from a
`datasets.Dataset`, shuffled by the Trainer; a loss logged every tenth update. Its models shift the labels themselves,
so a row trains T − 1 targets; it counts as T tokens here."""

import tempfile
from typing import Any

import numpy as np

from benchmarks.rivals.environments import TORCH, Environment
from benchmarks.training.corpus import Corpus
from benchmarks.training.gate import Gate
from benchmarks.training.shapes import Family, Work

ENVIRONMENT = Environment(
    name="transformers",
    requirements=(TORCH, "numpy==2.4.6", "transformers==5.23.0", "accelerate==1.15.0", "datasets==5.2.0"),
)


def train(work: Work, family: Family, corpus: Corpus, gate: Gate, options: dict[str, Any]) -> None:
    from datasets import Dataset
    from transformers import Trainer, TrainerCallback, TrainingArguments, default_data_collator, set_seed

    class Turns(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            gate.step_ended(
                lambda: state.log_history[-1].get("loss", float("nan")) if state.log_history else float("nan")
            )

    set_seed(0)
    rows = np.asarray(corpus.tokens).astype(np.int64)
    rows = rows[: len(rows) // work.sequence_length * work.sequence_length].reshape(-1, work.sequence_length)
    data = Dataset.from_dict({"input_ids": list(rows), "labels": list(rows)})
    model = _model(work, family)
    with tempfile.TemporaryDirectory() as directory:
        arguments = TrainingArguments(
            output_dir=directory,
            max_steps=1_000_000,
            per_device_train_batch_size=work.micro_batch_size,
            gradient_accumulation_steps=work.accumulation,
            learning_rate=3e-4,
            warmup_steps=10,
            weight_decay=0.1,
            adam_beta2=0.95,
            max_grad_norm=1.0,
            optim="adamw_torch_fused",
            use_cpu=True,
            logging_steps=10,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=data,
            data_collator=default_data_collator,
            callbacks=[Turns()],
        )
        gate.ready(sum(p.numel() for p in model.parameters()))
        trainer.train()


def _model(work: Work, family: Family) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    shape = work.shape
    if family == "classic":
        return GPT2LMHeadModel(
            GPT2Config(
                vocab_size=shape.vocabulary_size,
                n_positions=work.sequence_length,
                n_embd=shape.width,
                n_layer=shape.layers,
                n_head=shape.heads,
                activation_function="gelu_pytorch_tanh",
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
                use_cache=False,
                bos_token_id=0,
                eos_token_id=0,
                attn_implementation="sdpa",
            )
        )
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=shape.vocabulary_size,
            hidden_size=shape.width,
            intermediate_size=shape.feed_forward_width,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            max_position_embeddings=work.sequence_length,
            rms_norm_eps=1e-5,
            tie_word_embeddings=True,
            use_cache=False,
            attn_implementation="sdpa",
        )
    )
